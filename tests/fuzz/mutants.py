"""Damaged, contradictory and hostile ``.plf`` files, made from sound ones by seeded chance.

    sound files ─┬─ raw: bits, bytes, cuts, insertions, splices ─────────▶ most end at a checksum
                 ├─ sealed: any section changed, checksums right again ──▶ header, metadata, entropy decoder
                 ├─ forged: nonsense under right checksums and hash ─────▶ features
                 └─ at the limits: all that the default limits allow

Each mutant follows from a seed, its kind and its number: a failure names all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from parts import PREAMBLE, contents, forged, seal, sound_files

from featcodec import zoo
from featcodec.codec.feature_codec import FeatureCodec, Symbols
from featcodec.errors import BitstreamError
from featcodec.pictures.geometry import Geometry
from featcodec.plf.binary import varint
from featcodec.plf.bitstream import DEFAULT_LIMITS, Bitstream, parse, sections, serialize
from featcodec.plf.header import Header, serialize_header

__all__ = ["PLAN", "Kind", "make", "numbers"]

# Numbers at which something changes: lengths of a varint, limits, signs.
_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**13, 2**14, 2**16, 2**19, 2**21, 2**28, 2**31, 2**32 - 1]
_SPELLINGS = [b"\x80\x00", b"\x80" * 9, b"\xff" * 5, b"\xff\xff\xff\xff\x10", b"\x81\x80\x00", b"\xff" * 400]
_JSON = '{}[]":,0123456789eE+-.\\u tfn"abNaI'


# ---- raw: checksums are left as they are


def _bits(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _bytes(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        out[rng.randrange(len(out))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(out)


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _inserted(rng: Random, data: bytes) -> bytes:
    at = rng.choice((rng.randrange(len(data) + 1), len(data)))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 50))) + data[at:]


def _removed(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 8) :]


def _noise(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at + rng.randint(0, 40) :]


def _spliced(rng: Random, data: bytes) -> bytes:
    other = rng.choice(sound_files())
    if rng.random() < 0.5:  # at the ends of sections, where it could go unnoticed
        ends = [len(PREAMBLE)] + [s.offset + s.size for s in sections(data)]
        starts = [s.offset for s in sections(other)] + [len(other)]
        return data[: rng.choice(ends)] + other[rng.choice(starts) :]
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def _reordered(rng: Random, data: bytes) -> bytes:
    found = sections(data)
    pieces = [data[s.offset : s.offset + s.size] for s in found]
    return data[: len(PREAMBLE)] + b"".join(_shuffled(rng, pieces))


def _shuffled(rng: Random, pieces: list) -> list:
    """Pieces, one of them moved, doubled or missing."""
    out = list(pieces)
    piece = out[rng.randrange(len(out))]
    match rng.randrange(3):
        case 0:
            rng.shuffle(out)
        case 1:
            out.insert(rng.randrange(len(out) + 1), piece)
        case _:
            out.remove(piece)
    return out


# ---- sealed: checksums are right again


def _sections(rng: Random, data: bytes) -> bytes:
    parts = contents(data)
    match rng.randrange(5):
        case 0 | 1:
            parts = _shuffled(rng, parts)
        case 2:  # a tag of another kind
            at = rng.randrange(len(parts))
            parts[at] = (bytes([rng.randrange(256)]), parts[at][1])
        case 3:  # more sections
            for _ in range(rng.choice((1, 3, 61, 62, 63, 200))):
                parts.insert(rng.randrange(1, len(parts)), (rng.choice((b"z", b"q", b"m", b"Z")), b""))
        case _:  # from another file
            at, other = rng.randrange(len(parts)), contents(rng.choice(sound_files()))
            parts[at] = rng.choice(other)
    return seal(parts)


def _lengths(rng: Random, data: bytes) -> bytes:
    parts = contents(data)
    at = rng.randrange(len(parts))
    match rng.randrange(3):
        case 0:
            spelling = rng.choice(_SPELLINGS)
        case 1:
            spelling = varint(rng.choice(_NUMBERS))
        case _:
            spelling = varint(max(0, len(parts[at][1]) + rng.choice((-4, -1, 1, 3, 4, 5, 9, 50))))
    return seal(parts, spelling=(at, spelling))


def _header_fields(header: Header) -> list[bytes]:
    numbers = (header.width, header.height, header.size, header.latent_height, header.latent_width)
    name = header.codec.encode()
    return [
        header.fingerprint,
        bytes([header.quality_step]),
        *map(varint, numbers),
        header.symbol_hash,
        bytes([len(name)]) + name,
    ]


def _numbers(rng: Random, data: bytes) -> bytes:
    fields = _header_fields(parse(data).header)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(1, 7)
        if at == 1:
            fields[at] = bytes([rng.choice((0, 224, 225, 255, rng.randrange(256)))])
        else:
            number = rng.choice((rng.choice(_NUMBERS), rng.randint(1, 300), rng.randrange(2**32)))
            fields[at] = rng.choice((varint(number), varint(number), varint(number), rng.choice(_SPELLINGS)))
    return seal([(b"H", b"".join(fields)), *contents(data)[1:]])


def _header_bytes(rng: Random, data: bytes) -> bytes:
    (tag, header), *rest = contents(data)
    change = rng.choice((_bits, _bytes, _cut, _inserted, _removed, _noise))
    return seal([(tag, change(rng, header)), *rest])


def _metadata(rng: Random, data: bytes) -> bytes:
    first, *_, last = contents(data)
    good = b'{"camera":"north","n":[1,2.5,null,{"\xc3\xbc":true}]}'
    bombs: list[Callable[[], bytes]] = [
        lambda: b"[" * rng.choice((32, 33, 1000, 65_536)),
        lambda: b'{"a":' * rng.choice((31, 32, 33, 5000)) + b"1" + b"}" * rng.choice((31, 32, 33, 5000)),
        lambda: b'{"a":' + b"9" * rng.choice((15, 16, 17, 400, 65_000)) + b"}",
        lambda: b'{"a":-0.' + b"1" * 60_000 + b"e" + b"9" * rng.choice((1, 3, 5000)) + b"}",
        lambda: b'{"a":' + rng.choice((b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"tru")) + b"}",
        lambda: b"{" + b",".join(b'"%d":0' % (i % 6000) for i in range(rng.choice((6000, 6001)))) + b"}",
        lambda: b" " * rng.choice((65_535, 65_536, 65_537)) + b"{}",
        lambda: b'{"a":"' + rng.randbytes(rng.randint(1, 300)) + b'"}',
        lambda: rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"")) + rng.choice((b"{}", b"[]", b"1", b"")),
        lambda: "".join(rng.choices(_JSON, k=rng.randint(1, 300))).encode(),
        lambda: b'{"' + b"\\u0000" * rng.randint(1, 9000) + b'":[]}',
    ]
    changes = [_bits, _bytes, _cut, _inserted, _removed, _noise]
    content = rng.choice(bombs)() if rng.random() < 0.4 else rng.choice(changes)(rng, good)
    return seal([first, (b"m", content), last])


def _payload(rng: Random, data: bytes) -> bytes:
    """Bits and words of the payload changed, or words more and fewer."""
    *rest, (tag, payload) = contents(data)
    match rng.randrange(5):
        case 0 | 1:
            payload = _bits(rng, payload)
        case 2:
            payload = payload[: 4 * rng.randrange(len(payload) // 4 + 1)]
        case 3:
            payload += rng.choice((bytes(4), bytes(8), rng.randbytes(4 * rng.randint(1, 40))))
        case _:
            payload = _noise(rng, payload)
    return seal([*rest, (tag, payload)])


def _random_payload(rng: Random, data: bytes) -> bytes:
    *rest, (tag, payload) = contents(data)
    words = rng.choice((1, 2, len(payload) // 4, rng.randint(1, 400)))
    constant = rng.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * 4 * words
    return seal([*rest, (tag, rng.choice((constant, rng.randbytes(4 * words), rng.randbytes(4 * words))))])


def _other_size(rng: Random, data: bytes) -> bytes:
    """Another picture size, with the latents that go with it, over the same payload."""
    header = parse(data).header
    longest = int(2 ** rng.uniform(0, 8 if rng.random() < 0.98 else 10.4))
    width, height = rng.choice(((longest, longest), (longest, 1), (rng.randint(1, longest), longest)))
    changed = _sized(header, width, height, longest)
    return seal([(b"H", serialize_header(changed)), *contents(data)[1:]])


def _sized(header: Header, width: int, height: int, size: int) -> Header:
    config = zoo.for_header(header).file.config
    g = Geometry(width, height, size, config.stride)
    latents = g.canvas_height // config.latent_stride, g.canvas_width // config.latent_stride
    return replace(
        header, width=width, height=height, size=size, latent_height=latents[0], latent_width=latents[1]
    )


# ---- forged, and at the limits


def _forged(rng: Random, data: bytes) -> bytes:
    """Nonsense that decodes: words are tried until a payload happens to end where its symbols do."""
    codec = zoo.for_header(parse(data).header)
    for words in rng.sample(range(1, 60), 12):
        *rest, (tag, payload) = contents(data)
        start = rng.randrange(len(payload) // 4)
        changed = payload[: 4 * start] + rng.randbytes(4 * words)
        try:
            return forged(seal([*rest, (tag, changed)]), codec)
        except BitstreamError:
            continue
    return forged(_symbols_changed(rng, data, codec), codec)


def _symbols_changed(rng: Random, data: bytes, codec: FeatureCodec) -> bytes:
    """A payload of other symbols, some of them far out."""
    stream = parse(data)
    geometry = Geometry(
        stream.header.width, stream.header.height, stream.header.size, codec.file.config.stride
    )
    s = codec.decode_symbols(stream, geometry)
    y = s.y.copy().reshape(-1)
    for _ in range(rng.randint(1, 30)):
        y[rng.randrange(y.size)] = rng.choice((-(2**18), 2**18, -1000, 1000, 7))
    return serialize(replace(stream, payload=codec.payload(replace(s, y=y.reshape(s.y.shape)))))


def _largest(rng: Random, data: bytes) -> bytes:
    """As many latents as the limits allow, over a payload of any size up to its limit."""
    side = int(DEFAULT_LIMITS.max_latents**0.5) * 16 // 32 * 32
    header = _sized(parse(data).header, side, side, side)
    words = rng.choice((1, 1000, DEFAULT_LIMITS.max_payload // 4))
    payload = rng.choice((bytes, rng.randbytes))(4 * words)
    return serialize(Bitstream(header, payload))


def _escapes(rng: Random, data: bytes) -> bytes:
    """As many latents as the limits allow, and as many escapes among them as the payload can hold."""
    header = parse(data).header
    codec = zoo.for_header(header)
    side = int(DEFAULT_LIMITS.max_latents**0.5) * 16 // 32 * 32
    header = _sized(header, side, side, side)
    height, width = header.latent_height, header.latent_width
    z = np.zeros((codec.file.config.widths.side, -(-height // 4), -(-width // 4)), np.int32)
    index, mean = codec.model.h_s(z, height, width)
    tables = codec.file.tables_y
    beyond = (tables.lows + tables.sizes - 1)[index]  # the nearest symbol that no row has
    count = 8 * DEFAULT_LIMITS.max_payload // 24
    while True:
        far = np.zeros(index.size, bool)
        far[rng.sample(range(index.size), min(count, index.size))] = True
        y = np.where(far.reshape(index.shape), beyond, 0).astype(np.int32)
        s = Symbols(z, y, index, mean)
        payload = codec.payload(s)
        if len(payload) <= DEFAULT_LIMITS.max_payload:
            return serialize(Bitstream(replace(header, symbol_hash=s.hash), payload))
        count = count * 9 // 10


# ---- the plan


@dataclass(frozen=True, slots=True)
class Kind:
    """How mutants of a kind are made.

    Attributes:
        count: how many a run makes.
        change: from a sound file to a mutant.
        sealed: checksums are right; where they are not, none may decode.
        features: decoded to features, not only to latents.
    """

    count: int
    change: Callable[[Random, bytes], bytes]
    sealed: bool = True
    features: bool = False


PLAN = {
    "bits": Kind(2500, _bits, sealed=False),
    "bytes": Kind(2000, _bytes, sealed=False),
    "cut": Kind(1500, _cut, sealed=False),
    "inserted": Kind(1500, _inserted, sealed=False),
    "removed": Kind(1000, _removed, sealed=False),
    "noise": Kind(1000, _noise, sealed=False),
    "spliced": Kind(1500, _spliced, sealed=False),
    "sections": Kind(800, _reordered, sealed=False),
    "sealed sections": Kind(1500, _sections),
    "sealed lengths": Kind(1200, _lengths),
    "sealed numbers": Kind(2000, _numbers),
    "sealed header bytes": Kind(1200, _header_bytes),
    "sealed metadata": Kind(1000, _metadata),
    "sealed payload": Kind(1500, _payload),
    "sealed random payload": Kind(1000, _random_payload),
    "sealed other size": Kind(250, _other_size),
    "sealed features": Kind(100, _payload, features=True),
    "forged": Kind(60, _forged, features=True),
    "largest": Kind(6, _largest, features=True),
    "largest of escapes": Kind(2, _escapes, features=True),
}


def make(kind: str, number: int, seed: int) -> bytes:
    """One mutant."""
    rng = Random(f"{seed}/{kind}/{number}")
    return PLAN[kind].change(rng, rng.choice(sound_files()))


def numbers(kind: str, times: int) -> Iterator[int]:
    """Numbers of the mutants of a kind in a run of `times` the usual length."""
    return iter(range(PLAN[kind].count * times))
