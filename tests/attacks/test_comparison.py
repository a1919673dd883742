"""The sheet: what stands on it is right, everything is inside it, and it is as wide as a README shows."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee
from thieves import thief_for_tests

import featcodec
from featcodec.attacks import comparison_sheet
from featcodec.attacks.comparison import _within, compare
from featcodec.attacks.comparison_sheet import MARGIN, SIDE, TEXT, TITLE, WIDTH, sheet
from featcodec.errors import InputError
from featcodec.pictures.small_jpeg import jpeg_within


@pytest.fixture(scope="module")
def codec():
    return featcodec.load()


@pytest.fixture(scope="module")
def photograph():
    return Image.fromarray(astronaut()[:384])


@pytest.fixture(scope="module")
def data(codec, photograph):
    return codec.encode(photograph, quality=4)


@pytest.fixture(scope="module")
def other():
    """Another codec with the tensors of the first: its files differ by name and fingerprint alone."""
    file = featcodec.load().file
    renamed = replace(file, config=replace(file.config, name="other"))
    return featcodec.FeatureCodec(renamed, featcodec.load().network)


@pytest.fixture(scope="module")
def found(codec, photograph, data, other):
    thief = thief_for_tests(codec.file)
    return compare(photograph, data, codec, thief, others=[(other, thief_for_tests(other.file))])


def psnr(a, b):
    return -10 * math.log10(np.square(a.astype(float) / 255 - b.astype(float) / 255).mean())


def test_the_file_given_and_files_of_no_more_bytes_are_compared(found, data, codec):
    assert (found.given.codec, found.given.bytes, found.given.quality) == (codec.name, len(data), 4.0)
    (other,) = found.others
    assert other.codec == "other"
    assert other.bytes <= len(data)
    assert len(found.jpeg.data) <= len(data)
    assert [one.psnr for one in found.rebuilt] == sorted((found.given.psnr, other.psnr), reverse=True)


def test_another_codec_that_needs_more_bytes_is_shown_at_its_lowest_quality(photograph, other):
    smallest = other.encode(photograph, quality=1)
    assert _within(other, photograph, len(smallest) - 1) == smallest
    larger = _within(other, photograph, len(smallest) + 800)
    assert len(smallest) < len(larger) <= len(smallest) + 800


def test_figures_are_of_the_resolution_of_the_canvas(found, photograph):
    truth = np.asarray(photograph.resize((416, 312), Image.Resampling.BILINEAR, reducing_gap=2.0))
    assert found.given.picture.shape == truth.shape
    assert found.given.psnr == pytest.approx(psnr(found.given.picture, truth), abs=0.05)
    assert found.jpeg_psnr == pytest.approx(psnr(np.asarray(found.jpeg.picture), truth), abs=0.2)
    mean = np.broadcast_to(truth.mean((0, 1)), truth.shape)
    assert found.blind_psnr == pytest.approx(psnr(mean, truth), abs=0.05)


def test_a_photograph_of_another_size_is_refused(codec, data):
    with pytest.raises(InputError, match="got 600 x 400 pixels, expected 512 x 384, the size of the picture"):
        compare(Image.fromarray(coffee()), data, codec, thief_for_tests(codec.file))


# ---- the JPEG


@pytest.mark.parametrize("most", [700, 1500, 4000, 20_000])
def test_a_jpeg_is_as_good_as_its_bytes_allow(photograph, most):
    small = jpeg_within(photograph, most)
    assert len(small.data) <= most
    assert small.picture.size == photograph.size
    with Image.open(io.BytesIO(small.data)) as opened:
        assert opened.size == (small.width, small.height)
    better = jpeg_within(photograph, 2 * most)
    truth = np.asarray(photograph)
    assert psnr(np.asarray(better.picture), truth) > psnr(np.asarray(small.picture), truth)


def test_of_few_bytes_a_scaled_down_jpeg_is_closer_than_one_of_full_size(photograph):
    small = jpeg_within(photograph, 3000)
    assert small.width < photograph.width
    assert jpeg_within(photograph, 200_000).width == photograph.width


# ---- the sheet


def texts(found, monkeypatch):
    """What is written on the sheet: text, place and font of each line."""
    written = []
    draw = comparison_sheet.ImageDraw.ImageDraw

    def text(self, place, line, **options):
        written.append((line, place, options["font"]))
        original(self, place, line, **options)

    original = draw.text
    monkeypatch.setattr(draw, "text", text)
    return sheet(found), written


def test_nothing_on_the_sheet_reaches_beyond_its_margins(found, monkeypatch):
    page, written = texts(found, monkeypatch)
    assert page.width == WIDTH == 900
    for line, (x, y), font in written:
        if font.size not in (TITLE, TEXT):
            continue  # the label of a box
        left, _, right, bottom = font.getbbox(line)
        assert x + left >= MARGIN, line
        assert x + right <= WIDTH - MARGIN + 1, line
        assert y + bottom <= page.height - MARGIN + TEXT, line
    border = np.concatenate([np.asarray(page)[:10].reshape(-1, 3), np.asarray(page)[:, :10].reshape(-1, 3)])
    assert (border == 255).all()


def test_the_captions_say_bytes_quality_and_what_is_rebuilt(found, monkeypatch, codec):
    _, written = texts(found, monkeypatch)
    whole = " ".join(line for line, _, _ in written)
    given = found.given
    assert f"{given.bytes:,} bytes, quality 4" in whole
    assert f"PSNR {given.psnr:.1f} dB on this photograph; its mean colour {found.blind_psnr:.1f} dB" in whole
    assert f"Rebuilt by the thief of {codec.name}" in whole
    assert "Rebuilt by the thief of other" in whole
    assert (
        f"{len(found.jpeg.data):,} bytes: scaled down to {found.jpeg.width} x {found.jpeg.height} px" in whole
    )
    assert "whether two photographs show one person in 85.8 % of pairs" in whole
    assert "the strongest attacker tried (unet, 4,000 steps) 17.0 dB" in whole


def test_pictures_stand_in_two_columns_of_one_size(found):
    page = np.asarray(sheet(found)).astype(int)
    height = round(SIDE * 384 / 512)
    jpeg = np.asarray(found.jpeg.picture.resize((SIDE, height), Image.Resampling.LANCZOS)).astype(int)
    left = MARGIN + SIDE + comparison_sheet.GAP
    assert np.array_equal(page[MARGIN : MARGIN + height, left : left + SIDE], jpeg)


def test_a_photograph_of_which_no_jpeg_is_small_enough_gets_a_word(found, monkeypatch):
    page, written = texts(replace(found, jpeg=None, jpeg_psnr=math.nan), monkeypatch)
    assert page.width == WIDTH
    assert any(line == "No JPEG is that small" for line, _, _ in written)
