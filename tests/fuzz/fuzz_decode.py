"""Fuzz target: any bytes, as they are and with right checksums and symbol hash, raise errors of ours only.

With atheris (``pip install atheris``), guided by coverage, until it is interrupted:

    python tests/fuzz/fuzz_decode.py --seeds corpus           sound files to start from
    python tests/fuzz/fuzz_decode.py corpus -max_len=4096 -timeout=5

With and without it, files given are run once each, which is how to look at one that failed:

    python tests/fuzz/fuzz_decode.py crash-0123abcd
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=["featcodec"]) if atheris else nullcontext():
    from campaign import decoded
    from parts import forged, resealed, sound_files

    from featcodec import zoo
    from featcodec.errors import BitstreamError, ModelMismatchError
    from featcodec.plf.bitstream import parse

__all__ = ["main", "one_input"]


def one_input(data: bytes) -> None:
    """Decode bytes, then with right checksums, then with the right hash as well: no check hides the next.

    Raises:
        Exception: one that untrusted bytes must not raise.
    """
    decoded(data, features=True)
    sealed = resealed(data)
    if decoded(sealed, features=True) == "SymbolHashError":
        try:
            hashed = forged(sealed, zoo.for_header(parse(sealed).header))
        except (BitstreamError, ModelMismatchError) as error:
            raise AssertionError("what decoded to a wrong hash does not decode again") from error
        if decoded(hashed, features=True) != "decoded":
            raise AssertionError("the hash that the decoder found is not the hash it wants")


def main(argv: list[str]) -> int:
    """Fuzz, or run files once; see the top of this file."""
    if argv[:1] == ["--seeds"]:
        Path(argv[1]).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(sound_files()):
            Path(argv[1], f"sound-{number}.plf").write_bytes(data)
    elif atheris is not None:  # it runs single files once, too
        atheris.Setup([sys.argv[0], *argv], one_input)
        atheris.Fuzz()
    else:
        folders = [sorted(Path(one).iterdir()) if Path(one).is_dir() else [Path(one)] for one in argv]
        for path in [path for folder in folders for path in folder]:
            one_input(path.read_bytes())
            print(f"{path}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
