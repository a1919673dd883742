"""The `.plf` container: round trips, damage, untrusted content, limits."""

import json
import re
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featcodec import errors
from featcodec.plf.bitstream import (
    DEFAULT_LIMITS,
    MAGIC,
    Bitstream,
    Limits,
    Section,
    parse,
    sections,
    serialize,
)
from featcodec.plf.header import Header, quality_to_step
from featcodec.plf.metadata import MAX_METADATA

HEADER = Header(bytes(range(16)), "my-detector", 80, 4000, 3000, 640, 40, 40, bytes.fromhex("deadbeef"))
STREAM = Bitstream(HEADER, bytes(range(1, 9)), {"camera": "north"})
SAMPLE = serialize(STREAM)
OTHER = serialize(Bitstream(replace(HEADER, symbol_hash=bytes(4)), bytes(range(11, 19)), {"camera": "south"}))
SPEC = Path(__file__).parents[2] / "docs" / "plf-format.md"
UNLIMITED = Limits(2**96, 2**96, 2**96, 2**96, 2**96, 2**96)


def varint(value: int) -> bytes:
    """Unsigned LEB128, written anew from the specification."""
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def container(*contents: tuple[bytes, bytes]) -> bytes:
    """A file of any sections, with sound checksums; written anew from the specification."""
    file = covered = MAGIC + b"\x01"
    for tag, content in contents:
        section = tag + varint(len(content)) + content
        covered += section
        file += section + zlib.crc32(covered).to_bytes(4, "little")
    return file


def content(tag: str, data: bytes = SAMPLE) -> bytes:
    """The content of a section."""
    [found] = [s for s in sections(data) if s.tag == tag]
    return data[found.start : found.start + found.length]


H, M, D = (b"H", content("H")), (b"m", content("m")), (b"D", content("D"))
NUMBERS = 17  # offset of the varints in the content of H


def header_with(at: int, replacement: bytes, length: int = 1) -> bytes:
    """A file with sound checksums whose header content has other bytes."""
    changed = H[1][:at] + replacement + H[1][at + length :]
    return container((b"H", changed), D)


uints = st.integers(1, 2**32 - 1)
headers = st.builds(
    Header,
    fingerprint=st.binary(min_size=16, max_size=16),
    codec=st.from_regex(r"[a-z0-9._-]{1,63}", fullmatch=True),
    quality_step=st.integers(0, 224),
    width=uints,
    height=uints,
    size=uints,
    latent_height=uints,
    latent_width=uints,
    symbol_hash=st.binary(min_size=4, max_size=4),
)
json_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | json_text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(json_text, values, max_size=3),
    max_leaves=8,
)
streams = st.builds(
    Bitstream,
    header=headers,
    payload=st.binary(min_size=1, max_size=32).map(lambda words: words * 4),
    metadata=st.none() | st.dictionaries(json_text, json_values, max_size=4),
)


