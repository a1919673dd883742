"""Codec files on the Hugging Face Hub: addresses, downloads into its cache, uploads; see docs/tools.md.

What is downloaded is a file of a stranger's, and read as strictly as any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from featcodec.errors import InputError, MissingExtraError, one_line
from featcodec.files import printable

__all__ = ["CARD", "CODEC_FILE", "Address", "download", "is_address", "upload"]

SCHEME = "hf://"
CODEC_FILE = "codec.safetensors"  # of a repository, unless an address names another one
CARD = "README.md"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/(.+))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A file in a repository of models.

    Attributes:
        repository: ``owner/name``.
        revision: branch, tag or commit.
        file: its path in the repository.
    """

    repository: str
    revision: str = "main"
    file: str = CODEC_FILE

    @staticmethod
    def of(text: str) -> Address:
        """The address that a text is.

        Args:
            text: ``hf://owner/name``, ``hf://owner/name@revision``, or either with ``/path/of/a/file`` behind
                it. A slash in a revision is written ``%2F``.

        Raises:
            InputError: it is none.

        Example:
            >>> Address.of("hf://ann/street@v2/small.safetensors")
            Address(repository='ann/street', revision='v2', file='small.safetensors')
        """
        found = _ADDRESS.fullmatch(text)
        repository, revision, file = found.groups() if found else ("", None, "..")
        if {"", ".", ".."} & set((file or CODEC_FILE).split("/")):
            raise InputError(f"codec: got {text!r:.120}, expected hf://owner/name[@revision][/file]")
        return Address(repository, unquote(revision or "main"), file or CODEC_FILE)


def is_address(codec: object) -> bool:
    """Whether something is meant as an address.

    Example:
        >>> is_address("hf://ann/street"), is_address("street.safetensors")
        (True, False)
    """
    return isinstance(codec, str) and codec.startswith(SCHEME)


def download(address: str, *, max_bytes: int) -> str:
    """The path of a file in the hub's cache, where `huggingface_hub` has put it unless it lay there before.

    Args:
        address: as `Address.of` takes it.
        max_bytes: a larger file is not downloaded.

    Raises:
        InputError: no such repository, revision or file; the hub cannot be reached, and the file is not in
            the cache; or the file is too large. One line that begins with the address.
        MissingExtraError: huggingface_hub is not installed.
    """
    wanted, hub = Address.of(address), _package()
    where = {"repo_id": wanted.repository, "filename": wanted.file, "revision": wanted.revision}
    with _one_line(address):
        try:
            size = hub.get_hf_file_metadata(hub.hf_hub_url(**where)).size
        except Exception as error:
            if _refusal(error) is not None:
                raise
            try:  # the hub is out of reach: what lies in the cache, without trying six times more
                return str(hub.hf_hub_download(**where, local_files_only=True))
            except hub.errors.LocalEntryNotFoundError:
                if isinstance(error, hub.errors.HfHubHTTPError):  # it was in reach, and objects
                    raise error from None
                raise
        if size is None or size > max_bytes:
            got = "a file of unknown size" if size is None else f"{size:,} bytes"
            raise InputError(f"got {got}, expected at most {max_bytes:,} bytes")
        return str(hub.hf_hub_download(**where))


def upload(repository: str, files: Mapping[str, bytes], *, private: bool | None, message: str) -> str:
    """Put files into a repository of models, in one commit; make the repository if there is none.

    Args:
        repository: ``owner/name``.
        files: by their paths in it; a `CARD` that is there already is kept.
        private: whether a new repository is; None for what its owner has set for new ones.
        message: of the commit.

    Returns:
        The commit's page.

    Raises:
        InputError: no name of a repository, the hub cannot be reached or refuses, as it does without a token
            (``hf auth login`` or ``HF_TOKEN``); one line that begins with the repository.
        MissingExtraError: huggingface_hub is not installed.
    """
    Address.of(f"{SCHEME}{repository}")
    hub = _package()
    api = hub.HfApi()
    with _one_line(f"{SCHEME}{repository}"):
        api.create_repo(repository, private=private, exist_ok=True)
        kept = {CARD} if api.file_exists(repository, CARD) else set()
        added = [
            hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=data)
            for name, data in files.items()
            if name not in kept
        ]
        return str(api.create_commit(repository, added, commit_message=message).commit_url)


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError.of("huggingface_hub", "hub") from error
    return huggingface_hub


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    """Turn what the hub and its package object to into one line that begins with the address."""
    try:
        yield
    except InputError as error:
        error.path = printable(address)
        raise
    except (
        Exception
    ) as error:  # somebody else's code ran inside, and what it raises changes with its releases
        reason = _refusal(error) or _out_of_reach(error) or one_line(error)
        raise InputError(printable(reason), path=printable(address)) from error


def _refusal(error: Exception) -> str | None:
    """What the hub's answer means, if it is one on what is not there or not for everybody."""
    from huggingface_hub import errors

    answers = {
        errors.GatedRepoError: "the repository is gated: ask for access on its page, then hf auth login",
        errors.RepositoryNotFoundError: "there is no such repository, or it needs hf auth login",
        errors.RevisionNotFoundError: "there is no such revision",
        errors.RemoteEntryNotFoundError: "there is no such file in the repository",
    }
    return next((text for kind, text in answers.items() if isinstance(error, kind)), None)


def _out_of_reach(error: Exception) -> str | None:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the hub cannot be reached, and the file is not in its cache"
    if isinstance(error, errors.OfflineModeIsEnabled) or type(error).__module__.startswith("httpx"):
        return f"the hub cannot be reached: {one_line(error)}"
    return None
