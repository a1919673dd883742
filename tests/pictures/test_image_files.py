"""Files are shown as they are meant: planes, white at zero, transparent colours. The rest is named."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import chunk, png, shape, tiff
from PIL import Image

from featcodec.errors import ImageError, InputError
from featcodec.files import list_pictures, passed_over
from featcodec.pictures.loading import load_image, open_picture
from featcodec.unreadable import summary

WHITE = [255, 255, 255]


def colours(image: Any) -> list[list[int]]:
    """Every pixel, row by row."""
    return np.asarray(open_picture(image)).reshape(-1, 3).tolist()


def greys(image: Any) -> list[int]:
    assert all(r == g == b for r, g, b in colours(image))
    return [r for r, _, _ in colours(image)]


# ---- TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [1, 2])
def test_planes_of_16_bits_are_read_plane_by_plane(order: str, strips: int) -> None:
    rgb = [[25607] * 8, [0, 257, 65535, 300 * 257 % 65536] * 2, [40000] * 8]
    planes = [struct.pack(f"{order}8H", *plane) for plane in rgb]
    parts = [plane[i * 16 // strips : (i + 1) * 16 // strips] for plane in planes for i in range(strips)]
    tags = {**shape(4, 2, [16] * 3, 2), 278: ("H", [2 // strips]), 284: ("H", [2])}
    expected = [[100, g, 156] for g in (0, 1, 255, 300 * 257 % 65536 >> 8)] * 2
    assert colours(tiff(order, parts, tags)) == expected


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("extra", "expected"), [(2, [177, 177, 255]), (1, [227, 227, 255])])
def test_planes_of_16_bits_with_alpha_are_laid_over_white(
    order: str, extra: int, expected: list[int]
) -> None:
    values = ([25607, 25607], [0, 25600], [0, 65535], [65535, 32896])
    alpha = {338: ("H", [extra]), 284: ("H", [2])}
    planes = [struct.pack(f"{order}2H", *plane) for plane in values]
    shown = colours(tiff(order, planes, {**shape(2, 1, [16] * 4, 2), **alpha}))
    assert shown[0] == [100, 0, 0]
    assert np.abs(np.array(shown[1]) - expected).max() <= 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_white_is_zero_above_8_bits_is_no_negative(order: str, compression: int) -> None:
    pack = zlib.compress if compression == 8 else bytes
    ints, floats = pack(struct.pack(f"{order}2H", 0, 40000)), pack(struct.pack(f"{order}2f", 0, 0.25))
    assert greys(tiff(order, [ints], shape(2, 1, [16], 0, compression))) == [255, 99]
    assert greys(tiff(order, [ints], shape(2, 1, [16], 1, compression))) == [0, 156]
    number = {339: ("H", [3])}
    assert greys(tiff(order, [floats], {**shape(2, 1, [32], 0, compression), **number})) == [255, 191]
    assert greys(tiff(order, [floats], {**shape(2, 1, [32], 1, compression), **number})) == [0, 64]


def test_white_is_zero_of_a_pil_image_too() -> None:
    file = tiff("<", [struct.pack("<2H", 0, 40000)], shape(2, 1, [16], 0))
    with Image.open(io.BytesIO(file)) as picture:
        for _ in range(2):
            assert greys(picture) == [255, 99]


def test_12_bits_reach_white() -> None:
    assert greys(tiff("<", [b"\xff\xf0\x00"], shape(2, 1, [12], 1))) == [255, 0]


def test_signed_numbers_are_refused() -> None:
    file = tiff("<", [b"\xff\x01"], {**shape(2, 1, [8], 1), 339: ("H", [2])})
    with pytest.raises(ImageError, match="<bytes>: got signed numbers of 8 bits, expected unsigned ones"):
        load_image(file)


@pytest.mark.parametrize("tag", [{}, {530: ("H", [2, 2])}])
def test_subsampled_colours_are_read_without_compression(tag: dict[int, tuple[str, list[int]]]) -> None:
    file = tiff("<", [bytes([10, 20, 30, 40, 128, 128])], {**shape(2, 2, [8] * 3, 6), **tag})
    assert greys(file) == [10, 20, 30, 40]


def test_tiff_files_are_read_as_another_library_wrote_them() -> None:
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    kinds = itertools.product(
        ["minisblack", "miniswhite", "rgb"],
        ["u1", "u2", "f4"],
        "<>",
        ["contig", "separate"],
        [None, 16, 48],
        [None, "zlib"],
        [0, 1],
    )
    read = 0
    for photometric, dtype, order, planes, tile, compression, alpha in kinds:
        if photometric != "rgb" and (planes == "separate" or alpha):
            continue
        sides = (37, 45, 3 + alpha) if photometric == "rgb" else (37, 45)
        pixels = rng.random(sides).astype("f4")
        if dtype != "f4":
            pixels = np.rint(pixels * np.iinfo(dtype).max).astype(dtype)
        options: dict[str, Any] = {"tile": (tile, tile)} if tile else {}
        options |= {"extrasamples": ["unassalpha"]} if alpha else {}
        options |= {"planarconfig": planes} if photometric == "rgb" else {}
        buffer = io.BytesIO()
        stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planes == "separate" else pixels
        tifffile.imwrite(
            buffer,
            stored,
            byteorder=order,
            photometric=photometric,
            compression=compression,
            metadata=None,
            **options,
        )
        part = pixels if dtype == "f4" else pixels / np.iinfo(dtype).max
        part = 1 - part if photometric == "miniswhite" else part
        part = np.dstack([part] * 3) if part.ndim == 2 else part
        part = part[..., :3] * part[..., 3:] + 1 - part[..., 3:] if alpha else part
        if dtype == "f4" and photometric == "rgb":  # Pillow knows no colours as floats
            with pytest.raises(ImageError, match="no image of a known kind"):
                open_picture(buffer.getvalue())
            continue
        shown = np.asarray(open_picture(buffer.getvalue())).astype(float)
        read += 1
        what = (photometric, dtype, order, planes, tile, compression, alpha)
        assert np.abs(shown - 255 * part).max() < 2.5, what  # Pillow drops low bytes, then lays over white
    assert read == 2 * 3 * 2 * 3 * 2 + 2 * 2 * 2 * 3 * 2 * 2


# ---- PNG: a transparent colour


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth_shows_white(depth: int) -> None:
    most = 2**depth - 1
    for key in {0, 1, most // 2, most}:
        values = sorted({0, 1, most // 2, most // 2 + 1, most})
        bits = "".join(f"{value:0{depth}b}" for value in values)
        row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        file = png(len(values), 1, depth, 0, [row], chunk(b"tRNS", struct.pack(">H", key)))
        expected = [255 if value == key else round(value * 255 / most) for value in values]
        assert greys(file) == expected
        with Image.open(io.BytesIO(file)) as lazy:
            assert greys(lazy) == expected
            with Image.open(io.BytesIO(file)) as other:
                np.testing.assert_array_equal(
                    np.asarray(lazy), np.asarray(other)
                )  # the caller's own, as it was


def test_black_is_white_where_the_key_is_0_at_16_bits() -> None:
    file = png(3, 1, 16, 0, [struct.pack(">3H", 0, 40000, 1)], chunk(b"tRNS", bytes(2)))
    assert greys(file) == [255, 156, 0]


def test_a_transparent_colour_of_16_bits_is_compared_in_all_of_them() -> None:
    row = struct.pack(">12H", 1000, 2000, 3000, 1000, 2000, 3001, 0x0100, 0x0200, 0x0300, 1, 2, 3)
    for key, which in (((1000, 2000, 3000), 0), ((1, 2, 3), 3), ((1000, 2000, 3002), None)):
        file = png(4, 1, 16, 2, [row], chunk(b"tRNS", struct.pack(">3H", *key)))
        expected = [[3, 7, 11], [3, 7, 11], [1, 2, 3], [0, 0, 0]]
        if which is not None:
            expected[which] = WHITE
        assert colours(file) == expected
        with Image.open(io.BytesIO(file)) as lazy:
            assert colours(lazy) == expected


def test_transparent_colours_are_found_in_every_strip_of_a_large_picture() -> None:
    values = np.arange(3000 * 1000, dtype=np.uint32).reshape(1000, 3000) % 65536
    rows = [row.astype(">u2").tobytes() for row in values]
    shown = np.asarray(open_picture(png(3000, 1000, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 12)))))
    expected = (values + 128) // 257
    expected[values == 12] = 255
    np.testing.assert_array_equal(shown[..., 0], expected)


# ---- HEIC, RAW and others


def box(brand: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1heic" + bytes(40)


GREY = shape(2, 2, [8], 1)
FOREIGN = {
    "a.heic": (box(b"heic"), "got a picture of kind HEIC", "convert it to JPEG or PNG first"),
    "b.jpg": (box(b"heix"), "got a picture of kind HEIC", "pillow_heif.register_heif_opener()"),
    "c.heif": (box(b"mif1"), "got a picture of kind HEIC", "convert it"),
    "d.cr3": (box(b"crx "), "got a camera's RAW file", "develop it to JPEG, PNG or TIFF first"),
    "e.mp4": (box(b"isom"), "got a video", "extract its frames first"),
    "f.cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "got a camera's RAW file", "develop it"),
    "g.dng": (
        tiff("<", [bytes(4)], {**GREY, 50706: ("B", [1, 4, 0, 0])}),
        "got a camera's RAW file",
        "develop",
    ),
    "h.tif": (
        tiff(">", [bytes(4)], {**GREY, 254: ("I", [1]), 330: ("I", [8])}),
        "got a camera's RAW",
        "develop",
    ),
    "i.nef": (tiff(">", [bytes(4)], GREY), "got a camera's RAW file", "develop"),
    "j.arw": (tiff("<", [bytes(4)], {**GREY, 259: ("H", [32767])}), "got a camera's RAW file", "develop"),
    "k.raf": (b"FUJIFILMCCD-RAW 0201" + bytes(40), "got a camera's RAW file", "develop"),
    "l.orf": (b"IIRO\x08\0\0\0" + bytes(40), "got a camera's RAW file", "develop"),
    "m.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "got a picture of kind JPEG XL", "convert it"),
    "n.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "got an SVG drawing", "convert it"),
    "o.pdf": (b"%PDF-1.7\n" + bytes(40), "got a PDF document", "convert it"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_pictures_of_foreign_kinds_are_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    content, kind, advice = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: {kind}")
    assert advice in message
    assert "\n" not in message


def test_a_plugin_that_decodes_heic_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def factory(stream: Any, _: Any) -> Image.Image:
        assert stream.read(12)[4:] == b"ftypheic"
        return Image.new("RGB", (3, 2), "red")

    Image.init()
    monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIF"])
    monkeypatch.setitem(Image.OPEN, "HEIF", (factory, lambda prefix: prefix[4:12] == b"ftypheic"))
    assert colours(box(b"heic")) == [[255, 0, 0]] * 6


def test_what_a_folder_has_of_foreign_kinds_is_summed_up(tmp_path: Path) -> None:
    for name in ("a.heic", "b.NEF", "c.jpg", "notes.txt", ".hidden.heic", "labels.json"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/d.heic").touch()
    assert [Path(path).name for path in passed_over(tmp_path)] == ["a.heic", "b.NEF"]
    assert [Path(path).name for path in passed_over(tmp_path, recursive=True)] == [
        "a.heic",
        "b.NEF",
        "d.heic",
    ]
    assert [Path(path).name for path, _ in list_pictures(tmp_path)] == ["c.jpg"]
    assert summary(["a.heic"]) == "passed over 1 file (1 HEIC), a.heic: convert it to JPEG or PNG"
    (tmp_path / "c.jpg").unlink()
    with pytest.raises(
        InputError, match=r"got no pictures, .*; passed over 2 files \(1 HEIC, 1 RAW\), .*a\.heic and"
    ):
        list_pictures(tmp_path)


# ---- arrays in OpenCV's order


@pytest.mark.parametrize("read", [lambda *a, **o: load_image(*a, **o)[0], open_picture])
def test_bgr_is_read_as_what_it_is(read: Any) -> None:
    import torch

    rgba = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    bgr, bgra = rgba[..., 2::-1], rgba[..., [2, 1, 0, 3]]
    tensor = torch.from_numpy(bgr.copy()).permute(2, 0, 1)
    for other, same in (
        (bgr, rgba[..., :3]),
        (bgra, rgba),
        (tensor, rgba[..., :3]),
        (tensor[None], rgba[..., :3]),
    ):
        np.testing.assert_array_equal(np.asarray(read(other, channels="bgr")), np.asarray(read(same)))
    assert not np.array_equal(np.asarray(read(bgr)), np.asarray(read(bgr, channels="bgr")))


@pytest.mark.parametrize(
    ("image", "channels", "message"),
    [
        (
            np.zeros((4, 4), np.uint8),
            "bgr",
            "<array uint8 (4, 4)>: got channels='bgr' and 1 channel, expected 3 or 4",
        ),
        (
            "street.jpg",
            "bgr",
            "channels: got 'bgr' and a picture as str, expected an array or tensor with it",
        ),
        (
            Image.new("RGB", (2, 2)),
            "bgr",
            "channels: got 'bgr' and a picture as Image, expected an array or tensor",
        ),
        (b"", "bgr", "channels: got 'bgr' and a picture as bytes"),
        (np.zeros((4, 4, 3), np.uint8), "BGR", "channels: got 'BGR', expected 'rgb' or 'bgr'"),
        (np.zeros((4, 4, 3), np.uint8), None, "channels: got None, expected 'rgb' or 'bgr'"),
        (np.zeros((4, 4, 3), np.uint8), ["rgb"], "channels: got ['rgb'], expected 'rgb' or 'bgr'"),
    ],
)
def test_an_order_of_channels_that_makes_no_sense_is_refused(image: Any, channels: Any, message: str) -> None:
    for read in (load_image, open_picture):
        with pytest.raises(InputError) as caught:
            read(image, channels=channels)
        assert str(caught.value).startswith(message)
