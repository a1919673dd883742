"""The embedded codecs, and what finds a codec by name, path or fingerprint.

*.safetensors           the codecs, without the networks that they were fitted to
networks/*.safetensors  networks whose weights come with the package, each once
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.codec.codec_reading import LARGEST_FILE
from featcodec.codec.symbol_codec import SymbolCodec
from featcodec.errors import CodecFileError, InputError, ModelMismatchError, needing_torch
from featcodec.files import is_file, printable
from featcodec.hub import download, is_address
from featcodec.networks.embedded import is_embedded
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from torch import nn

    from featcodec.codec.codec_file import CodecFile
    from featcodec.codec.feature_codec import FeatureCodec

__all__ = [
    "DEFAULT", "decoder", "decoder_for", "for_header", "is_whole", "load", "names", "path", "remember",
    "symbol_codec", "symbol_codec_for",
]  # fmt: skip

DEFAULT = "yolox-nano-private"
_FOLDER = Path(__file__).parent
# codecs loaded in this process, by fingerprint: decode() finds a user's own codec among them
_loaded: dict[bytes, FeatureCodec] = {}
_lock = threading.Lock()


def names(*, whole: bool = False) -> tuple[str, ...]:
    """Names of the embedded codecs.

    Args:
        whole: only of those whose network comes with the package; for the others its owner brings it.

    Example:
        >>> import featcodec
        >>> featcodec.zoo.names(whole=True)
        ('yolox-nano-open', 'yolox-nano-private')
    """
    found = tuple(sorted(file.stem for file in _FOLDER.glob("*.safetensors")))
    return tuple(name for name in found if _is_whole(name)) if whole else found


def _is_whole(name: str) -> bool:
    """Whether the network of an embedded codec is embedded, too; it is never in the codec's own file."""
    return is_embedded(_embedded_symbols(name).config.network.digest)


def is_whole(file: CodecFile) -> bool:
    """Whether a codec needs no network to be brought: it is in its file, or embedded in the package."""
    return file.has_network or is_embedded(file.config.network.digest)


def path(name: str) -> Path:
    """Where the file of an embedded codec lies."""
    return _FOLDER / f"{name}.safetensors"


def load(
    codec: str | os.PathLike[str] = DEFAULT, *, network: nn.Module | str | os.PathLike[str] | None = None
) -> FeatureCodec:
    """A codec by name or path.

    Args:
        codec: name of an embedded codec, path of a codec file (anything with a suffix or a separator), or
            ``hf://owner/name``, ``hf://owner/name@revision``, with ``/FILE`` behind it where the file is not
            ``codec.safetensors``: one on the Hugging Face Hub, which `huggingface_hub` downloads and caches.
        network: for a codec whose network is neither in its file nor embedded: the network it was fitted to,
            which stays as it is; the codec works with a copy in float32. For a YOLOv5 or a YOLOX also a file
            of its weights.

    Raises:
        InputError: no such codec, the message lists the names there are; what is given is no network; or the
            hub cannot be reached.
        CodecFileError: not a codec file, or the network is missing or another one.
        MissingExtraError: huggingface_hub is not installed, for a codec on the hub.

    Example:
        >>> import featcodec
        >>> featcodec.load("yolox-nano-open").name
        'yolox-nano-open'
    """
    if isinstance(codec, str) and codec in names() and network is None:
        return _embedded(codec)
    return remember(_read(codec), network)


def _place(codec: object) -> Path:
    """Where a codec's file lies, by name or path; errors as `load`."""
    if not isinstance(codec, str | os.PathLike):
        raise InputError(f"codec: got {type(codec).__name__}, expected a path or one of {', '.join(names())}")
    if isinstance(codec, str) and codec in names():
        return path(codec)
    if isinstance(codec, str) and is_address(codec):
        return Path(download(codec, max_bytes=LARGEST_FILE))
    if isinstance(codec, str) and not Path(codec).suffix and not is_file(codec):
        raise InputError(f"codec: got {codec!r:.80}, expected a path or one of {', '.join(names())}")
    return Path(codec)


