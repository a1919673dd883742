"""What the page of ``featcodec demo`` shows of a photograph, computed without the page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_feature_codec import coder, picture, small

from featcodec.bench.anchors import JPEG
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.demo.jpeg import jpeg_within
from featcodec.demo.look import Look, look, open_photograph
from featcodec.demo.words import bits_table, captions, complaint, headline
from featcodec.errors import ImageError, InputError
from featcodec.networks.cut_network import features_of, find_boxes
from featcodec.pictures.loading import load_image
from featcodec.pictures.pixels import pixels


def file_of(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def seen(data: bytes, *, name: str = "photo.png", quality: float = 6.0, effort: int = 0) -> Look:
    return look(coder(), open_photograph(coder(), data, name), quality=quality, effort=effort)


# ---- the .plf file


@pytest.mark.parametrize(("quality", "effort"), [(1.0, 0), (4.25, 1), (8.0, 2)])
def test_the_file_is_the_one_that_encode_gives(quality: float, effort: int) -> None:
    data = file_of(picture())
    assert seen(data, quality=quality, effort=effort).data == coder().encode(
        data, quality=quality, effort=effort
    )


def test_the_boxes_are_those_of_detect() -> None:
    data = file_of(picture())
    shown = seen(data)
    expected = coder().detect(shown.data)
    assert shown.plf.boxes is not None
    assert torch.equal(shown.plf.boxes.xyxy, expected.xyxy)
    assert shown.photograph.boxes is not None
    uncoded = coder().detect(coder().features(data))
    assert torch.equal(shown.photograph.boxes.scores, uncoded.scores)


def test_a_large_photograph_is_drawn_small_and_encoded_as_ever() -> None:
    data = file_of(picture(3000, 4500), "JPEG", quality=50)
    shown = seen(data, name="large.jpg")
    assert shown.data == coder().encode(data, quality=6.0)
    assert (shown.plf.drawn.size, shown.heat.size) == ((960, 640), (960, 640))
    assert (shown.photograph.geometry.width, shown.photograph.geometry.height) == (4500, 3000)


def test_a_photograph_that_lies_on_its_side_is_turned_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # EXIF: turn by 90 degrees
    shown = seen(file_of(picture(60, 120), "JPEG", exif=turned))
    assert shown.heat.size == (60, 120)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "photo.png: got 0 bytes, expected an image"),
        (b"%PDF-1.7 and so on", "photo.png: "),
        (file_of(picture())[:900], "photo.png: "),
        (coder().encode(picture()), "photo.png: got a .plf file, expected an image"),
    ],
)
def test_what_is_no_picture_is_one_line_with_its_name(data: bytes, problem: str) -> None:
    with pytest.raises(ImageError) as raised:
        open_photograph(coder(), data, "photo.png")
    assert str(raised.value).startswith(problem)
    assert "\n" not in str(raised.value)


def test_a_picture_that_unpacks_to_too_many_pixels_is_refused_before_it_does() -> None:
    bomb = io.BytesIO()
    Image.new("1", (2**14, 2**14 + 1)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 2**16
    with pytest.raises(ImageError, match=r"^bomb.png: got 16384 x 16385 pixels, expected at most 268435456"):
        open_photograph(coder(), bomb.getvalue(), "bomb.png")


def test_a_codec_without_its_network_says_so() -> None:
    with pytest.raises(InputError, match="network"):
        open_photograph(FeatureCodec(small(), None), file_of(picture()), "photo.png")


# ---- the JPEG of as many bytes


@pytest.mark.parametrize("most", [700, 1500, 4000])
def test_the_jpeg_fits_and_no_higher_quality_of_its_size_would(most: int) -> None:
    x, geometry = load_image(picture(90, 120), size=96)
    made = jpeg_within(x, geometry, most)
    assert made is not None
    assert len(made.data) <= most
    with Image.open(io.BytesIO(made.data)) as decoded:
        assert (decoded.format, decoded.size) == ("JPEG", (made.width, made.height))
    if made.quality < 95:
        whole = Image.fromarray(pixels(x[0, :, geometry.top : geometry.top + 72]))
        scaled = whole.resize((made.width, made.height), Image.Resampling.BICUBIC)
        assert len(JPEG.encode(np.asarray(scaled), made.quality + 1)) > most


def test_more_bytes_make_a_jpeg_that_is_closer() -> None:
    x, geometry = load_image(picture(90, 120), size=96)
    errors = []
    for most in (600, 1200, 2400, 4800):
        made = jpeg_within(x, geometry, most)
        assert made is not None
        assert made.canvas.shape == x.shape
        errors.append(float((made.canvas - x).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_few_bytes_are_spent_on_fewer_pixels() -> None:
    x, geometry = load_image(picture(416, 416), size=416)
    made = jpeg_within(x, geometry, 2500)
    assert made is not None
    assert made.width < 416


def test_the_jpegs_boxes_are_the_whole_networks() -> None:
    shown = seen(file_of(picture()))
    assert shown.jpeg is not None
    assert shown.jpeg_found is not None
    assert shown.jpeg_found.boxes is not None
    network = coder().network
    [expected] = find_boxes(network, features_of(network, shown.jpeg.canvas), [shown.photograph.geometry])
    assert torch.equal(shown.jpeg_found.boxes.xyxy, expected.xyxy)


def test_where_no_jpeg_is_so_small_the_page_says_so() -> None:
    shown = seen(file_of(picture()), quality=1.0)
    assert len(shown.data) < 500  # what a JPEG's tables alone take
    assert shown.jpeg is None
    assert shown.drawn["jpeg"] is None
    assert f"There is none of {len(shown.data):,} bytes" in captions(shown)["jpeg"]


# ---- words


def test_the_words_have_the_figures() -> None:
    data = file_of(picture())
    shown = seen(data)
    words = headline(shown, "small-0")
    assert f'<span id="plf-bytes">{len(shown.data):,}</span> bytes' in words
    assert f"photo.png: {len(data):,} bytes" in words
    assert "120 × 90 pixels" in words
    assert f"In the .plf file, {len(shown.data):,} bytes: " in captions(shown)["plf"]
    assert f"<td>{shown.rate.y.total / 8:,.0f}</td>" in bits_table(shown)
    assert f"<td>file</td><td>{len(shown.data):,}</td><td>100%</td>" in bits_table(shown)


def test_a_files_name_is_text_not_markup() -> None:
    name = "<img src=x onerror=alert(1)>.png"
    assert "<img" not in headline(seen(file_of(picture()), name=name), "small-0")
    with pytest.raises(ImageError) as raised:
        open_photograph(coder(), b"no picture", name)
    assert "<img" not in complaint(raised.value)


def test_of_a_network_that_is_no_detector_all_else_is_shown() -> None:
    cut = coder().network

    class Featureless:  # the same network, of which nobody knows how to make boxes
        detector = None

        def __getattr__(self, name: str) -> Any:
            return getattr(cut, name)

    codec = FeatureCodec(small(), Featureless())  # type: ignore[arg-type]
    shown = look(codec, open_photograph(codec, file_of(picture()), "photo.png"), quality=6)
    assert shown.plf.boxes is None
    assert shown.data == seen(file_of(picture())).data
    assert "no detector that featcodec knows" in captions(shown)["plf"]
    assert shown.heat.size == (120, 90)
