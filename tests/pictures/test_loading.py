"""Any picture becomes the same tensor, and nothing damaged gets through."""

from __future__ import annotations

import io
import os
import random
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage import data

from featcodec.errors import ImageError, InputError
from featcodec.files import printable
from featcodec.pictures import loading as images
from featcodec.pictures.loading import load_image, open_picture

STEP = 1 / 255
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"} | {
    6: "ROTATE_90",
    7: "TRANSVERSE",
    8: "ROTATE_270",
}  # what a camera did to the upright picture; EXIF 6 and 8 undo each other


@cache
def photo(width: int = 512, height: int = 512) -> np.ndarray:
    picture = Image.fromarray(data.astronaut()).resize((width, height))
    pixels = np.array(picture)
    pixels.setflags(write=False)  # cached
    return pixels


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def levels(image: Any, **options: Any) -> np.ndarray:
    """What load_image makes of it, as 8-bit RGB without the grey."""
    x, g = load_image(image, **options)
    inside = x[0, :, g.top : g.top + g.scaled_height, g.left : g.left + g.scaled_width]
    return (inside * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


# ---- the tensor


def test_x_is_contiguous_float32_rgb_in_0_to_1_and_a_multiple_of_the_stride() -> None:
    x, g = load_image(photo(640, 427))
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert x.shape == (1, 3, g.canvas_height, g.canvas_width) == (1, 3, 288, 416)
    assert 0 <= x.min() < x.max() <= 1
    assert not x.requires_grad


def test_a_small_picture_crosses_unchanged_with_grey_around_it() -> None:
    pixels = photo(50, 41)
    x, g = load_image(pixels)
    assert (g.width, g.height, g.size, g.left, g.top) == (50, 41, 50, 7, 11)
    np.testing.assert_array_equal(levels(pixels), pixels)
    grey = torch.ones_like(x, dtype=torch.bool)
    grey[..., g.top : g.top + 41, g.left : g.left + 50] = False
    assert (x[grey] * 255 == 114).all()


def test_upscale_fills_the_canvas() -> None:
    x, g = load_image(photo(50, 40), size=416, upscale=True)
    assert x.shape == (1, 3, 352, 416)
    assert (g.scaled_width, g.scaled_height) == (416, 333)


def test_scaling_down_averages_as_an_area_filter_does() -> None:
    pixels = photo(1600, 1600)
    area = pixels.reshape(400, 4, 400, 4, 3).mean((1, 3))
    assert np.abs(levels(pixels, size=400) - area).mean() < 1.5
    board = np.indices((999, 1201)).sum(0) % 2 == 0
    for size in (100, 416, 700):
        assert abs(levels(board, size=size).astype(int) - 127).max() <= 4  # grey, no moiré


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 50_000), (50_000, 1), (3, 2), (417, 416), (7071, 7071)]
)
@pytest.mark.parametrize("kind", ["array", "encoded"])
def test_any_size_and_aspect_ratio_works(width: int, height: int, kind: str) -> None:
    pixels = np.full((height, width), 200, np.uint8)
    x, g = load_image(pixels if kind == "array" else encoded(Image.fromarray(pixels)))
    assert (g.width, g.height) == (width, height)
    assert max(g.scaled_width, g.scaled_height) == min(416, max(width, height))
    assert (levels(pixels) == 200).all()
    assert x.shape[2] % 32 == x.shape[3] % 32 == 0


# ---- arrays and tensors

GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "same",
    [
        lambda p: p,
        lambda p: p.astype(np.uint16) * 257,
        lambda p: (p.astype(np.uint16) * 257).astype(">u2"),
        lambda p: p / 255,
        lambda p: (p / 255).astype(np.float32),
        lambda p: (p / 255).astype(np.float16),
        lambda p: np.asfortranarray(p),
        lambda p: np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]),
        lambda p: torch.from_numpy(p.copy()).permute(2, 0, 1),
        lambda p: torch.from_numpy(p.copy()).permute(2, 0, 1)[None],
        lambda p: (torch.from_numpy(p / 255).permute(2, 0, 1)).contiguous(),
        lambda p: (torch.from_numpy(p / 255).permute(2, 0, 1)).requires_grad_(),
        lambda p: (torch.from_numpy(p / 255).permute(2, 0, 1)).half(),
        lambda p: Image.fromarray(p),
        lambda p: encoded(Image.fromarray(p)),
        lambda p: bytearray(encoded(Image.fromarray(p))),
        lambda p: memoryview(encoded(Image.fromarray(p))),
        lambda p: encoded(Image.fromarray(p), "WEBP", lossless=True),
        lambda p: encoded(Image.fromarray(p), "TIFF", compression="tiff_lzw"),
        lambda p: encoded(Image.fromarray(p), "BMP"),
        lambda p: encoded(Image.fromarray(p), "PPM"),
    ],
)
def test_the_same_picture_in_any_form_gives_the_same_tensor(same: Callable[[np.ndarray], Any]) -> None:
    pixels = photo(640, 500)
    x, g = load_image(pixels)
    y, h = load_image(same(pixels))
    assert g == h
    assert (x - y).abs().max() <= 1.01 * STEP
    np.testing.assert_array_equal(np.array(open_picture(same(pixels))), pixels)


