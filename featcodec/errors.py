"""Every error that featcodec raises on purpose.

    FeatcodecError
    ├── InputError              an argument, image or file given by the user cannot be used
    │   └── ImageError          not an image, a damaged image, or pixels of an unknown kind
    ├── BitstreamError          bytes that are not a whole, sound .plf file
    │   ├── NotPlfError         the magic is missing or damaged
    │   ├── UnsupportedError    a version or a critical section that this release does not know
    │   ├── TruncatedError      the file ends early
    │   ├── ChecksumError       a section does not match its checksum
    │   ├── MalformedError      checksums agree, but the content breaks the format
    │   ├── LimitError          sound, but larger than the caller's limits allow
    │   └── SymbolHashError     the decoded symbols are not those that were encoded
    ├── ModelMismatchError      the .plf was made by another codec
    ├── CodecFileError          a codec or weight file that cannot be used
    ├── SplitError              the network cannot be cut there
    ├── CoderError              an encoder or decoder that the bench compares with failed
    ├── FitError                a fit that cannot start or has to stop
    └── MissingExtraError       an optional dependency is not installed (also an ImportError)

Reading untrusted bytes raises ``BitstreamError`` kinds or ``ModelMismatchError``, nothing else.

An error knows the file that it is about, where one is known: `FeatcodecError.path`. Whoever reads the file
sets it, and the message gets its beginning when it is shown, so that no error is wrapped to say more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BitstreamError",
    "ChecksumError",
    "CodecFileError",
    "CoderError",
    "FeatcodecError",
    "FitError",
    "ImageError",
    "InputError",
    "LimitError",
    "MalformedError",
    "MissingExtraError",
    "ModelMismatchError",
    "NotPlfError",
    "SplitError",
    "SymbolHashError",
    "TruncatedError",
    "UnsupportedError",
]


NO_PATH = "<bytes>"  # of what was not read from a file, as far as its reader knows


class FeatcodecError(Exception):
    """Base of every error raised by featcodec.

    Args:
        message: what is wrong, in one line: what, got, expected.
        path: the file that it is about, as it is to be shown.

    Example:
        >>> error = FeatcodecError("got 0 bytes, expected an image")
        >>> str(error), error.path
        ('got 0 bytes, expected an image', None)
        >>> error.path = "street.jpg"
        >>> str(error)
        'street.jpg: got 0 bytes, expected an image'
    """

    path: str | None = None

    def __init__(self, *message: object, path: str | None = None):
        super().__init__(*message)
        self.path = path

    def __str__(self) -> str:
        message = Exception.__str__(self)  # of MissingExtraError, not ImportError's
        return message if self.path is None else f"{self.path}: {message}"


class InputError(FeatcodecError, ValueError):
    """An argument, image or file given by the user cannot be used."""


class ImageError(InputError):
    """Not an image, a damaged image, or pixels of an unknown kind."""


class BitstreamError(FeatcodecError):
    """Bytes that are not a whole, sound ``.plf`` file."""


class NotPlfError(BitstreamError):
    """The magic is missing or damaged: not a ``.plf`` file."""


class UnsupportedError(BitstreamError):
    """A version or a critical section that this release does not know."""


class TruncatedError(BitstreamError):
    """The file ends before the format says it does."""


class ChecksumError(BitstreamError):
    """A section does not match its checksum."""


class MalformedError(BitstreamError):
    """The checksums agree, but the content breaks the format."""


class LimitError(BitstreamError):
    """A sound file that is larger than the caller's limits allow."""


class SymbolHashError(BitstreamError):
    """The decoded symbols are not those that were encoded."""


class ModelMismatchError(FeatcodecError):
    """The ``.plf`` was made by a codec other than the one at hand."""


class CodecFileError(FeatcodecError):
    """A codec file or weight file that cannot be used."""


class SplitError(FeatcodecError):
    """The network cannot be cut at the layer asked for."""


class CoderError(FeatcodecError):
    """An encoder or decoder that the bench compares with failed, or its file is damaged."""


class FitError(FeatcodecError):
    """A fit that cannot start, or that has to stop."""


class MissingExtraError(FeatcodecError, ImportError):
    """An optional dependency is not installed; the message names the pip command that brings it."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        """The error for a package that is not installed, and the extra of featcodec that brings it.

        Example:
            >>> str(MissingExtraError.of("matplotlib", "bench"))
            "matplotlib is missing: pip install 'featcodec[bench]'"
        """
        return cls(f"{package} is missing: pip install 'featcodec[{extra}]'")


# module to package of what featcodec does not work without, as pyproject.toml declares it
DEPENDENCIES = {
    "PIL": "pillow",
    "constriction": "constriction",
    "numpy": "numpy",
    "safetensors": "safetensors",
}
TORCH = "torch"  # the module, and the extra that brings it


def missing_dependency(error: ModuleNotFoundError) -> str | None:
    """The sentence on a dependency that is not installed; None where it is no dependency of featcodec.

    Example:
        >>> missing_dependency(ModuleNotFoundError(name="PIL"))
        'pillow is missing: pip install pillow'
        >>> missing_dependency(ModuleNotFoundError(name="torch"))
        "torch is missing: pip install 'featcodec[torch]'"
    """
    if error.name == TORCH:
        return str(MissingExtraError.of(TORCH, TORCH))
    package = DEPENDENCIES.get(error.name or "")
    return None if package is None else f"{package} is missing: pip install {package}"


@contextmanager
def needing_torch() -> Iterator[None]:
    """What is imported inside needs torch; a light installation has none.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != TORCH:
            raise
        raise MissingExtraError.of(TORCH, TORCH) from error


def one_line(error: BaseException) -> str:
    """Kind and message of somebody else's error, at most 300 characters, for a message of ours.

    Example:
        >>> one_line(ValueError("no such", "layer"))
        "ValueError: ('no such', 'layer')"
    """
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
