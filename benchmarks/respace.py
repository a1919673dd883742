"""Puts the eight qualities of a codec where each step is worth its bytes.

    python benchmarks/respace.py runs/mine.safetensors --qualities 1 1.5 2 2.5 3 4 6 8 -o mine.safetensors

Which ones, `benchmarks/held_out.py CODEC --qualities …` says, on photographs that the fit has not seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from featcodec.codec.codec_file import CodecFile
from featcodec.codec.quality_scale import respaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("codec", type=Path)
    parser.add_argument("--qualities", type=float, nargs=8, required=True, metavar="Q")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    respaced(CodecFile.load(args.codec), args.qualities).save(args.output)


if __name__ == "__main__":
    main()
