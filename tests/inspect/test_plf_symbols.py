"""The commands of ``plf`` that decode: ``info --bits``, ``verify``, ``map``, ``dump``, ``diff``."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_feature_codec import coder, picture, sample, small, tampered

import featcodec
from featcodec.codec.feature_codec import Symbols
from featcodec.commands import plf
from featcodec.inspect import heatmap
from featcodec.inspect.rate import rate
from featcodec.inspect.report import check
from featcodec.inspect.symbols import Decoded, decode
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import Bitstream, Limits, parse, serialize


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to work in, with a file, and its codec without the network."""
    monkeypatch.chdir(tmp_path)
    # a path of its own for each test, as codecs are read once in a process
    small().save("codec.safetensors")
    Path("a.plf").write_bytes(sample())


def codec_option() -> list[str]:
    return ["--codec", str(Path("codec.safetensors").resolve())]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command that has to succeed prints as JSON."""
    assert plf.main([*arguments, "--json", *codec_option()]) == 0
    return json.loads(capsys.readouterr().out)


def symbols_of(data: bytes) -> Symbols:
    stream = parse(data)
    return coder().decode_symbols(stream, Geometry(stream.header.width, stream.header.height, 96, 32))


def with_symbols(data: bytes, **changes: Any) -> bytes:
    """The file with other symbols, z as it is."""
    stream, s = parse(data), replace(symbols_of(data), **changes)
    header = replace(stream.header, symbol_hash=s.hash)
    return serialize(Bitstream(header, coder().payload(s), stream.metadata))


# ---- verify


def test_symbols_are_verified_with_a_codec_file_that_lacks_the_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plf.main(["verify", "a.plf", "a.plf", *codec_option()]) == 0
    assert capsys.readouterr().out == "a.plf: ok (checksums and symbols)\n" * 2
    assert shown(capsys, "verify", "a.plf")["symbols"] is True


def test_a_file_whose_codec_is_not_at_hand_is_not_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert plf.main(["verify", "a.plf"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("plf: a.plf: the file wants codec 'small-0' with fingerprint ")
    assert err.endswith("--codec PATH\n")
    assert plf.main(["verify", "a.plf", "--codec", "yolox-nano-private"]) == 1
    assert "got 'yolox-nano-private' with" in capsys.readouterr().err
    assert plf.main(["verify", "a.plf", "--codec", "nosuch"]) == 1
    assert capsys.readouterr().err.startswith("plf: codec: got 'nosuch', expected a path or one of ")
    assert plf.main(["verify", "a.plf", "--checksums-only"]) == 0


def test_damage_under_sound_checksums_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    Path("hash.plf").write_bytes(tampered(sample(), symbol_hash=b"\1\2\3\4"))
    Path("words.plf").write_bytes(tampered(sample(), payload=b"\xff" * 40))
    for name, kind in (("hash.plf", "SymbolHashError"), ("words.plf", "MalformedError")):
        assert plf.main(["verify", "--json", name, *codec_option()]) == 1
        out, err = capsys.readouterr()
        found = json.loads(out)
        assert (found["ok"], found["checksums"], found["symbols"], found["kind"]) == (
            False,
            True,
            False,
            kind,
        )
        assert err == f"plf: {found['error']}\n"


def test_an_embedded_codec_is_found_by_its_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.plf").write_bytes(featcodec.load("yolox-nano-private").encode(picture(40, 50)))
    assert plf.main(["verify", "b.plf"]) == 0
    assert capsys.readouterr().out == "b.plf: ok (checksums and symbols)\n"


# ---- info


def test_the_bits_add_up_to_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "info", "a.plf", "--bits")
    bits, size = found["bits"], len(sample())
    assert found["bytes"] == size
    assert bits["payload_bits"] + bits["container_bits"] == 8 * size
    assert bits["ideal_bits"] == pytest.approx(bits["z"]["ideal_bits"] + bits["y"]["ideal_bits"])
    assert bits["ideal_bits"] + bits["coder_overhead_bits"] == pytest.approx(bits["payload_bits"])
    assert -1 < bits["coder_overhead_bits"] < 100  # a word or two, and rounding
    rows = bits["scale_indexes"]
    assert [row["index"] for row in rows] == list(range(64))
    assert sum(row["symbols"] for row in rows) == bits["y"]["symbols"] == 8 * 6 * 6
    assert sum(row["ideal_bits"] for row in rows) == pytest.approx(bits["y"]["ideal_bits"])
    assert all(row["expected_bits"] >= 0 for row in rows)


def test_the_text_says_where_the_bytes_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert plf.main(["info", "a.plf", *codec_option()]) == 0
    out = capsys.readouterr().out
    for label in ("z, side information", "y, latents", "entropy coder's overhead", "scale index of y"):
        assert f"\n  {label}" in out
    [whole] = [line for line in out.splitlines() if line.startswith("  file      ") and "%" in line]
    assert whole.split() == ["file", f"{len(sample()):,}.0", "100.0%"]
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_escapes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    y = symbols_of(sample()).y.copy()
    y[0, 0, 0], y[3, 2, 1] = 5000, -70_000
    Path("b.plf").write_bytes(with_symbols(sample(), y=y))
    before, after = (shown(capsys, "info", name)["bits"]["y"] for name in ("a.plf", "b.plf"))
    assert after["escapes"] == before["escapes"] + 2
    assert after["escape_bits"] > before["escape_bits"] + 2 * 20  # an entry of 2^-20, then the number
    assert after["ideal_bits"] >= after["escape_bits"]


# ---- map


@pytest.mark.parametrize(("height", "width"), [(90, 120), (96, 32), (1, 5000), (1, 1)])
def test_the_positions_hold_all_ideal_bits(height: int, width: int) -> None:
    decoder = replace_codec(coder().encode(picture(height, width), quality=7))
    bits = rate(decoder)
    assert bits.positions.shape == decoder.symbols.y.shape[1:]
    assert float(bits.positions.sum()) == pytest.approx(bits.ideal)
    assert heatmap.draw_map(decoder, bits).width == 1120


def replace_codec(data: bytes) -> Decoded:
    """A decoded file of the codec that has no place on disk."""
    return decode(check("a.plf", data, Limits()), coder())


def test_the_shares_add_up_to_the_file() -> None:
    y = symbols_of(sample()).y.copy()
    y[0, 0, 0] = 5000  # an escape, which is counted among the latents
    data = with_symbols(sample(), y=y)
    *parts, file = rate(replace_codec(data)).shares
    assert (file.label, file.bits) == ("file", 8 * len(data))
    assert sum(share.bits for share in parts if not share.included) == pytest.approx(file.bits)
    [escapes] = [share for share in parts if share.label == "escapes of y, included"]
    assert escapes.included
    assert escapes.symbols == rate(replace_codec(sample())).y.escapes + 1


def test_the_heat_map_without_its_page_shows_the_picture_and_no_border() -> None:
    y = np.zeros_like(symbols_of(sample()).y)
    y[:, 4, 1] = 40_000  # of 6 x 6 positions of 16 pixels; the picture lies in rows 12 to 84 of 96
    decoded = replace_codec(with_symbols(sample(), y=y))
    drawn = np.asarray(heatmap.draw_heat(decoded, rate(decoded), (96, 72)))
    assert drawn.shape == (72, 96, 3)
    bright = np.argwhere((drawn == heatmap.colours(np.array(1.0))).all(-1))
    assert (bright.min(0).tolist(), bright.max(0).tolist()) == ([64 - 12, 16], [80 - 12 - 1, 31])


def test_the_numbers_are_those_of_info(capsys: pytest.CaptureFixture[str]) -> None:
    found, bits = shown(capsys, "map", "a.plf"), shown(capsys, "info", "a.plf")["bits"]
    assert found["drawing"] is None
    assert np.array(found["positions"]).shape == (6, 6)
    assert sum(map(sum, found["positions"])) == pytest.approx(bits["ideal_bits"], abs=0.1)
    assert sum(found["y_channels"]) == pytest.approx(bits["y"]["ideal_bits"], abs=0.1)
    assert sum(found["z_channels"]) == pytest.approx(bits["z"]["ideal_bits"], abs=0.1)


def test_the_brightest_place_of_the_drawing_is_where_the_bits_are(capsys: pytest.CaptureFixture[str]) -> None:
    y = np.zeros_like(symbols_of(sample()).y)
    y[:, 4, 1] = 40_000  # of 6 x 6 positions of 16 pixels; the picture lies in rows 12 to 84 of 96
    Path("b.plf").write_bytes(with_symbols(sample(), y=y))
    assert plf.main(["map", "b.plf", "-o", "b.png", *codec_option()]) == 0
    assert capsys.readouterr().out.startswith("b.png: ")
    with Image.open("b.png") as drawing:
        assert drawing.format == "PNG"
        pixels = np.asarray(drawing.convert("RGB")).astype(int)
    left, top, _, high = heatmap._LEFT, heatmap._TOP, *heatmap._MAP
    wide = round(high / 90 * 120)
    bright = np.argwhere((pixels == heatmap.colours(np.array(1.0))).all(-1))
    bright = bright[(bright[:, 1] < left + wide) & (bright[:, 0] < top + high)]  # not the colour bar
    low, last = bright.min(0) - (top, left), bright.max(0) - (top, left)
    scale = high / 72  # 72 of the canvas' rows are the picture
    assert low == pytest.approx([(64 - 12) * scale, 16 * wide / 96], abs=1.5)
    assert last == pytest.approx([(80 - 12) * scale, 32 * wide / 96], abs=1.5)


def test_a_drawing_goes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert plf.main(["map", "a.plf", "-o", "-", *codec_option()]) == 0
    with Image.open(io.BytesIO(capfdbinary.readouterr().out)) as drawing:
        assert drawing.width == 1120
    assert plf.main(["map", "a.plf", "-o", "-", "--json"]) == 1
    assert capfdbinary.readouterr().err == (
        b"plf: standard output: got --json and -o -, expected one of them\n"
    )


# ---- dump


def test_arrays_are_those_of_the_codec(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--symbols", "y.npy", "--side", "z.npy", "--latents", "latents.npy"]
    assert shown(capsys, "dump", "a.plf", *outputs)["side"] == "z.npy"
    s = symbols_of(sample())
    y, z, latents = (np.load(name) for name in ("y.npy", "z.npy", "latents.npy"))
    assert (y.dtype, z.dtype, latents.dtype) == (np.int32, np.int32, np.float32)
    assert np.array_equal(y, s.y)
    assert np.array_equal(z, s.z)
    assert np.array_equal(latents, coder().decode_latents(sample())[0][0].numpy())


def test_no_input_is_replaced_and_no_output_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, reason in [
        (["map", "a.plf", "-o", "./a.plf"], "./a.plf: got one of the inputs, expected another output"),
        (["dump", "a.plf", "--side", "a.plf"], "a.plf: got one of the inputs, expected another output"),
        (
            ["dump", "a.plf", "--side", "x", "--symbols", "x"],
            "x: got it for two arrays, expected a file for each",
        ),
    ]:
        assert plf.main([*arguments, *codec_option()]) == 1
        assert capsys.readouterr().err == f"plf: {reason}\n"
    assert Path("a.plf").read_bytes() == sample()


# ---- diff


def test_symbols_that_differ_are_counted_and_placed(capsys: pytest.CaptureFixture[str]) -> None:
    y = symbols_of(sample()).y.copy()
    y[2, 1, 3] += 1
    y[2, 4, 2] -= 7
    y[5, 1, 5] += 2
    Path("b.plf").write_bytes(with_symbols(sample(), y=y))
    assert plf.main(["diff", "a.plf", "b.plf", "--json", *codec_option()]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["identical"] is False
    assert list(found["header"]) == ["symbol_hash"]
    assert found["symbols"]["z"]["different"] == 0
    part = found["symbols"]["y"]
    assert (part["different"], part["largest"], part["channels"]) == (3, 7, {"2": 2, "5": 1})
    assert (part["rows"], part["columns"]) == ([1, 4], [2, 5])
    first = part["first"][0]
    assert (first["channel"], first["row"], first["column"]) == (2, 1, 3)
    assert first["symbols"][1] == first["symbols"][0] + 1
    assert plf.main(["diff", "a.plf", "b.plf", *codec_option()]) == 1
    out = capsys.readouterr().out
    assert "  symbols of z  the same, all 16\n" in out
    assert "  symbols of y  3 of 288 differ, by at most 7\n    in rows 1 to 4, columns 2 to 5, 2 ch" in out
    assert out.endswith("    most by channel: 2 in 2, 1 in 5\n")


def test_symbols_that_cannot_be_compared_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.plf").write_bytes(coder().encode(picture(40, 120), quality=6))
    Path("c.plf").write_bytes(tampered(sample(), quality_step=0))
    for arguments, reason in [
        (["a.plf", "b.plf", *codec_option()], "latents of different shapes"),
        (["a.plf", "c.plf"], "no codec with fingerprint"),
    ]:
        assert plf.main(["diff", *arguments]) == 1
        assert f"  symbols       not compared: {reason}" in capsys.readouterr().out
    Path("d.plf").write_bytes(tampered(sample(), symbol_hash=bytes(4)))
    assert plf.main(["diff", "a.plf", "d.plf", *codec_option()]) == 2
    assert capsys.readouterr().err.startswith("plf: d.plf: decoded symbols: got hash ")


# ---- without a network


def test_a_codec_without_its_network_decodes_but_does_not_encode() -> None:
    decoder = featcodec.zoo.decoder(codec_option()[1])
    assert decoder.decode(sample()).shape == coder().decode(sample()).shape
    with pytest.raises(
        featcodec.InputError, match=r"codec 'small-0' comes without its network: give yolov5n"
    ):
        decoder.encode(picture())
