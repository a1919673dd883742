"""Photographs to the symbols that a codec's entropy coder sees, kept in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import featcodec
from featcodec.plf.bitstream import parse

__all__ = ["CodedPicture", "coded_pictures", "split_names"]

HELD_OUT = 10  # every tenth photograph by name is left out of the fits of codecs, here too
Ints = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One picture at one quality.

    Attributes:
        z: (N, h_z, w_z) side information.
        y: (M, h, w) latents minus means, rounded.
        index: (M, h, w) rows of the scale table.
        mean: (M, h, w) in sixteenths.
        file_bytes, payload_bytes: of the real file.
    """

    z: Ints
    y: Ints
    index: Ints
    mean: Ints
    file_bytes: int
    payload_bytes: int


def split_names(folder: Path, fit: int, held_out: int) -> tuple[list[Path], list[Path]]:
    """Photographs to fit to and to judge by, evenly over the names; the latter no codec's fit has seen."""
    paths = sorted(folder.glob("*.jpg"))
    return (
        _evenly([p for i, p in enumerate(paths) if i % HELD_OUT], fit),
        _evenly([p for i, p in enumerate(paths) if i % HELD_OUT == 0], held_out),
    )


def _evenly(paths: list[Path], count: int) -> list[Path]:
    return [paths[i * len(paths) // count] for i in range(min(count, len(paths)))]


def coded_pictures(
    codec: featcodec.FeatureCodec, paths: Sequence[Path], quality: int, kept: Path
) -> list[CodedPicture]:
    """Each photograph as it is coded at a quality; read from `kept` where it is there already."""
    folder = kept / f"{codec.name}-{codec.fingerprint.hex()[:8]}-{codec.file.encoder_digest}" / str(quality)
    folder.mkdir(parents=True, exist_ok=True)
    return [_coded(codec, path, quality, folder / f"{path.stem}.npz") for path in paths]


def _coded(codec: featcodec.FeatureCodec, path: Path, quality: int, kept: Path) -> CodedPicture:
    if not kept.exists():
        f = codec.features(path)
        data = codec.encode_features(f.as_subclass(Tensor), f.geometry, quality=quality)
        with torch.inference_mode():
            y = codec.file.g_a(f.as_subclass(Tensor))[0]
        s = codec.symbols(y, (quality - 1) * 32)
        stream = parse(data)
        assert stream.header.symbol_hash == s.hash
        np.savez(
            kept,
            z=s.z.astype(np.int16),
            y=s.y.astype(np.int16),
            index=s.index.astype(np.uint8),
            mean=(s.mean * 16).astype(np.int16),
            sizes=[len(data), len(stream.payload)],
        )
    with np.load(kept) as arrays:
        sizes = arrays["sizes"].tolist()
        return CodedPicture(*(arrays[name] for name in ("z", "y", "index", "mean")), *sizes)
