"""Entropy coding: round trips, the stored integers are what is coded, damage has a name."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from range_coder_reference import RangeEncoder, Refused, Table, decode, encode_part

from featcodec.codec.entropy import PRECISION, SymbolDecoder, Tables, encode_symbols, ideal_bits, symbol_hash
from featcodec.errors import InputError, MalformedError

TOTAL = 1 << PRECISION
REACH = 1 << 19  # how far beyond its table's edge a symbol can lie
Ints = NDArray[np.int32]
Part = tuple[Ints, Ints, Tables]


def ints(values: object) -> Ints:
    return np.array(values, np.int32).reshape(-1)


def tables(*rows: tuple[int, list[int]]) -> Tables:
    """Of (low, frequencies) pairs."""
    frequencies = np.zeros((len(rows), max(len(f) for _, f in rows)), np.int32)
    for r, (_, f) in enumerate(rows):
        frequencies[r, : len(f)] = f
    return Tables(frequencies, ints([len(f) for _, f in rows]), ints([low for low, _ in rows]))


def frequencies(weights: list[int]) -> list[int]:
    """Whole numbers from 1 up that add up to 2^24 and follow the weights."""
    free, total = TOTAL - len(weights), max(sum(weights), 1)
    out = [1 + w * free // total for w in weights]
    out[weights.index(max(weights))] += TOTAL - sum(out)
    return out


def plain(t: Tables) -> list[Table]:
    """The same tables, for the reference decoder."""
    rows = zip(t.lows.tolist(), t.frequencies.tolist(), t.sizes.tolist(), strict=True)
    return [Table(low, row[:size]) for low, row, size in rows]


def gaussians(scales: list[float]) -> Tables:
    """Discretized normal distributions, wide ones with hundreds of entries."""
    rows = []
    for scale in scales:
        half = max(1, math.ceil(5 * scale))
        edges = [math.erf((k - 0.5) / scale / math.sqrt(2)) for k in range(-half, half + 2)]
        rows.append((-half, frequencies([int((b - a) * 2**30) for a, b in zip(edges, edges[1:])] + [2**10])))  # noqa: B905, RUF007
    return tables(*rows)


SCALES = [0.11 * 1.1064**i for i in range(64)]
NORMAL = gaussians(SCALES)


def sample(seed: int, count: int, outliers: int = 0) -> Part:
    """Symbols that follow `NORMAL`, some moved far outside."""
    rng = np.random.default_rng(seed)
    rows = np.clip(rng.normal(20, 12, count), 0, 63).astype(np.int32)
    symbols = np.rint(rng.normal(size=count) * np.array(SCALES)[rows]).astype(np.int32)
    at = rng.choice(count, outliers, replace=False)
    symbols[at] = rng.integers(-REACH // 2, REACH // 2, outliers)
    return symbols, rows, NORMAL


def decoded(data: bytes, parts: list[Part]) -> list[list[int]]:
    decoder = SymbolDecoder(data)
    out = [decoder.decode(rows, t).tolist() for _, rows, t in parts]
    decoder.finish()
    return out


def by_reference(data: bytes, parts: list[Part]) -> list[list[int]]:
    return decode(data, [(rows.tolist(), plain(t)) for _, rows, t in parts])


def written_by_reference(parts: list[Part]) -> bytes:
    encoder = RangeEncoder()
    for symbols, rows, t in parts:
        encode_part(encoder, symbols.tolist(), rows.tolist(), plain(t))
    return encoder.finish()


# ---- round trips


@st.composite
def some_tables(draw: st.DrawFn) -> Tables:
    flat = st.lists(st.integers(0, 1000), min_size=2, max_size=30)
    peak = st.integers(2, 400).flatmap(
        lambda n: st.integers(0, n - 1).map(lambda at: [int(i == at) for i in range(n)])
    )
    row = st.tuples(st.integers(-300, 300), st.one_of(flat, peak).map(frequencies))
    return tables(*draw(st.lists(row, min_size=1, max_size=5)))


@st.composite
def some_part(draw: st.DrawFn) -> Part:
    t = draw(some_tables())
    symbols, rows = [], []
    for _ in range(draw(st.integers(0, 40))):
        row = draw(st.integers(0, len(t.sizes) - 1))
        low, above = int(t.lows[row]), int(t.lows[row] + t.sizes[row] - 1)
        near = st.integers(low - 2, above + 2)
        symbols.append(draw(st.one_of(near, near, near, st.integers(low - REACH, above + REACH - 1))))
        rows.append(row)
    return ints(symbols), ints(rows), t


@given(st.lists(some_part(), max_size=3))
@settings(max_examples=80)
def test_what_was_encoded_is_decoded_by_the_library_and_by_the_reference(parts: list[Part]) -> None:
    data = encode_symbols(parts)
    expected = [symbols.tolist() for symbols, _, _ in parts]
    assert decoded(data, parts) == expected
    assert by_reference(data, parts) == expected
    assert written_by_reference(parts) == data


def test_single_symbols_of_every_entry_and_both_edges_round_trip() -> None:
    t = tables((-3, frequencies([1, 0, 5, 1000, 5, 0, 1])), (7, [1, TOTAL - 1]), (7, [TOTAL - 1, 1]))
    for row in range(3):
        low, above = int(t.lows[row]), int(t.lows[row] + t.sizes[row] - 1)
        for symbol in [*range(low - 3, above + 3), low - REACH, above + REACH - 1]:
            part = (ints([symbol]), ints([row]), t)
            data = encode_symbols([part])
            assert 4 <= len(data) <= 16
            assert decoded(data, [part]) == by_reference(data, [part]) == [[symbol]]


def test_no_symbols_take_no_bytes_and_decode() -> None:
    nothing = (ints([]), ints([]), NORMAL)
    assert encode_symbols([]) == encode_symbols([nothing, nothing]) == b""
    assert decoded(b"", [nothing]) == by_reference(b"", [nothing]) == [[]]


def test_empty_parts_between_others_change_nothing() -> None:
    part, nothing = sample(1, 50), (ints([]), ints([]), NORMAL)
    assert encode_symbols([nothing, part, nothing]) == encode_symbols([part])


def test_escapes_follow_their_part_and_reach_as_far_as_promised() -> None:
    low, above = int(NORMAL.lows[5]), int(NORMAL.lows[5] + NORMAL.sizes[5] - 1)
    far = ints([low - REACH, above + REACH - 1, 0, low - 1, above])
    first, second = (far, ints([5] * 5), NORMAL), sample(2, 300, outliers=20)
    data = encode_symbols([first, second])
    assert decoded(data, [first, second]) == by_reference(data, [first, second])
    assert decoded(data, [first, second])[0] == far.tolist()


@pytest.mark.parametrize("beyond", [-REACH - 1, REACH, -(2**31), 2**31 - 1])
def test_symbols_out_of_reach_are_refused_by_name(beyond: int) -> None:
    edge = int(NORMAL.lows[5]) if beyond < 0 else int(NORMAL.lows[5] + NORMAL.sizes[5] - 1)
    symbol = max(-(2**31), min(2**31 - 1, edge + beyond))
    with pytest.raises(InputError, match=rf"got an outlier {symbol}, expected it within 2\^19 of its table"):
        encode_symbols([(ints([0, symbol]), ints([5, 5]), NORMAL)])


def test_a_large_picture_round_trips_and_agrees_with_the_reference() -> None:
    parts = [sample(3, 3_000), sample(4, 10_000, outliers=40)]
    data = encode_symbols(parts)
    assert decoded(data, parts) == [symbols.tolist() for symbols, _, _ in parts]
    assert by_reference(data, parts) == decoded(data, parts)
    assert written_by_reference(parts) == data


def test_the_bytes_are_pinned() -> None:
    """Golden vector: a change here is a change of the format."""
    t = tables((-1, [1 << 22, 1 << 23, (1 << 22) - 1, 1]), (0, [TOTAL - 5, 2, 2, 1]))
    parts = [
        (ints([0, -1, 1, 900, 0, -1]), ints([0, 0, 0, 0, 1, 1]), t),
        (ints([0, 0, 1]), ints([1, 0, 1]), t),
    ]
    data = encode_symbols(parts)
    assert decoded(data, parts) == by_reference(data, parts)
    assert data.hex(" ", -4) == "dfffff5f 1a1c00fc a64641d6 64b39a2a"


# ---- the coder works on exactly the stored integers


ADVERSARIAL = {
    "two entries, peak first": [TOTAL - 1, 1],
    "two entries, peak last": [1, TOTAL - 1],
    "641 entries, peak in the middle": [1] * 320 + [TOTAL - 640] + [1] * 320,
    "641 entries, peak first": [TOTAL - 640] + [1] * 640,
    "641 entries, peak last": [1] * 640 + [TOTAL - 640],
    "equal thirds": [5592405, 5592405, 5592406],
    "odd and even by turns": frequencies([1, 2**20] * 300),
    "rising": frequencies(list(range(1000))),
    "powers of two": [1 << k for k in range(24)] + [1],
    "powers of three": frequencies([3**k for k in range(40)]),
    "65,536 equal entries": [256] * 65536,
}


@pytest.mark.parametrize("row", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
def test_the_model_gives_each_entry_exactly_its_frequency(row: list[int]) -> None:
    """A decoder whose first two words spell a quantile falls into the entry that holds it."""
    model = tables((0, row)).model(0)
    starts = np.concatenate([[0], np.cumsum(row)])
    quantiles = np.unique(np.concatenate([starts[:-1], starts[1:] - 1]))  # first and last of each entry
    if len(quantiles) > 3000:
        quantiles = quantiles[:: len(quantiles) // 1500]
    part = (2**64 - 1) >> PRECISION
    for quantile in quantiles.tolist():
        point = quantile * part
        decoder = constriction.stream.queue.RangeDecoder(np.array([point >> 32, point % 2**32], np.uint32))
        entry = int(decoder.decode(model))
        assert starts[entry] <= quantile < starts[entry + 1]


@pytest.mark.parametrize("row", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
def test_adversarial_tables_round_trip_and_agree_with_the_reference(row: list[int]) -> None:
    t = tables((-5, row))
    rng = np.random.default_rng(len(row))
    picks = np.searchsorted(np.cumsum(row), rng.integers(0, TOTAL, 300), side="right")
    entries = np.concatenate([picks, rng.integers(0, len(row) - 1, 100), [0, len(row) - 2]])
    symbols = ints(entries.clip(max=len(row) - 2) - 5)
    part = (symbols, np.zeros_like(symbols), t)
    data = encode_symbols([part])
    assert decoded(data, [part]) == by_reference(data, [part]) == [symbols.tolist()]


def test_long_runs_of_the_likeliest_symbol_cost_next_to_nothing() -> None:
    symbols = np.zeros(200_000, np.int32)
    part = (symbols, symbols, tables((0, [TOTAL - 1, 1])))
    data = encode_symbols([part])
    assert len(data) <= 8
    assert decoded(data, [part]) == [symbols.tolist()]


# ---- rates


@pytest.mark.parametrize("outliers", [0, 200])
def test_the_bytes_written_are_the_ideal_bits(outliers: int) -> None:
    part = sample(5, 43_264, outliers)
    ideal = float(ideal_bits(*part).sum()) / 8
    assert ideal - 1 <= len(encode_symbols([part])) <= 1.001 * ideal + 8


def test_ideal_bits_are_minus_log2_of_the_frequency_and_count_escapes() -> None:
    t = tables((0, [TOTAL // 2, TOTAL // 4, TOTAL // 4]))
    bits = ideal_bits(ints([0, 1, 2, -1, 3, -2]), ints([0] * 6), t)
    gamma = [0, 1, 1, 2]  # bits below the leading one of 1, 2, 3, 4
    assert bits.tolist() == pytest.approx([1, 2] + [2 + math.log2(21) + g for g in gamma])


# ---- tables


def stored(**changed: NDArray[np.int32]) -> Tables:
    good = tables((0, [TOTAL - 2, 1, 1]), (-1, [TOTAL - 1, 1]))
    return replace(good, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sizes": ints([1, 2])}, "table 0: got 1 frequencies, expected 2 to 3"),
        ({"sizes": ints([0, 2])}, "table 0: got 0 frequencies"),
        ({"sizes": ints([3, -2])}, "table 1: got -2 frequencies"),
        ({"sizes": ints([3, 4])}, "table 1: got 4 frequencies, expected 2 to 3"),
        ({"sizes": ints([3])}, "tables: got .*expected int32"),
        ({"lows": ints([3])}, "tables: got .*expected int32"),
        ({"sizes": np.array([3, 2])}, "tables: got .*expected int32"),
        ({"lows": np.array([0.0, 1.0])}, "tables: got .*expected int32"),
        ({"frequencies": np.ones(3, np.int32)}, "tables: got .*expected int32"),
        ({"frequencies": np.ones((0, 3), np.int32)}, "tables: got .*expected int32"),
        ({"frequencies": np.array([[TOTAL - 2, 1, 1], [TOTAL, 0, 0]], np.int32)}, "table 1: .* from 0"),
        ({"frequencies": np.array([[TOTAL + 1, 1, -2], [TOTAL - 1, 1, 0]], np.int32)}, "table 0: .* from -2"),
        (
            {"frequencies": np.array([[TOTAL - 1, 1, 1], [TOTAL - 1, 1, 0]], np.int32)},
            "adding up to 16777217",
        ),
        ({"frequencies": np.full((2, 3), 2**31 - 1, np.int32)}, "adding up to 6442450941"),
        ({"lows": ints([0, -(2**31)])}, "table 1: got symbols -2147483648 to"),
        ({"lows": ints([2**20 - 2, 0])}, "table 0: got symbols 1048574 to 1048575"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(changed: dict[str, Ints], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stored(**changed)


def test_what_lies_beyond_a_row_s_size_is_zero() -> None:
    good = stored()
    with pytest.raises(InputError, match=r"table 1: got frequencies beyond its 2, expected zeros"):
        replace(good, frequencies=np.where(good.frequencies == 0, 77, good.frequencies))


def test_the_frequencies_of_all_rows_together_are_bounded() -> None:
    wide = np.zeros((5, 1 << 20), np.int32)
    with pytest.raises(InputError, match="got 5,242,880 frequencies, expected at most 4,194,304"):
        Tables(wide, ints([2] * 5), ints([0] * 5))


# ---- damage


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    words = np.frombuffer(data, "<u4").copy()
    match rng.integers(7):
        case 0:
            bits = np.frombuffer(data, np.uint8).copy()
            bits[rng.integers(len(bits))] ^= 1 << rng.integers(8)
            return bits.tobytes()
        case 1:
            return data[: rng.integers(len(data))]
        case 2:
            return words[: rng.integers(1, len(words))].tobytes()
        case 3:
            return data + rng.bytes(4 * int(rng.integers(1, 4)))
        case 4:
            words[rng.integers(len(words)) :] = rng.choice([0, 2**32 - 1])
            return words.tobytes()
        case 5:
            return rng.bytes(4 * int(rng.integers(1, 40)))
        case _:
            at = rng.integers(len(words), size=2)
            words[at] = words[at[::-1]]
            return words.tobytes()


def outcome(data: bytes, parts: list[Part], *, reference: bool) -> list[list[int]] | None:
    """The symbols, or None if the payload is refused; any other error passes."""
    try:
        return by_reference(data, parts) if reference else decoded(data, parts)
    except (MalformedError, Refused):
        return None


def test_damaged_payloads_give_symbols_or_malformed_error_and_the_reference_agrees() -> None:
    parts = [sample(6, 40), sample(7, 200, outliers=6)]
    data, rng = encode_symbols(parts), np.random.default_rng(8)
    outcomes = []
    for _ in range(400):
        damaged = mutant(data, rng)
        outcomes.append(outcome(damaged, parts, reference=False))
        assert outcomes[-1] == outcome(damaged, parts, reference=True)
    assert 300 < sum(found is None for found in outcomes) < 400  # many are refused, not all


@pytest.mark.parametrize("seed", range(3))
def test_tables_full_of_escapes_do_not_make_damage_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    part = (ints([0] * 60), ints([0] * 60), tables((0, [1, TOTAL - 1])))
    for _ in range(100):
        data = rng.bytes(4 * int(rng.integers(1, 60)))
        assert outcome(data, [part], reference=False) == outcome(data, [part], reference=True)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 9])
def test_payloads_that_are_no_whole_words_are_refused(length: int) -> None:
    with pytest.raises(MalformedError, match=f"got {length} bytes, expected a multiple of 4"):
        SymbolDecoder(bytes(length))


def test_two_words_more_are_always_found() -> None:
    for seed in range(20):
        part = sample(seed, 30)
        with pytest.raises(MalformedError, match="words are left over"):
            decoded(encode_symbols([part]) + bytes(8), [part])


def test_ones_only_point_beyond_the_range_and_are_refused() -> None:
    with pytest.raises(MalformedError, match="the entropy coder stopped"):
        SymbolDecoder(b"\xff" * 8).decode(ints([3]), NORMAL)


def test_more_escapes_than_the_payload_can_hold_are_refused_before_they_are_read() -> None:
    rows = np.zeros(1_000_000, np.int32)
    with pytest.raises(MalformedError, match=r"got \d+ escapes in 2 words"):
        SymbolDecoder(b"\xfe" * 8).decode(rows, tables((0, [1, TOTAL - 1])))


def test_escapes_that_no_encoder_writes_are_refused() -> None:
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(1, tables((0, [TOTAL - 1, 1])).model(0))
    coder.encode(20, constriction.stream.model.Uniform(21))
    coder.encode(1, constriction.stream.model.Uniform(1 << 20))
    data = coder.get_compressed().astype("<u4").tobytes()
    with pytest.raises(MalformedError, match=r"got an escape of 1048576, expected less than 2\^20"):
        SymbolDecoder(data).decode(ints([0]), tables((0, [TOTAL - 1, 1])))


# ---- the hash


def test_the_hash_is_blake2b_over_little_endian_symbols_part_after_part() -> None:
    z, y = ints([1, -2, 3]), ints([70_000])
    digest = hashlib.blake2b(b"\1\0\0\0\xfe\xff\xff\xff\3\0\0\0" + (70_000).to_bytes(4, "little")).digest()
    assert symbol_hash(z, y) == digest[:4]
    assert symbol_hash(np.repeat(z, 2)[::2], y) == digest[:4]
    assert symbol_hash(z, y + 1) != digest[:4]
