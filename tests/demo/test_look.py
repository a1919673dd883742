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

from featcodec.attacks.attacker_networks import AttackerNetwork
from featcodec.attacks.thief_file import ThiefFile
from featcodec.attacks.thief_record import ThiefRecord
from featcodec.attacks.training import Recipe
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.demo.look import Look, look, open_photograph
from featcodec.demo.words import bits_table, captions, complaint, headline, thief_notes
from featcodec.errors import ImageError, InputError, ModelMismatchError
from featcodec.evaluation.results import Made, Reference
from featcodec.networks.cut_network import features_of, find_boxes
from featcodec.pictures.loading import load_image


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


def test_the_jpegs_boxes_are_the_whole_networks() -> None:
    shown = seen(file_of(picture()))
    assert shown.jpeg is not None
    assert shown.jpeg_found is not None
    assert shown.jpeg_found.boxes is not None
    network = coder().network
    assert len(shown.jpeg.data) <= len(shown.data)
    x, geometry = load_image(shown.jpeg.picture, size=96)
    assert (geometry.scaled_width, geometry.scaled_height) == shown.jpeg.picture.size == (96, 72)
    [expected] = find_boxes(network, features_of(network, x), [shown.photograph.geometry])
    assert torch.equal(shown.jpeg_found.boxes.xyxy, expected.xyxy)


def test_where_no_jpeg_is_so_small_the_page_says_so() -> None:
    shown = seen(file_of(picture()), quality=1.0)
    assert len(shown.data) < 500  # what a JPEG's tables alone take
    assert shown.jpeg is None
    assert shown.drawn["jpeg"] is None
    assert f"There is none of {len(shown.data):,} bytes" in captions(shown)["jpeg"]


# ---- the thief


def thief(codec: FeatureCodec) -> ThiefFile:
    """One of a codec's files that has learned nothing."""
    torch.manual_seed(0)
    widths, stride, points = codec.file.config.widths, codec.file.config.latent_stride, (1.0, 8.0)
    shape = {"channels": widths.latents, "stride": stride, "width": 8}
    record = ThiefRecord(
        codec=codec.name, fingerprint=codec.fingerprint.hex(), encoder=codec.file.encoder_digest, effort=0,
        kind="unet", **shape, points=points, attacker="unet-8", recipe=Recipe(), photographs=7, curve=(),
        rebuilt=(), identified=(), reference=Reference(), made=Made("", "", "", {}, "", {}),
    )  # fmt: skip
    return ThiefFile.of(record, AttackerNetwork("unet", **shape, points=points).eval())


def test_the_thief_rebuilds_from_the_file_alone_and_is_measured() -> None:
    data, robber = file_of(picture()), thief(coder())
    shown = look(coder(), open_photograph(coder(), data, "photo.png"), quality=6, thief=robber)
    assert shown.rebuilt is not None
    rebuilt = robber.rebuild(coder(), shown.data)
    assert shown.rebuilt.drawn.size == (120, 90)
    x, _ = load_image(data, size=96)
    truth = x[0, :, 12:84]  # 96 x 72 of 96 x 96
    error = (torch.from_numpy(rebuilt).permute(2, 0, 1) / 255 - truth).square().mean()
    assert shown.rebuilt.psnr == pytest.approx(-10 * float(torch.log10(error)), abs=1e-3)
    blind = (truth - truth.mean((1, 2), keepdim=True)).square().mean()
    assert shown.rebuilt.blind == pytest.approx(-10 * float(torch.log10(blind)), abs=1e-3)
    assert f"{shown.rebuilt.psnr:.1f} dB" in captions(shown)["thief"]
    assert "on files of 7 photographs" in thief_notes(shown)


def test_of_a_codec_without_a_thief_the_page_says_why_in_one_line() -> None:
    shown = seen(file_of(picture()))
    assert shown.rebuilt is None
    assert shown.drawn["thief"] is None
    assert "<p>No thief comes with small-0. " in captions(shown)["thief"]
    assert thief_notes(shown) == ""


def test_the_thief_of_another_codec_is_refused() -> None:
    photograph = open_photograph(coder(), file_of(picture()), "photo.png")
    with pytest.raises(ModelMismatchError, match="small-1"):
        look(coder(), photograph, quality=6, thief=thief(coder(1)))


# ---- words


def test_the_words_have_the_figures() -> None:
    data = file_of(picture())
    shown = seen(data)
    words = headline(shown, "small-0")
    assert f'<span id="plf-bytes">{len(shown.data):,}</span> bytes' in words
    assert f"photo.png: {len(data):,} bytes" in words
    assert "120 × 90 pixels" in words
    assert f"<p>{len(shown.data):,} bytes. The photograph is not in them" in captions(shown)["plf"]
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