@pytest.mark.parametrize(
    "same",
    [
        lambda p: p,
        lambda p: p[:, :, None],
        lambda p: p.astype(np.uint16) * 257,
        lambda p: torch.from_numpy(p),
        lambda p: torch.from_numpy(p)[None],
        lambda p: torch.from_numpy(p / 255),
        lambda p: Image.fromarray(p),
        lambda p: Image.fromarray(p.astype(np.uint16) * 257),
        lambda p: Image.fromarray(p.astype(np.int32) * 257),
        lambda p: Image.fromarray(p.astype(np.float32) / 255),
        lambda p: encoded(Image.fromarray(p)),
        lambda p: encoded(Image.fromarray(p.astype(np.uint16) * 257)),
        lambda p: encoded(Image.fromarray(p.astype(np.uint16) * 257), "TIFF"),
        lambda p: encoded(Image.fromarray(p.astype(np.float32) / 255), "TIFF"),
        lambda p: encoded(Image.fromarray(p), "GIF"),
    ],
)
def test_grey_pictures_of_8_16_and_32_bits_keep_every_level(same: Callable[[np.ndarray], Any]) -> None:
    np.testing.assert_array_equal(levels(same(GREYS)), np.dstack([GREYS] * 3))


def test_bfloat16_is_read_to_its_own_precision() -> None:
    greys = torch.from_numpy(GREYS / 255).to(torch.bfloat16)
    assert abs(levels(greys)[..., 0].astype(int) - GREYS).max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_the_gpu_gives_the_same_tensor_on_the_cpu() -> None:
    pixels = torch.from_numpy(photo(640, 500).copy()).permute(2, 0, 1)
    assert torch.equal(load_image(pixels.cuda())[0], load_image(pixels)[0])


def test_bool_is_black_and_white() -> None:
    for board in (np.eye(8, dtype=bool), torch.eye(8, dtype=torch.bool)):
        np.testing.assert_array_equal(levels(board)[..., 0], np.eye(8, dtype=np.uint8) * 255)