class TestRoundTrip:
    @given(streams)
    def test_parse_returns_what_was_serialized(self, stream):
        assert parse(serialize(stream), limits=UNLIMITED) == stream

    @given(streams)
    def test_serialize_returns_what_was_parsed(self, stream):
        data = serialize(stream)
        assert serialize(parse(data, limits=UNLIMITED)) == data

    def test_metadata_is_written_in_one_way_whatever_its_order(self):
        one = serialize(replace(STREAM, metadata={"a": 1, "b": {"d": [1.5, None], "c": "ü"}}))
        two = serialize(replace(STREAM, metadata={"b": {"c": "ü", "d": [1.5, None]}, "a": 1}))
        assert one == two
        assert '{"a":1,"b":{"c":"ü","d":[1.5,null]}}'.encode() in one

    @pytest.mark.parametrize("metadata", [None, {}])
    def test_no_metadata_and_empty_metadata_stay_apart(self, metadata):
        assert parse(serialize(replace(STREAM, metadata=metadata))).metadata == metadata

    @pytest.mark.parametrize(
        "data",
        [
            bytearray(SAMPLE),
            memoryview(SAMPLE),
            memoryview(SAMPLE).cast("b"),
            memoryview(SAMPLE).cast("B", (4, 23)),
            memoryview(bytes(byte for byte in SAMPLE for _ in range(2)))[::2],
        ],
        ids=["bytearray", "view", "signed", "two-dimensional", "strided"],
    )
    def test_any_kind_of_bytes_is_read(self, data):
        assert parse(data) == STREAM
        assert sections(data) == sections(SAMPLE)

    def test_what_is_no_bytes_is_an_input_error(self):
        with pytest.raises(errors.InputError, match="got str, expected bytes"):
            parse("street.plf")

    def test_every_quality_step_survives(self):
        qualities = [replace(HEADER, quality_step=step).quality for step in range(225)]
        assert [quality_to_step(quality) for quality in qualities] == list(range(225))
        assert [qualities[step] for step in (0, 16, 224)] == [1.0, 1.5, 8.0]

    @pytest.mark.parametrize("quality", [0.99, 8.01, float("nan"), True, "3"])
    def test_quality_outside_1_to_8_is_refused(self, quality):
        with pytest.raises(errors.InputError, match="expected a number from 1 to 8"):
            quality_to_step(quality)

    @pytest.mark.parametrize("step", [-1, 225, 1.0, True])
    def test_steps_outside_0_to_224_are_refused(self, step):
        with pytest.raises(errors.InputError, match="expected an integer from 0 to 224"):
            serialize(replace(STREAM, header=replace(HEADER, quality_step=step)))


class TestSpecification:
    def test_the_worked_example_is_what_serialize_writes(self):
        dump = re.search(r"```hexdump\n(.*?)```", SPEC.read_text(), re.DOTALL)[1]
        assert bytes.fromhex("".join(line[6:] for line in dump.splitlines())) == SAMPLE

    def test_the_table_of_the_worked_example_covers_every_byte_once(self):
        table = SPEC.read_text().partition("## Worked example")[2]
        rows = re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \|", table, re.MULTILINE)
        position = 0
        for offset, digits in rows:
            assert int(offset) == position
            assert bytes.fromhex(digits) == SAMPLE[position : position + len(bytes.fromhex(digits))]
            position += len(bytes.fromhex(digits))
        assert position == len(SAMPLE)

    def test_the_checksum_rule_reproduces_the_sample(self):
        assert container(H, M, D) == SAMPLE

    def test_overhead_is_below_64_bytes(self):
        stream = Bitstream(replace(HEADER, latent_height=127, latent_width=127), bytes(4096))
        assert len(serialize(stream)) - 4096 == 61

    def test_sections_lie_where_the_specification_says(self):
        found = sections(SAMPLE)
        assert found == (
            Section("H", 7, 41, 0x802E1C68),
            Section("m", 54, 18, 0xDB3B3D7C),
            Section("D", 78, 8, 0xD783601F),
        )
        assert [(s.start, s.size) for s in found] == [(9, 47), (56, 24), (80, 14)]
        assert found[-1].offset + found[-1].size == len(SAMPLE)


