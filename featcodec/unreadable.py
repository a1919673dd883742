"""Kinds of pictures that are not decoded here, by first bytes or by ending. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

__all__ = ["RAW_ENDINGS", "is_passed_over", "kind_by_ending", "kind_of", "refusal", "summary"]

_RAW = (
    "3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw "
    "x3f"
)
RAW_ENDINGS = frozenset(f".{name}" for name in _RAW.split())
_ENDINGS = {
    **dict.fromkeys(RAW_ENDINGS, "RAW"),
    **dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), "HEIC"),
    ".jxl": "JPEG XL",
    ".jxr": "JPEG XR",
    ".exr": "OpenEXR",
    ".svg": "SVG",
}
# read if they are named
_UNLISTED = (".apng", ".dds", ".ico", ".j2k", ".jpf", ".jpx", ".psd", ".qoi", ".sgi", ".tga")
_STARTS = {
    b"IIRO": "RAW",  # Olympus
    b"IIRS": "RAW",
    b"MMOR": "RAW",
    b"IIU\0": "RAW",  # Panasonic, Leica
    b"FUJIFILMCCD-RAW": "RAW",
    b"FOVb": "RAW",  # Sigma
    b"\0MRM": "RAW",  # Minolta
    b"II\x1a\0\0\0HEAPCCDR": "RAW",  # Canon's CRW
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"<svg": "SVG",
    b"%PDF": "PDF",
}
_HEIC_BRANDS = set(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
_VIDEO_BRANDS = set(b"isom iso2 iso4 iso5 iso6 mp41 mp42 avc1 3gp4 3gp5".split()) | {b"M4V ", b"qt  "}
_ARTICLES = {
    "RAW": "a camera's RAW file",
    "SVG": "an SVG drawing",
    "PDF": "a PDF document",
    "video": "a video",
}
_ADVICE = {
    "RAW": "develop it to JPEG, PNG or TIFF first",
    "HEIC": "convert it to JPEG or PNG first, or in Python call pillow_heif.register_heif_opener()",
    "video": "extract its frames first",
}
_EXAMPLES = 3  # named in a summary


def kind_of(prefix: bytes) -> str | None:
    """Kind of a picture that is not decoded here, by its first 16 bytes; None if they say nothing.

    Example:
        >>> kind_of(bytes(4) + b"ftypheic" + bytes(4))
        'HEIC'
    """
    if prefix[4:8] == b"ftyp":
        brand = prefix[8:12]
        if brand == b"crx ":
            return "RAW"  # Canon's CR3
        return "HEIC" if brand in _HEIC_BRANDS else "video" if brand in _VIDEO_BRANDS else None
    if prefix[:4] in (b"II*\0", b"MM\0*") and prefix[8:10] == b"CR":
        return "RAW"  # Canon's CR2
    return next((kind for start, kind in _STARTS.items() if prefix.startswith(start)), None)


def kind_by_ending(name: str) -> str | None:
    """Kind of a picture that is not decoded here, by its ending; None if it says nothing.

    Example:
        >>> kind_by_ending("IMG_0001.HEIC")
        'HEIC'
    """
    return _ENDINGS.get(PurePath(name).suffix.lower())


def is_passed_over(name: str) -> bool:
    """Whether a file looks like a picture by an ending that folders are not searched for.

    Args:
        name: of a file whose ending is none of `featcodec.files.PICTURE_ENDINGS`.

    Example:
        >>> is_passed_over("IMG_0001.HEIC"), is_passed_over("notes.txt")
        (True, False)
    """
    return _kind(name) is not None


def refusal(kind: str) -> str:
    """What is wrong with a file of this kind, and what to do.

    Example:
        >>> refusal("RAW")
        "got a camera's RAW file, expected a developed picture; develop it to JPEG, PNG or TIFF first"
    """
    expected = "a developed picture" if kind == "RAW" else "an image of a kind that Pillow decodes"
    advice = _ADVICE.get(kind, "convert it to JPEG or PNG first")
    return f"got {_ARTICLES.get(kind, f'a picture of kind {kind}')}, expected {expected}; {advice}"


def summary(paths: Sequence[str]) -> str:
    """One line on files that were passed over, with what they are, examples and what to do.

    Args:
        paths: files that `is_passed_over`; at least one.

    Example:
        >>> summary(["a.heic", "b.nef", "c.HEIC", "d.heic"])
        'passed over 4 files (3 HEIC, 1 RAW), such as a.heic, b.nef and c.HEIC: convert them to JPEG or PNG'
    """
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(map(_kind, paths)).most_common())
    files = "1 file" if len(paths) == 1 else f"{len(paths):,} files"
    such = "" if len(paths) <= _EXAMPLES else "such as "
    them = "it" if len(paths) == 1 else "them"
    return f"passed over {files} ({kinds}), {such}{_listed(paths[:_EXAMPLES])}: convert {them} to JPEG or PNG"


def _kind(path: str) -> str | None:
    ending = PurePath(path).suffix.lower()
    return kind_by_ending(path) or (ending[1:].upper() if ending in _UNLISTED else None)


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
