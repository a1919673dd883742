"""The valid streams: pictures through featcodec's encoder, and chosen symbols through the second writer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data as photographs
from writing import Built, Codec, Ints, Stream, Table, container, header_content

from featcodec import FeatureCodec
from featcodec.zoo import DEFAULT

__all__ = ["valid_streams"]

Pixels = NDArray[np.uint8]

SIZES = [(1, 1), (7, 3), (16, 16), (33, 31), (16, 2000), (2000, 16), (640, 427), (427, 640), (417, 415)]
LARGEST_METADATA = 65_536
EFFORT = 0  # what a longer search finds changes with the encoder, and published streams do not


def photograph(width: int, height: int) -> Pixels:
    """scikit-image's coffee (Rachel Michetti, CC0), resized."""
    return np.asarray(Image.fromarray(photographs.coffee()).resize((width, height), Image.Resampling.BICUBIC))


def face() -> Pixels:
    """The middle of scikit-image's astronaut (NASA, public domain): 256 x 256."""
    return np.asarray(photographs.astronaut()[:256, 96:352])


def valid_streams(coder: FeatureCodec, codec: Codec) -> Iterator[Stream]:
    """All valid streams of one codec."""
    yield from of_qualities(coder)
    yield from of_sizes(coder)
    yield from of_sources(coder)
    yield from of_metadata(coder)
    yield from of_other_ways(coder)
    yield from of_symbols(codec)
    yield from of_escapes(codec)
    yield from of_containers(codec)


def of_qualities(coder: FeatureCodec) -> Iterator[Stream]:
    for quality in range(1, 9):
        data = coder.encode(face(), effort=EFFORT, quality=quality)
        yield Stream(f"quality-{quality}", f"astronaut, 256 x 256, quality {quality}", data)
    data = coder.encode(face(), effort=EFFORT, quality=3.53125)
    yield Stream("quality-between", "astronaut, 256 x 256, quality 3.53125 (step 81)", data)


def of_sizes(coder: FeatureCodec) -> Iterator[Stream]:
    for width, height in SIZES:
        data = coder.encode(photograph(width, height), effort=EFFORT, quality=4)
        yield Stream(f"size-{width}x{height}", f"coffee resized to {width} x {height}, quality 4", data)
    data = coder.encode(photograph(4000, 3000), effort=EFFORT, quality=2)
    yield Stream("size-4000x3000", "coffee enlarged to 4000 x 3000, quality 2", data)


def of_sources(coder: FeatureCodec) -> Iterator[Stream]:
    rng = np.random.default_rng(1)
    grey = np.asarray(Image.fromarray(photographs.camera()).resize((96, 80)))
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    alpha = np.stack(np.broadcast_arrays(ramp, ramp[::-1], ramp[:64, None], ramp[None, ::-1]), -1)
    noise = rng.integers(0, 256, (128, 128, 3), np.uint8)
    board = np.indices((96, 96)).sum(0).astype(np.uint8) % 2 * np.uint8(255)
    sources: list[tuple[str, str, NDArray[np.generic], int]] = [
        ("grey", "camera (scikit-image, CC0) resized to 96 x 80, one channel", grey, 4),
        ("grey-16", "the same with 16 bits", grey.astype(np.uint16) * np.uint16(257), 6),
        ("alpha", "ramps of colour and transparency, 96 x 64", alpha, 5),
        ("noise", "uniform noise, 128 x 128, seed 1", noise, 8),
        ("black", "black, 64 x 64", np.zeros((64, 64, 3), np.uint8), 1),
        ("white", "white, 64 x 64", np.full((64, 64, 3), 255, np.uint8), 8),
        ("board", "a chessboard of single pixels, 96 x 96", board, 8),
    ]
    for name, made, pixels, quality in sources:
        yield Stream(
            f"source-{name}",
            f"{made}, quality {quality}",
            coder.encode(pixels, effort=EFFORT, quality=quality),
        )


def of_metadata(coder: FeatureCodec) -> Iterator[Stream]:
    nested: object = "the 32nd level is the last"
    for _ in range(31):
        nested = [nested]
    objects: dict[str, dict[str, object]] = {
        "empty": {},
        "plain": {"camera": "north", "frame": 17, "place": [47.5, 19.0], "live": True, "note": None},
        "unicode": {"ort": "Nordstraße", "字": "🚲", "control": "\x1b[31m\x00\u202e"},
        "nested": {"levels": nested},
        "numbers": {"integers": [2**53 - 1, 1 - 2**53], "doubles": [1.7976931348623157e308, 5e-324, -0.5]},
    }
    if coder.name == DEFAULT:  # one such file is enough
        objects["largest"] = {"pad": "x" * (LARGEST_METADATA - len('{"pad":""}'))}
    for name, metadata in objects.items():
        data = coder.encode(photograph(24, 24), effort=EFFORT, quality=3, metadata=metadata)
        yield Stream(f"metadata-{name}", f"coffee resized to 24 x 24, quality 3, {name} metadata", data)