class TestDamage:
    def test_every_change_of_one_byte_is_found(self):
        for position in range(len(SAMPLE)):
            damaged = bytearray(SAMPLE)
            for byte in set(range(256)) - {SAMPLE[position]}:
                damaged[position] = byte
                with pytest.raises(errors.BitstreamError):
                    parse(damaged)

    def test_a_changed_content_or_checksum_is_a_checksum_error(self):
        for section in sections(SAMPLE):
            for position in range(section.start, section.offset + section.size):
                damaged = bytearray(SAMPLE)
                damaged[position] ^= 0x10
                with pytest.raises(errors.ChecksumError, match=rf"offset {section.offset}\)"):
                    parse(damaged)

    def test_every_truncation_is_a_truncated_error(self):
        for length in range(len(SAMPLE)):
            with pytest.raises(errors.TruncatedError, match=r"the file (ends early|is empty)"):
                parse(SAMPLE[:length])

    @given(st.binary(min_size=1, max_size=64))
    def test_nothing_may_follow_the_payload(self, rest):
        with pytest.raises(
            errors.MalformedError, match=rf"got {len(rest)} bytes at offset 92, expected none"
        ):
            parse(SAMPLE + rest)

    @settings(max_examples=200)
    @given(st.binary(max_size=200), st.booleans())
    @example(b"", False)
    def test_random_bytes_raise_bitstream_errors_only(self, noise, with_magic):
        with pytest.raises(errors.BitstreamError):
            parse(MAGIC + b"\x01" + noise if with_magic else noise)

    @settings(max_examples=200)
    @given(st.integers(0, len(SAMPLE)), st.integers(0, len(SAMPLE)), st.binary(max_size=20))
    def test_any_replaced_range_is_found_or_no_change(self, start, stop, patch):
        changed = SAMPLE[:start] + patch + SAMPLE[stop:]
        if changed != SAMPLE:
            with pytest.raises(errors.BitstreamError):
                parse(changed)

    @pytest.mark.parametrize("tag", ["H", "m", "D"])
    def test_a_section_spliced_in_from_another_file_is_a_checksum_error(self, tag):
        pieces = {s.tag: (s.offset, s.offset + s.size) for s in sections(SAMPLE)}  # the same in both
        start, stop = pieces[tag]
        with pytest.raises(errors.ChecksumError):
            parse(SAMPLE[:start] + OTHER[start:stop] + SAMPLE[stop:])

    def test_swapped_or_dropped_sections_are_checksum_errors(self):
        data = container(H, (b"a", b"one"), (b"b", b"two"), D)
        h, a, b, d = [data[s.offset : s.offset + s.size] for s in sections(data)]
        for order in [(h, b, a, d), (h, a, d), (h, b, d), (h, d), (h, a, a, b, d)]:
            with pytest.raises(errors.ChecksumError):
                parse(MAGIC + b"\x01" + b"".join(order))


class TestMagic:
    @pytest.mark.parametrize(
        ("damage", "cause"),
        [
            (lambda data: data.replace(b"\r\n", b"\n"), "its CR LF became LF"),
            (lambda data: data.replace(b"\n", b"\r\n"), "its LF became CR LF"),
            (lambda data: bytes(byte & 0x7F for byte in data), "the high bit of its bytes was stripped"),
            (lambda data: data.decode("latin-1").encode(), "converted from Latin-1 to UTF-8"),
            (lambda data: data.decode(errors="replace").encode(), "decoded as UTF-8"),
        ],
    )
    def test_an_accident_of_text_transfer_is_named(self, damage, cause):
        with pytest.raises(errors.NotPlfError, match=cause):
            parse(damage(SAMPLE))

    def test_another_kind_of_file_shows_its_first_bytes(self):
        with pytest.raises(errors.NotPlfError, match=r"got ff d8 ff e0 00 10, expected 89 50 4c 46 0d 0a$"):
            parse(bytes.fromhex("ffd8ffe000104a46"))

    def test_another_version_is_unsupported(self):
        with pytest.raises(errors.UnsupportedError, match="version at offset 6: got 2, expected 1"):
            parse(SAMPLE[:6] + b"\x02" + SAMPLE[7:])


