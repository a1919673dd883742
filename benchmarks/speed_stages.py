"""What `speed.py` times: the stages of encoding and decoding, entropy coders, and picture coders beside them.

All jobs of a case are run in turn, round after round, so that a machine that is slow for a while is slow for
all of them; ratios are taken within a round. The medians are reported, in milliseconds a picture.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from compressai._CXX import pmf_to_quantized_cdf
from compressai.ans import RansDecoder, RansEncoder
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from torch.nn.functional import conv2d, interpolate

import featcodec
from featcodec.bench.anchors import find_anchors
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.entropy import SymbolDecoder, Tables, encode_symbols
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.networks.torch_state import inference
from featcodec.pictures.boxes import suppress
from featcodec.pictures.canvas import Canvas
from featcodec.plf.bitstream import parse, serialize

Jobs = Mapping[str, Callable[[], object]]
Ints = NDArray[np.int32]
# numerator and denominator, both of the same round
RATIOS = {
    "encode / head": ("encode", "head"),
    "decode / tail": ("decode", "tail"),
    "boxes at 0.25 / tail": ("boxes at 0.25", "tail"),
    "boxes at 0.001 / tail": ("boxes at 0.001", "tail"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Pictures of one size, so many at once.

    Attributes:
        name: of it, in tables.
        size: of the canvas, which is square, in pixels.
        batch: pictures that share a pass.
    """

    name: str
    size: int
    batch: int = 1


CASES = (
    Case("416 px", 416),
    Case("640 px", 640),
    Case("416 px, 8 at once", 416, 8),
    Case("1440 px", 1440),  # the largest square that readers accept by default
)


def pictures(case: Case) -> list[NDArray[np.uint8]]:
    """Square photographs of the case's size, as pixels."""
    whole = (Image.fromarray(make()).resize((case.size, case.size)) for make in (astronaut, coffee, chelsea))
    arrays = [np.asarray(picture) for picture in whole]
    return [arrays[i % 3] for i in range(case.batch)]


def resized(codec: FeatureCodec, size: int) -> FeatureCodec:
    """The codec for canvases of another size: its transforms know of none."""
    file = CodecFile(replace(codec.file.config, size=size), codec.file.tensors)
    return FeatureCodec(file, codec.network.with_canvas(Canvas(size, codec.file.config.stride)))


@inference()
def rounds(jobs: Jobs, seconds: float, least: int = 3) -> list[dict[str, float]]:
    """Milliseconds of each job, round after round for so long; the first round warms up and is dropped."""
    out: list[dict[str, float]] = []
    end = time.perf_counter() + seconds
    while len(out) <= least or time.perf_counter() < end:
        out.append({})
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            out[-1][name] = (time.perf_counter() - began) * 1e3
    return out[1:]


@inference()
def stage_jobs(codec: FeatureCodec, images: list[NDArray[np.uint8]], step: int) -> Jobs:
    """Every stage on what the stage before it gave, and all of them together; each for all pictures."""
    file, network, behind, detector = codec.file, codec.network, codec.behind, codec.detector
    loaded = [file.config.canvas.load(i) for i in images]
    x, geometries = torch.cat([x for x, _ in loaded]), [g for _, g in loaded]
    f = network.head(x)[0]
    y = file.g_a(f)
    symbols = [codec.symbols(one, step) for one in y]
    quality = 1 + step / 32
    files = codec.encode_batch(images, quality=quality)
    streams = [parse(data) for data in files]
    y_hat = torch.cat([codec.decode_latents(data)[0] for data in files])
    f_hat = file.g_s(y_hat)
    raw = behind.tail((f_hat,))
    at = y.shape[-2:]

    def entropy_decode() -> None:
        for s, stream in zip(symbols, streams, strict=True):
            decoder = SymbolDecoder(stream.payload)
            channels = np.repeat(np.arange(len(s.z), dtype=np.int32), s.z[0].size)
            decoder.decode(channels, file.tables_z)
            decoder.decode(s.index.reshape(-1), file.tables_y)
            decoder.finish()

    def boxes(confidence: float) -> None:
        for rows, geometry in zip(detector.rows(raw), geometries, strict=True):
            geometry.boxes_to_picture(suppress(rows, confidence=confidence, iou=0.45, most=300)[0])

    return {
        "pixels to canvas": lambda: [file.config.canvas.load(i) for i in images],
        "head": lambda: network.head(x),
        "g_a": lambda: file.g_a(f),
        "h_a, h_s, rounding": lambda: [codec.symbols(one, step) for one in y],
        "entropy encode": lambda: [codec.payload(s) for s in symbols],
        "hash, container": lambda: [(s.hash, serialize(t)) for s, t in zip(symbols, streams, strict=True)],
        "encode": lambda: codec.encode_batch(images, quality=quality),
        "entropy decode": entropy_decode,
        "h_s": lambda: [codec.model.h_s(s.z, *at) for s in symbols],
        "h_s in float32, not exact": float_hyper_synthesis(file, [s.z for s in symbols]),
        "g_s": lambda: file.g_s(y_hat),
        "decode": lambda: codec.decode_batch(files),
        "tail": lambda: behind.tail((f_hat,)),
        "boxes at 0.25": lambda: boxes(0.25),
        "boxes at 0.001": lambda: boxes(0.001),
    }


