"""Invalid streams whose container is sound: the payload does not go with the header, or does not decode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from writing import Base, Built, Codec, RangeEncoder, Stream, encode_part, reference, z_rows

__all__ = ["of_entropy_coding", "of_payloads"]

MALFORMED, HASH, MISMATCH = "MalformedError", "SymbolHashError", "ModelMismatchError"


def of_payloads(base: Base, other: Codec) -> Iterator[Stream]:
    for length in (0, 3, 5):
        made = f"a payload of {length} bytes"
        data = base.with_payload(bytes(length))
        yield Stream(f"payload-{length}", made, data, MALFORMED, "section D at offset ")
    start = "the file wants codec "
    unknown = base.with_header(fingerprint=bytes(range(16)))
    yield Stream("codec-unknown", "a fingerprint that no codec has", unknown, MISMATCH, start)
    wrong = base.with_header(fingerprint=other.fingerprint)
    made = f"the fingerprint of {other.name}, which did not make the file"
    yield Stream("codec-wrong", made, wrong)
    for name, message, changes in [
        ("rows", "got 3 x 2 latents, expected 2 x 2", {"rows": 3}),
        ("columns", "got 2 x 1 latents, expected 2 x 2", {"columns": 1}),
        ("most", "got 91 x 90 latents, expected 2 x 2", {"rows": 91, "columns": 90}),
        ("width", "got 2 x 2 latents, expected 2 x 26", {"width": 700, "size": 416}),
        ("size", "got 2 x 2 latents, expected 4 x 8", {"size": 100}),
    ]:
        made = ", ".join(f"{key} {value}" for key, value in changes.items())
        data = base.with_header(**changes)
        yield Stream(f"shape-{name}", f"{made}: not the picture's", data, MALFORMED, f"header: {message}")


def of_entropy_coding(base: Base) -> Iterator[Stream]:
    payload, rng = base.payload, np.random.default_rng(5)
    message = "decoded symbols: got hash "
    wrong = base.with_header(symbol_hash=b"\1\2\3\4")
    yield Stream("hash-wrong", "another symbol hash", wrong, HASH, message)
    symbols = reference.symbol_bytes(base.built.z, base.built.y)
    short = base.with_header(symbol_hash=hashlib.blake2b(symbols, digest_size=4).digest())
    yield Stream("hash-of-4-bytes", "the hash of BLAKE2b's variant of 4 bytes", short, HASH, message)
    yield Stream("words-zero", "a single word, 0", base.with_payload(bytes(4)), HASH, message)
    for name, made, nonsense in [
        ("ones", "all bits set: the decoder's quantile is out of range", b"\xff" * len(payload)),
        ("random", "4,000 random bytes, seed 5", rng.bytes(4000)),
        ("left-over", "two words too many", payload + bytes(8)),
    ]:
        yield Stream(f"words-{name}", made, base.with_payload(nonsense), MALFORMED, "payload: ")
    yield Stream(
        "words-missing", "half of the words missing", base.with_payload(payload[: len(payload) // 8 * 4])
    )
    swapped = payload[4:8] + payload[:4] + payload[8:]
    yield Stream("words-swapped", "the first two words swapped", base.with_payload(swapped))
    big = np.frombuffer(payload, "<u4").astype(">u4").tobytes()
    yield Stream("words-big-endian", "words with their highest byte first", base.with_payload(big))
    far = base.with_payload(escape_too_far(base.codec))
    yield Stream("escape-too-far", "an escape of 2^20", far, MALFORMED, "payload: ")
    z = base.built.z.copy()
    for name, value in [("above", 32_769), ("below", -32_769)]:
        z[0, 0, 0] = value
        data = replace(Built.of(base.codec, 7, 3, z), y=base.built.y).data()
        yield Stream(
            f"z-{name}", f"a z of {value:,}", data, MALFORMED, "payload: side information out of range"
        )
    yield in_raster_order(base)


def escape_too_far(codec: Codec) -> bytes:
    """A payload whose first z is escaped with a number beyond the code."""
    encoder = RangeEncoder()
    for number, table in enumerate(codec.tables_z):
        entry = len(table.frequencies) - 1 if number == 0 else 0
        encoder.advance(table.starts[entry], table.frequencies[entry])
    encoder.uniform(20, 21)
    encoder.uniform(1, 1 << 20)
    return encoder.finish()


def in_raster_order(base: Base) -> Stream:
    """What a writer makes that codes y as it lies, not table by table."""
    built, encoder = base.built, RangeEncoder()
    encode_part(encoder, symbols_of(built.z), z_rows(base.codec, built.z), base.codec.tables_z)
    for symbol, row in zip(symbols_of(built.y), symbols_of(built.index), strict=True):
        encode_part(encoder, [symbol], [row], base.codec.tables_y)
    return Stream("order-raster", "y coded in raster order", base.with_payload(encoder.finish()))


def symbols_of(array: np.ndarray) -> Sequence[int]:  # type: ignore[type-arg]
    return array.reshape(-1).tolist()  # type: ignore[no-any-return]