class TestSections:
    def test_unknown_optional_sections_are_skipped(self):
        data = container(H, (b"z", b"later"), M, (b"z", b"again"), D)
        assert parse(data) == STREAM
        assert [s.tag for s in sections(data)] == ["H", "z", "m", "z", "D"]

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_unknown_critical_sections_are_unsupported(self, place):
        contents = [H, M, D]
        contents.insert(place, (b"Z", b"later"))
        with pytest.raises(errors.UnsupportedError, match="got critical section 'Z'"):
            parse(container(*contents))

    @pytest.mark.parametrize("tag", [b"\x00", b"1", b"[", b"\xc4", b"\xff"])
    def test_tags_are_ascii_letters(self, tag):
        with pytest.raises(errors.MalformedError, match=f"got tag byte {tag.hex()}"):
            parse(container(H, (tag, b""), D))

    @pytest.mark.parametrize(
        ("contents", "reason"),
        [
            ([D], "got 'D', expected 'H' first"),
            ([M, H, D], "got 'm', expected 'H' first"),
            ([H, H, D], "got a second 'H'"),
            ([H, M, M, D], "got a second 'm'"),
            ([H, D, M], "expected none after section D"),
            ([H, D, D], "expected none after section D"),
        ],
    )
    def test_the_order_is_fixed(self, contents, reason):
        with pytest.raises(errors.MalformedError, match=reason):
            parse(container(*contents))

    @pytest.mark.parametrize("length", [b"\xa9\x00", b"\xa9\x80\x00", b"\xa9\x80\x80\x80\x10", b"\xff" * 5])
    def test_lengths_are_varints_in_shortest_form_below_2_to_32(self, length):
        data = SAMPLE[:8] + length + SAMPLE[9:]
        with pytest.raises(errors.MalformedError, match="length of section 'H' at offset 8: got"):
            parse(data)

    @pytest.mark.parametrize("payload", [b"", b"123", b"12345"])
    def test_the_payload_is_whole_words(self, payload):
        with pytest.raises(errors.MalformedError, match="expected a positive multiple of 4"):
            parse(container(H, (b"D", payload)))


class TestHeader:
    @pytest.mark.parametrize("step", [225, 255])
    def test_quality_steps_beyond_224_are_malformed(self, step):
        with pytest.raises(errors.MalformedError, match=f"offset 25: quality_step: got {step}"):
            parse(header_with(16, bytes([step])))

    @pytest.mark.parametrize(
        ("at", "length", "name"),
        [
            (17, 2, "width"),
            (19, 2, "height"),
            (21, 2, "size"),
            (23, 1, "latent_height"),
            (24, 1, "latent_width"),
        ],
    )
    def test_sizes_of_zero_are_malformed(self, at, length, name):
        with pytest.raises(errors.MalformedError, match=rf"offset {9 + at}: {name}: got 0"):
            parse(header_with(at, b"\x00", length))

    @pytest.mark.parametrize("number", [b"\xa0\x9f\x00", b"\xff\xff\xff\xff\x1f", b"\x80" * 5])
    def test_numbers_are_varints_in_shortest_form_below_2_to_32(self, number):
        with pytest.raises(errors.MalformedError, match="width at offset 26: got"):
            parse(header_with(NUMBERS, number, 2))

    @pytest.mark.parametrize("name", [b"", b"Yolox", b"a/b", b"a\x00", b"stra\xdfe", b"a" * 64])
    def test_codec_names_are_checked(self, name):
        with pytest.raises(errors.MalformedError, match="offset 39: codec name: got"):
            parse(header_with(29, bytes([len(name)]) + name, 12))

    def test_the_content_is_used_up_exactly(self):
        for length in range(len(H[1])):
            with pytest.raises(errors.MalformedError, match="section H ends early"):
                parse(container((b"H", H[1][:length]), D))
        with pytest.raises(errors.MalformedError, match="got 1 bytes at offset 50, expected none"):
            parse(container((b"H", H[1] + b"\x00"), D))

    @settings(max_examples=300)
    @given(
        st.binary(max_size=60)
        | st.builds(lambda a, b: H[1][:17] + a + b, st.binary(max_size=12), st.just(H[1][25:]))
    )
    def test_any_content_with_a_sound_checksum_is_read_or_refused(self, noise):
        try:
            stream = parse(container((b"H", noise), D))
        except errors.BitstreamError:
            return
        assert content("H", serialize(stream)) == noise