def float_hyper_synthesis(file: CodecFile, side: list[Ints]) -> Callable[[], object]:
    """The same layers as a network that does without exactness would run them."""
    weights = [w.float() / d for w, d in zip(file.h_s_weights, (16, 256, 256), strict=True)]
    biases = [b.float() / d for b, d in zip(file.h_s_biases, (16, 256, 256), strict=True)]

    def run() -> None:
        for z in side:
            x = torch.from_numpy(z).float()[None]
            for w, b in zip(weights[:2], biases[:2], strict=True):
                x = conv2d(interpolate(x, scale_factor=2), w, b, padding=1).clamp_(0, 4095)
            conv2d(x, weights[2], biases[2])

    return run


def medians(found: list[dict[str, float]], per: int) -> dict[str, float]:
    return {name: round(statistics.median(r[name] for r in found) / per, 3) for name in found[0]}


def ratios(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(r[a] / r[b] for r in found), 3) for name, (a, b) in RATIOS.items()}


# ---- entropy coders


def coder_jobs(symbols: Ints, rows: Ints, tables: Tables) -> Jobs:
    """This package's coder and CompressAI's, on the same symbols with the same tables.

    CompressAI's takes lists, which are made before, and frequencies of 16 bits.
    """
    data = encode_symbols([(symbols, rows, tables)])
    cdfs = [
        pmf_to_quantized_cdf((tables.frequencies[r, :size] / 2.0**24).tolist(), 16)
        for r, size in enumerate(tables.sizes.tolist())
    ]
    arguments = (
        rows.tolist(),
        [c + [0] * (max(map(len, cdfs)) - len(c)) for c in cdfs],
        [len(c) for c in cdfs],
        tables.lows.tolist(),
    )
    listed = symbols.tolist()
    coded = RansEncoder().encode_with_indexes(listed, *arguments)
    if RansDecoder().decode_with_indexes(coded, *arguments) != listed:
        raise RuntimeError("CompressAI's coder: got other symbols back")
    return {
        "featcodec encode": lambda: encode_symbols([(symbols, rows, tables)]),
        "featcodec decode": lambda: SymbolDecoder(data).decode(rows, tables),
        "CompressAI encode": lambda: RansEncoder().encode_with_indexes(listed, *arguments),
        "CompressAI decode": lambda: RansDecoder().decode_with_indexes(coded, *arguments),
    }


# ---- picture coders


def picture_jobs(
    codec: FeatureCodec, rgb: NDArray[np.uint8], bytes_wanted: int
) -> tuple[Jobs, dict[str, int]]:
    """JPEG and VVC at the point whose file comes closest to so many bytes, and this codec; sizes by name."""
    jobs: dict[str, Callable[[], object]] = {}
    sizes = {"featcodec": bytes_wanted}
    for anchor in find_anchors(["image-jpeg", "image-vvc"]):
        store = anchor.store  # type: ignore[attr-defined]
        if reason := anchor.missing():
            raise RuntimeError(f"{anchor.name}: {reason}")
        coded = {point: store.encode(rgb, point) for point in anchor.points}
        best = min(coded, key=lambda point: abs(len(coded[point]) - bytes_wanted))
        sizes[anchor.name] = len(coded[best])
        jobs[f"{anchor.name} encode"] = lambda s=store, p=best: s.encode(rgb, p)
        jobs[f"{anchor.name} decode"] = lambda s=store, d=coded[best]: s.decode(d, *rgb.shape[:2])
    data = codec.encode(rgb)
    return jobs | {
        "featcodec encode": lambda: codec.encode(rgb),
        "featcodec decode": lambda: codec.decode(data),
    }, sizes


def measure(seconds: float, quality: float) -> dict[str, object]:
    """All figures of one process, with as many threads as it has."""
    codec, step = featcodec.load(), round((quality - 1) * 32)
    cases, coders = [], []
    for case in CASES:
        sized = resized(codec, case.size)
        images = pictures(case)
        found = rounds(stage_jobs(sized, images, step), seconds)
        cases.append(
            {
                "case": case.name,
                "rounds": len(found),
                "ms": medians(found, case.batch),
                "ratios": ratios(found),
            }
        )
        if case.batch == 1 and case.size != 640:
            with inference():
                f = sized.features(images[0])
                s = sized.symbols(sized.file.g_a(f.as_subclass(torch.Tensor))[0], step)
            found = rounds(coder_jobs(s.y.reshape(-1), s.index.reshape(-1), sized.file.tables_y), seconds / 2)
            speed = {name: round(s.y.size / ms / 1e3, 1) for name, ms in medians(found, 1).items()}
            coders.append({"symbols": s.y.size, "rounds": len(found), "million_symbols_per_second": speed})
    rgb = pictures(CASES[0])[0]
    jobs, sizes = picture_jobs(codec, rgb, len(codec.encode(rgb, quality=quality)))
    found = rounds(jobs, seconds)
    return {
        "cases": cases,
        "coders": coders,
        "pictures": {"bytes": sizes, "rounds": len(found), "ms": medians(found, 1)},
    }