def _read(codec: object) -> CodecFile:
    """A codec's file, by name or path; errors as `load`."""
    if isinstance(codec, str) and codec in names():
        return _embedded_file(codec)
    with _at_its_address(codec):
        return _load(_place(codec))


def _load(file: Path) -> CodecFile:
    with needing_torch():
        from featcodec.codec.codec_file import CodecFile

    return CodecFile.load(file)


@contextmanager
def _at_its_address(codec: object) -> Iterator[None]:
    """Errors of a file that was downloaded name its address, not its place in the cache."""
    try:
        yield
    except (InputError, CodecFileError) as error:
        if isinstance(codec, str) and is_address(codec):
            error.path = printable(codec)
        raise


@cache
def _embedded_file(name: str) -> CodecFile:
    return _load(path(name))


@cache
def _embedded(name: str) -> FeatureCodec:
    return remember(_embedded_file(name), None)


def remember(file: CodecFile, network: object) -> FeatureCodec:
    """The codec of a file, that `featcodec.decode` then finds by its fingerprint; errors as `load`."""
    from featcodec.codec.codec_file import network_of
    from featcodec.codec.feature_codec import FeatureCodec

    codec = FeatureCodec(file, network_of(file, network))
    with _lock:
        _loaded[codec.fingerprint] = codec
    return codec


def for_header(header: Header, *, network: nn.Module | None = None) -> FeatureCodec:
    """The codec that a ``.plf`` wants, by fingerprint: one loaded before, or an embedded one.

    It has its network if it was loaded with it, if the network is embedded, or if it is given here; else it
    decodes, but does not detect.

    Raises:
        ModelMismatchError: neither has it; says which codec the file wants and how to give it.
        CodecFileError: the network given is another one.
    """
    if network is None and header.fingerprint in _loaded:
        return _loaded[header.fingerprint]
    name = _name_for(header)
    return load(name, network=network) if network or _is_whole(name) else decoder(name)


def decoder(codec: str | os.PathLike[str]) -> FeatureCodec:
    """A codec by name or path, without its network: it decodes, but neither encodes nor detects.

    Raises:
        InputError: no such codec; the message lists the names there are.
        CodecFileError: not a codec file.
    """
    file = _read(codec)
    from featcodec.codec.feature_codec import FeatureCodec

    return FeatureCodec(file, None)


def decoder_for(header: Header) -> FeatureCodec:
    """As `for_header`, but without the network, whose making takes a while."""
    return _loaded.get(header.fingerprint) or decoder(_name_for(header))


def symbol_codec(codec: str | os.PathLike[str]) -> SymbolCodec:
    """What of a codec decodes to symbols and latents, without torch; by name or path, errors as `decoder`.

    Example:
        >>> import featcodec
        >>> featcodec.zoo.symbol_codec("yolox-nano-open").model.tables_y.sizes.shape
        (64,)
    """
    if isinstance(codec, str) and codec in names():
        return _embedded_symbols(codec)
    with _at_its_address(codec):
        return SymbolCodec.load(_place(codec))


def symbol_codec_for(header: Header) -> SymbolCodec:
    """As `decoder_for`, without torch."""
    return _loaded.get(header.fingerprint) or symbol_codec(_name_for(header))


@cache
def _embedded_symbols(name: str) -> SymbolCodec:
    return SymbolCodec.load(path(name))


def _name_for(header: Header) -> str:
    """The embedded codec that a ``.plf`` wants; errors as `for_header`."""
    # the name is a hint: try its codec first, then the others
    for name in sorted(names(), key=lambda n: n != header.codec):
        if _embedded_symbols(name).fingerprint == header.fingerprint:
            return name
    raise ModelMismatchError(
        f"the file wants codec {header.codec!r} with fingerprint {header.fingerprint.hex()}, "
        f"expected one of {', '.join(names())} of this release: give its codec file, with "
        "featcodec.load(PATH) or --codec PATH"
    )