class TestMetadata:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"[]", "got list, expected a JSON object"),
            (b"null", "got NoneType, expected a JSON object"),
            (b"", "Expecting value"),
            (b"{", "Expecting property name"),
            (b'{"a":1}{}', "Extra data"),
            (b"{'a':1}", "Expecting property name"),
            (b'{"a":"\n"}', "Invalid control character"),
            (b'\xef\xbb\xbf{"a":1}', "BOM"),
            (b'{"a":"\xff"}', "62: got invalid start byte, expected UTF-8"),
            (b'{"a":"\xed\xa0\x80"}', "expected UTF-8"),
            (b'{"a":"\\ud800"}', "half of a surrogate pair"),
            (b'{"\\ud800":1}', "half of a surrogate pair"),
            (b'{"a":NaN}', "got NaN, expected a JSON number"),
            (b'{"a":-Infinity}', "got -Infinity"),
            (b'{"a":1e999}', "got number 1e999"),
            (b'{"a":1,"a":1}', "got key 'a' twice"),
            (b'{"b":{"a":1,"a":2}}', "got key 'a' twice"),
            (b'{"a":%d}' % 2**53, "within 2"),
            (b'{"a":-%d}' % 2**53, "within 2"),
            (b'{"a":' + b"9" * 60_000 + b"}", "got integer 9{40}, expected one within"),
            (b'{"a":' + b"9" * 60_000 + b".0}", "got number 9{40}, expected one that fits"),
            (b"[" * 65_000, "90: got level 33 of nesting"),
            (b'{"":' * 16_000, "level 33 of nesting"),
            (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "level 33 of nesting"),
        ],
    )
    def test_bad_json_is_malformed(self, text, reason):
        with pytest.raises(errors.MalformedError, match="section m, offset .*" + reason):
            parse(container(H, (b"m", text), D))

    def test_an_error_names_the_offset_in_the_file(self):
        text = '{"ü": ?}'.encode()
        data = container(H, (b"m", text), D)
        with pytest.raises(errors.MalformedError, match=f"offset {data.index(b'?')}: "):
            parse(data)

    @pytest.mark.parametrize(
        "text",
        [
            b' {"a" : 1e5 } ',
            b'{"a":"[[[\\"{{{\\\\"}',
            b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
            b'{"a":"\\ud83d\\ude00"}',
        ],
    )
    def test_any_other_spelling_of_good_json_is_read(self, text):
        assert parse(container(H, (b"m", text), D)).metadata == json.loads(text)

    @settings(max_examples=300)
    @given(st.binary(max_size=40) | st.text('[]{}",:\\u0d8eE+-.19 NaInfty', max_size=40).map(str.encode))
    def test_any_content_with_a_sound_checksum_is_read_or_refused(self, noise):
        try:
            stream = parse(container(H, (b"m", noise), D))
        except errors.BitstreamError:
            return
        assert parse(serialize(stream)) == stream

    def test_metadata_beyond_64_kib_is_malformed_whatever_the_limits(self):
        data = container(H, (b"m", b'{"a":"' + b"x" * MAX_METADATA + b'"}'), D)
        with pytest.raises(errors.MalformedError, match="expected at most 65536"):
            parse(data, limits=UNLIMITED)


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            (Limits(max_pixels=11_999_999), "picture of 4000 x 3000: got 12,000,000 pixels"),
            (Limits(max_latents=1599), "latents of 40 x 40: got 1,600 positions"),
            (Limits(max_payload=4), "section D at offset 78: got 8 bytes"),
            (Limits(max_metadata=17), "section m at offset 54: got 18 bytes"),
            (Limits(max_sections=2), "file: got 3 sections"),
            (Limits(max_file=91), "file: got 92 bytes"),
        ],
    )
    def test_each_limit_is_checked(self, limits, reason):
        with pytest.raises(errors.LimitError, match=reason):
            parse(SAMPLE, limits=limits)

    def test_files_at_the_limits_pass(self):
        assert parse(SAMPLE, limits=Limits(12_000_000, 1600, 8, 18, 3, 92)) == STREAM

    def test_the_scaled_picture_is_limited_too(self):
        with pytest.raises(errors.LimitError, match="scaled to 1000000: got 750,000,000,000 pixels"):
            parse(serialize(replace(STREAM, header=replace(HEADER, size=10**6))))

    def test_the_largest_numbers_are_limit_errors_by_default(self):
        largest = 2**32 - 1
        for name in ("width", "height", "size", "latent_height", "latent_width"):
            with pytest.raises(errors.LimitError):
                parse(serialize(replace(STREAM, header=replace(HEADER, **{name: largest}))))

    def test_a_flood_of_small_sections_ends_at_the_limit(self):
        data = container(H, *[(b"z", b"")] * 64, D)
        with pytest.raises(errors.LimitError, match="got 65 sections, expected at most 64"):
            parse(data)

    def test_large_payloads_take_linear_time(self):
        stream = Bitstream(HEADER, bytes(2**24))
        start = time.perf_counter()
        assert parse(serialize(stream), limits=UNLIMITED) == stream
        assert time.perf_counter() - start < 20

    def test_the_default_limits_read_a_whole_default_file(self):
        assert Limits() == DEFAULT_LIMITS
        assert DEFAULT_LIMITS.max_file > DEFAULT_LIMITS.max_payload + MAX_METADATA
        stream = Bitstream(HEADER, bytes(DEFAULT_LIMITS.max_payload), {"a": "x" * (MAX_METADATA - 8)})
        assert parse(serialize(stream)) == stream