def test_rounding_noise_around_0_and_1_is_forgiven() -> None:
    noisy = np.array([[-1e-4, 1 + 1e-4]], np.float32)
    assert levels(noisy)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (photo() / 1.0, "got values from 0 to 255, expected floats in [0, 1]; divide 0 to 255 by 255"),
        (np.full((4, 4), -0.5), "got values from -0.5 to -0.5, expected floats in [0, 1]"),
        (np.full((4, 4), np.nan, np.float16), "got NaN, expected floats in [0, 1]"),
        (torch.full((3, 4, 4), torch.inf), "got values from inf to inf, expected floats in [0, 1]"),
        (np.zeros((4, 4), np.int64), "got int64, expected uint8, uint16"),
        (np.zeros((4, 4), np.uint32), "got uint32, expected uint8, uint16"),
        (np.zeros((4, 4), complex), "got complex128, expected uint8, uint16"),
        (np.full((4, 4), None), "got object, expected uint8, uint16"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "got int32, expected uint8, uint16"),
        (torch.zeros(3, 4, 4, dtype=torch.complex64), "got complex64, expected uint8, uint16"),
        (torch.zeros(3, 4, 4, device="meta"), "got no data (device meta)"),
        (torch.zeros(3, 4, 4).to_sparse(), "got torch.sparse_coo, expected a dense tensor"),
        (np.zeros((3, 48, 64), np.uint8), "channels come last in an array: pass array.transpose(1, 2, 0)"),
        (np.zeros((48, 64, 2), np.uint8), "got shape (48, 64, 2), expected (H, W), (H, W, 1)"),
        (np.zeros((1, 48, 64, 3), np.uint8), "one picture at a time: pass array[0]"),
        (np.zeros(48, np.uint8), "got shape (48,), expected"),
        (np.uint8(7), "image: got uint8, expected a path, bytes"),
        (torch.zeros(48, 64, 3), "channels come first in a tensor: pass tensor.permute(2, 0, 1)"),
        (torch.zeros(2, 3, 48, 64), "one picture at a time: pass tensor[0]"),
        (torch.tensor(1.0), "got shape (), expected"),
        (np.zeros((0, 4, 3), np.uint8), "got 4 x 0 pixels, expected at least one"),
        (torch.zeros(3, 4, 0), "got 0 x 4 pixels, expected at least one"),
        (Image.new("RGB", (0, 5)), "got 0 x 5 pixels, expected at least one"),
        (
            Image.fromarray(np.full((2, 2), 65536, np.int32)),
            "got values from 65536 to 65536, expected 16 bits",
        ),
        (Image.fromarray(np.full((2, 2), -1, np.int32)), "got values from -1 to -1, expected 16 bits"),
        (Image.fromarray(np.full((2, 2), 255, np.float32)), "expected floats in [0, 1]; divide"),
        (None, "image: got NoneType, expected a path, bytes"),
        ([[1, 2]], "image: got list, expected a path, bytes"),
    ],
)
def test_pixels_of_an_unknown_kind_are_refused_by_name(image: Any, message: str) -> None:
    for read in (load_image, open_picture):
        with pytest.raises(ImageError, match=re.escape(message)) as caught:
            read(image)
        assert "\n" not in str(caught.value)


def test_the_caller_keeps_an_unchanged_image() -> None:
    with Image.open(io.BytesIO(encoded(Image.fromarray(photo()), "JPEG"))) as lazy:
        load_image(lazy, size=32)
        assert lazy.size == (512, 512)
    picture = Image.fromarray(photo())
    open_picture(picture).paste("red", (0, 0, 512, 512))
    np.testing.assert_array_equal(np.array(picture), photo())


# ---- PIL modes, alpha, EXIF


def in_mode(mode: str) -> Image.Image:
    rgb = Image.fromarray(photo(64, 48))
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.applyTransform(rgb, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    if mode.startswith("I"):
        numbers = np.asarray(rgb.convert("L")).astype(np.int32) * 257
        dtype = {"I": "<i4", "I;16B": ">u2"}.get(mode, "<u2")
        return Image.frombytes(mode, rgb.size, numbers.astype(dtype).tobytes())
    if mode == "F":
        return Image.fromarray(np.asarray(rgb.convert("L")) / np.float32(255))
    if mode in ("La", "RGBa", "PA"):
        return rgb.convert({"La": "LA", "RGBa": "RGBA", "PA": "P"}[mode]).convert(mode)
    return rgb.convert(mode)


@pytest.mark.parametrize("mode", sorted(Image.MODES))
def test_every_pil_mode_shows_the_picture(mode: str) -> None:
    grey = mode in ("1", "L", "LA", "La", "F") or mode.startswith("I")
    rgb = Image.fromarray(photo(64, 48))
    expected = np.array((rgb.convert("L") if grey else rgb).convert("RGB")).astype(int)
    tolerance = {"1": 128, "P": 45, "PA": 45, "CMYK": 1, "YCbCr": 4, "HSV": 6, "LAB": 6}.get(mode, 0)
    assert abs(levels(in_mode(mode)) - expected).mean() <= tolerance
    assert abs(np.array(open_picture(in_mode(mode))) - expected).mean() <= tolerance


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (2, 2), (0, 0, 255, 51)),
        Image.new("RGBA", (2, 2), (0, 0, 255, 51)).convert("RGBa"),
        encoded(Image.new("RGBA", (2, 2), (0, 0, 255, 51))),
        np.full((2, 2, 4), (0, 0, 255, 51), np.uint8),
        torch.tensor([0, 0, 1, 0.2]).reshape(4, 1, 1).expand(4, 2, 2),
    ],
)
def test_alpha_is_laid_over_white(image: Any) -> None:
    assert abs(levels(image)[0, 0].astype(int) - (204, 204, 255)).max() <= 1