def of_other_ways(coder: FeatureCodec) -> Iterator[Stream]:
    sizes = [(96, 96), (90, 70), (64, 128)]
    batch = coder.encode_batch([photograph(*size) for size in sizes], effort=EFFORT, quality=4)
    for number, ((width, height), data) in enumerate(zip(sizes, batch, strict=True), 1):
        made = f"coffee resized to {width} x {height}, quality 4, number {number} of a batch of three"
        yield Stream(f"batch-{number}", made, data)
    data = coder.encode(face(), effort=EFFORT, target_bytes=1200)
    yield Stream("target-bytes", "astronaut, 256 x 256, the best quality of at most 1,200 bytes", data)


def of_symbols(codec: Codec) -> Iterator[Stream]:
    """Chosen symbols, no escapes among them."""
    rng = np.random.default_rng(2)
    largest = Built.of(codec, 16_384, 16_384, np.zeros((codec.side, 7, 7), np.int64))
    yield Stream("built-largest-picture", "2^28 pixels, the default limit; all symbols 0", largest.data())
    small = Built.of(codec, 10, 10, np.zeros((codec.side, 1, 1), np.int64), size=64)
    y = np.clip(rng.integers(-3, 4, small.y.shape), *small.limits_of_y())
    made = "10 x 10, scaled up to 64; symbols -3 to 3, seed 2"
    yield Stream("built-enlarged", made, replace(small, y=y).data())
    quiet = Built.of(codec, 1, 1, most_likely(codec.tables_z)[:, None, None])
    y = most_likely(codec.tables_y)[quiet.index]
    made = "1 x 1, the most likely symbol everywhere: as short as a payload gets"
    yield Stream("built-most-likely", made, replace(quiet, y=y).data())
    lows = np.array([t.low for t in codec.tables_z])[:, None, None]
    highs = lows + np.array([len(t.frequencies) - 2 for t in codec.tables_z])[:, None, None]
    edges = Built.of(codec, 100, 70, np.where(rng.random((codec.side, 2, 2)) < 0.5, lows, highs))
    low, high = edges.limits_of_y()
    y = np.where(rng.random(edges.y.shape) < 0.5, low, high)
    made = "100 x 70, the first or last entry of its table everywhere, seed 2"
    yield Stream("built-edges", made, replace(edges, y=y).data())


def most_likely(tables: list[Table]) -> Ints:
    """The symbol of the largest frequency of each row."""
    return np.array([int(np.argmax(t.frequencies[:-1])) + t.low for t in tables], np.int64)


def of_escapes(codec: Codec) -> Iterator[Stream]:
    rng = np.random.default_rng(3)
    z = rng.integers(-400, 401, (codec.side, 1, 1))
    few = Built.of(codec, 40, 30, z)
    low, high = few.limits_of_y()
    y = np.rint(rng.laplace(0, 30, few.y.shape)).astype(np.int64)
    yield Stream(
        "escapes-some", "40 x 30, z within 400, y of Laplace noise, seed 3", replace(few, y=y).data()
    )
    y = np.where(np.indices(low.shape).sum(0) % 2 == 0, low - 1, high + 1)
    yield Stream("escapes-all", "40 x 30, every y one beyond its table, seed 3", replace(few, y=y).data())
    y = np.zeros_like(low)
    y[0] = low[0] - 2**19  # codes 2^20 - 1, the last that there is
    y[1] = high[1] + 2**19  # 2^20 - 2
    y[2:] = (high + 2 ** rng.integers(0, 19, low.shape))[2:]
    made = "40 x 30, escapes of all lengths, up to 2^20 - 1 and 2^20 - 2, seed 3"
    yield Stream("escapes-far", made, replace(few, y=y).data())
    extreme = np.where(np.indices((codec.side, 2, 3)).sum(0) % 2 == 0, -32_768, 32_768)
    wide = Built.of(codec, 130, 70, extreme)
    yield Stream("escapes-of-z", "130 x 70, every z at -32,768 or 32,768, y 0", wide.data())


def of_containers(codec: Codec) -> Iterator[Stream]:
    built = Built.of(codec, 7, 3, np.zeros((codec.side, 1, 1), np.int64))
    header, payload = built.hashed(), (b"D", built.payload())
    sound = (b"H", header_content(header))
    unknown = container(sound, (b"z", b"later"), (b"m", b"{}"), (b"a", b""), (b"z", bytes(200)), payload)
    yield Stream("container-unknown-sections", "optional sections of a later release around m", unknown)
    spaced = (b"m", b' {"b" : 1e0,\n\t"a" : "\\u00e4\\/" } ')
    made = "metadata with spaces, unsorted keys and needless escapes"
    yield Stream("container-loose-metadata", made, container(sound, spaced, payload))
    full = container(sound, *[(b"z", b"")] * 62, payload)
    yield Stream("container-64-sections", "as many sections as the default limit allows", full)
    for name in ("x", "another-codec", ("0123456789._-" * 5)[:63]):
        renamed = (b"H", header_content(replace(header, name=name)))
        made = f"a codec name of {len(name)} characters that is not the codec's: the fingerprint decides"
        yield Stream(f"container-name-{len(name)}", made, container(renamed, payload))