class TestSerialize:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("fingerprint", bytes(15)),
            ("fingerprint", "0" * 16),
            ("symbol_hash", bytes(5)),
            ("codec", "Yolox"),
            ("codec", ""),
            ("codec", "a" * 64),
            ("codec", "a\n"),
            ("codec", b"yolox-nano-private"),
            ("quality_step", 225),
            ("quality_step", -1),
            ("width", 0),
            ("height", 2**32),
            ("size", 640.0),
            ("latent_height", True),
            ("latent_width", None),
        ],
    )
    def test_each_field_is_checked(self, field, value):
        with pytest.raises(errors.InputError, match=f"^{field}( name)?: got "):
            serialize(replace(STREAM, header=replace(HEADER, **{field: value})))

    @pytest.mark.parametrize("payload", [b"", b"123", bytearray(4), "1234"])
    def test_the_payload_is_checked(self, payload):
        with pytest.raises(errors.InputError, match=r"^payload: got "):
            serialize(replace(STREAM, payload=payload))

    @pytest.mark.parametrize(
        "metadata",
        [
            {1: "a"},
            {"a": (1, 2)},
            {"a": {2: 3}},
            {"a": b"bytes"},
            {"a": {1, 2}},
            {"a": float("nan")},
            {"a": float("inf")},
            {"a": 2**53},
            {"a": "\ud800"},
            {"a": "x" * MAX_METADATA},
            {"a": 1, 2: 3},
            [],
            ["ab"],
            "text",
            json.loads('{"a":' + "[" * 32 + "]" * 32 + "}"),
        ],
    )
    def test_metadata_that_would_not_come_back_is_refused(self, metadata):
        with pytest.raises(errors.InputError, match=r"^metadata: "):
            serialize(replace(STREAM, metadata=metadata))

    def test_circular_metadata_is_refused(self):
        metadata = {}
        metadata["a"] = metadata
        with pytest.raises(errors.InputError, match=r"^metadata: "):
            serialize(replace(STREAM, metadata=metadata))


def test_the_module_imports_neither_torch_nor_numpy():
    script = "import sys, featcodec.plf.bitstream; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)