def test_transparent_palettes_and_colour_keys_show_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    keyed = Image.new("RGB", (2, 1), "red")
    keyed.putpixel((1, 0), (0, 255, 0))
    for key, picture in ((0, palette), (bytes([0, 255]), palette), ((255, 0, 0), keyed)):
        assert levels(encoded(picture, transparency=key)).tolist() == [[[255] * 3, [0, 255, 0]]]
    black = Image.new("L", (1, 1), 0)
    assert levels(encoded(black, transparency=0)).tolist() == [[[255] * 3]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_turned_upright(orientation: int, kind: str) -> None:
    upright = Image.fromarray(photo(600, 350))
    stored = upright
    if orientation in TURNS:
        stored = upright.transpose(Image.Transpose[TURNS[orientation]])
    options = {"WEBP": {"lossless": True, "method": 0, "quality": 0}, "JPEG": {"quality": 95}}.get(kind, {})
    file = encoded(stored, kind, exif=oriented(orientation), **options)
    expected, geometry = load_image(upright)
    for image in (file, Image.open(io.BytesIO(file))):
        x, g = load_image(image)
        assert g == geometry
        assert (x - expected).abs().mean() < 0.02
        picture = open_picture(image)
        assert picture.size == upright.size
        assert abs(np.array(picture).astype(int) - photo(600, 350)).mean() < 5
        assert open_picture(picture) == picture  # not turned twice


@pytest.mark.parametrize(
    "exif", [oriented(0), oriented(9), b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_corrupt_exif_is_ignored(exif: Any) -> None:
    _, g = load_image(encoded(Image.fromarray(photo(60, 40)), "JPEG", exif=exif))
    assert (g.width, g.height) == (60, 40)


def test_exif_cut_short_is_ignored() -> None:
    exif = oriented(6).tobytes()
    for length in range(len(exif)):
        load_image(encoded(Image.fromarray(photo(60, 40)), "JPEG", exif=exif[:length]))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (levels(file) == (255, 0, 0)).all()


# ---- large pictures


def test_a_large_jpeg_is_decoded_no_finer_than_twice_the_target() -> None:
    file = encoded(Image.fromarray(photo(4001, 3001)), "JPEG", quality=80)
    reading = images._read(file, 416, 2**28, "rgb")
    assert (reading.width, reading.height) == (4001, 3001)
    assert reading.picture.size == (1001, 751)  # 1/4: 1/8 would be less than 832
    x, g = load_image(file)
    assert (g.width, g.height) == (4001, 3001)
    assert (x - load_image(photo(4001, 3001))[0]).abs().mean() < 0.01


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's memory counters")
@pytest.mark.parametrize("kind", ["JPEG", "array", "float tensor"])
def test_a_photograph_of_12_megapixels_takes_few_megabytes(kind: str) -> None:
    def kilobytes(counter: str) -> int:
        return int(re.findall(rf"{counter}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])

    image: Any = photo(4000, 3000)
    if kind == "JPEG":
        image = encoded(Image.fromarray(image), "JPEG", quality=80)
    elif kind == "float tensor":
        image = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)
    load_image(photo(64, 64))  # what is imported and allocated once
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:
        pytest.skip("may not reset the memory peak here")
    before = kilobytes("VmRSS")
    load_image(image)
    assert kilobytes("VmHWM") - before < 30_000  # 8-bit RGB in Pillow alone: 48 MB


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = encoded(Image.new("L", (200, 100)), kind)
    load_image(file, max_pixels=20_000)
    for decoding in ("flatten", "assemble"):
        monkeypatch.setattr(images, decoding, None)
    for read in (load_image, open_picture):
        with pytest.raises(ImageError, match=r"got 200 x 100 pixels, expected at most 19999 \(max_pixels\)"):
            read(file, max_pixels=19_999)
    for held in (np.zeros((100, 200), np.uint8), torch.zeros(3, 100, 200)):
        with pytest.raises(ImageError, match="expected at most 19999"):
            load_image(held, max_pixels=19_999)


def test_pillows_own_limit_neither_warns_nor_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = "PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"
    files = {kind: encoded(Image.new("RGB", (200, 100)), kind) for kind in kinds}
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15_000)  # above it Pillow warns
    for file in files.values():
        assert load_image(file)[1].width == 200
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)  # above twice this it refuses
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        assert load_image(files[kind])[1].width == 200
    for kind in ("TIFF", "WEBP"):  # some versions refuse these by themselves
        with suppress(ImageError):
            load_image(files[kind])


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "416", None])
def test_options_that_are_no_positive_integers_are_refused(wrong: Any) -> None:
    for name in ("size", "stride", "max_pixels"):
        with pytest.raises(InputError, match=f"{name}: got"):
            load_image(photo(), **{name: wrong})


def test_a_canvas_over_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="got a canvas of 100000 x 100000, expected at most 67108864"):
        load_image(photo(8, 8), stride=100_000)


# ---- files


def test_paths_are_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "Straße 1.png"
    Image.fromarray(photo(60, 40)).save(path)
    for image in (path, str(path)):
        np.testing.assert_array_equal(levels(image), photo(60, 40))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ImageError, match=re.escape(f"{path}: no readable image: ")):
        load_image(path)


def bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    contents = {
        "empty.jpg": (b"", "got 0 bytes, expected an image"),
        "text.jpg": (b"Not an image at all.\n", "no image of a known kind (it starts with b'Not an i')"),
        "archive.png": (archive.getvalue(), "no image of a known kind (it starts with b'PK"),
        "street.plf": (b"\x89PLF\r\n\x1a\n" + bytes(50), "got a .plf file, expected an image; decode it"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known kind"),
        "one.png": (b"\x89", "no image of a known kind"),
    }
    for name, (content, reason) in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name, reason
    yield folder, "got a directory, expected an image file"
    yield folder / "missing.jpg", "No such file or directory"
    yield folder / "nul\0.jpg", "null"
    yield folder / ("x" * 300), "File name too long"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        yield folder / "pipe", "got no regular file, expected an image file"


def test_files_that_are_no_image_are_refused_in_one_line(tmp_path: Path) -> None:
    for path, reason in bad_files(tmp_path):
        name = printable(str(path))
        for read in (load_image, open_picture):
            with pytest.raises(ImageError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{name}: ")
            assert reason in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(Image.new("L", (8, 8))))

    def refuse(*_: Any) -> None:  # root may read everything, so chmod would not do
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=re.escape(f"{path}: Permission denied")):
        load_image(path)


# ---- damage


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_short_is_refused_not_half_grey(progressive: bool) -> None:
    file = encoded(Image.fromarray(photo()), "JPEG", progressive=progressive)
    for length in [*range(0, len(file) - 100, 1499), *range(len(file) - 50, len(file))]:
        for read in (load_image, open_picture):
            with pytest.raises(ImageError, match=r"^<bytes>: "):
                read(file[:length])


def test_a_lazily_opened_image_cut_short_is_refused() -> None:
    file = encoded(Image.fromarray(photo()), "JPEG")
    with Image.open(io.BytesIO(file[:5000])) as lazy, pytest.raises(ImageError, match="truncated"):
        load_image(lazy)
    with Image.open(io.BytesIO(file)) as closed:
        pass
    with pytest.raises(ImageError, match=r"^<PIL image RGB 512 x 512>: "):
        load_image(closed)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "ICO", "JPEG2000"])
def test_damaged_bytes_give_an_image_or_an_image_error(kind: str) -> None:
    source = Image.fromarray(photo(48, 36))
    options = {"exif": oriented(6)} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}
    whole = encoded(source.convert("P") if kind == "GIF" else source, kind, **options)
    rng, messages = random.Random(kind), []
    for _ in range(250):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 2, 8))):  # headers are short, so half the damage goes there
            place = rng.randrange(len(damaged) if rng.random() < 0.5 else min(200, len(damaged)))
            damaged[place] = rng.choice((0, 1, 255, rng.randrange(256)))
        del damaged[rng.choice((len(damaged), rng.randrange(len(damaged)))) :]
        try:
            load_image(damaged, size=32, max_pixels=10**6)
        except ImageError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(re.fullmatch("<bytes>: .+", message) for message in messages)


def test_warning_filters_are_left_as_they_were() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\0\0\0\x99\0\0\0" + bytes(4)  # Pillow warns of it
    file = encoded(Image.fromarray(photo(60, 40)), "JPEG", exif=exif)
    with pytest.warns(UserWarning, match="Truncated|Skipping"), Image.open(io.BytesIO(file)) as picture:
        picture.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert load_image(file)[1].width == 60
        assert warnings.filters == before
