"""The anchors of the bench: real encoders and decoders, on files that describe themselves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut, chelsea

import featcodec
from featcodec.bench import anchors
from featcodec.bench.anchors import Calibration, ffmpeg, find_anchors, measure_range
from featcodec.bench.anchors.container import LARGEST, Tiles, read_image, write_features, write_image
from featcodec.bench.anchors.features import Zstandard, dequantize, quantize, tile, untile
from featcodec.bench.anchors.ffmpeg import HEVC, VVC
from featcodec.bench.anchors.images import VideoIntra, to_planes, to_rgb
from featcodec.errors import CoderError, InputError, MissingExtraError
from featcodec.evaluation.coders import Shot
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image

ANCHORS = tuple(anchor.name for anchor in anchors.ANCHORS)
SPAN = (-0.28, 2.2)
LATENT_SPAN = (-4.0, 4.0)
RAW = [n for n in ANCHORS if n.startswith("raw-")]
IMAGE = [n for n in ANCHORS if n.startswith("image-")]
HERE = {
    a.name: pytest.param(a.name, marks=pytest.mark.skipif(bool(a.missing()), reason=str(a.missing())))
    for a in anchors.ANCHORS
}
SMALL = Geometry(64, 48, 64, 32)  # a canvas of 64 x 64


@pytest.fixture(scope="module")
def codec():
    return featcodec.load("yolox-nano-private")


@pytest.fixture(scope="module")
def shot(codec):
    x, geometry = Canvas(160).load(chelsea())
    return Shot(Path("chelsea.png"), x, codec.network.head(x)[0], geometry)


def made(name, codec, *, span=SPAN, latent_span=LATENT_SPAN):
    (anchor,) = find_anchors([name])
    spans = {"features": span, "latents": latent_span, "nothing": None}
    return anchor.coder(Calibration(spans[anchor.needs], codec))


def available(name):
    (anchor,) = find_anchors([name])
    return anchor.missing()


def tag(name):
    (anchor,) = find_anchors([name])
    return anchor.tag


def small_shot(height, width, *, stride=32):
    x, geometry = load_image(astronaut()[100 : 100 + height, 180 : 180 + width], size=160, stride=stride)
    return Shot(Path("astronaut.png"), x, x[:, :, ::8, ::8], geometry)


def psnr(a, b, peak=1.0):
    return 10 * np.log10(peak**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))


@pytest.mark.parametrize("name", HERE.values())
def test_a_file_decodes_in_a_fresh_coder_that_was_given_other_ranges(name, codec, shot):
    coder = made(name, codec)
    data = coder.encode(shot, coder.points[0])
    decoded, geometry = coder.decode(data)
    again, geometry_again = made(name, codec, span=(0, 9), latent_span=(0, 9)).decode(data)
    assert geometry == geometry_again == shot.geometry
    assert torch.equal(decoded, again)
    assert decoded.shape == (shot.x if coder.gives == "canvas" else shot.f).shape


@pytest.mark.parametrize("name", [HERE[n] for n in ANCHORS if n != "raw-zstd"])
def test_bytes_and_detail_fall_from_the_finest_point_to_the_coarsest(name, codec, shot):
    coder = made(name, codec)
    finest, coarsest = sorted(coder.points, reverse=name.endswith(("jpeg", "webp", "avif")))[
        :: len(coder.points) - 1
    ]
    files = [coder.encode(shot, p) for p in (finest, coarsest)]
    assert len(files[0]) > 1.5 * len(files[1])
    source = shot.x if coder.gives == "canvas" else shot.f
    fine, coarse = (psnr(coder.decode(f)[0], source) for f in files)
    assert fine > coarse


def test_lossless_features_are_off_by_half_a_level_at_most_and_clipped(codec, shot):
    coder = made("raw-zstd", codec)
    decoded, _ = coder.decode(coder.encode(shot, 0))
    low, high = SPAN
    assert float((decoded - shot.f.clamp(low, high)).abs().max()) <= (high - low) / 255 / 2 * 1.0001


@pytest.mark.parametrize("name", [HERE["raw-vvc"], HERE["raw-hevc"]])
def test_features_at_a_low_qp_are_near_lossless(name, codec, shot):
    coder = made(name, codec)
    decoded, _ = coder.decode(coder.encode(shot, 16))
    assert psnr(decoded, shot.f.clamp(*SPAN), SPAN[1] - SPAN[0]) > 42


@pytest.mark.parametrize("name", [HERE[n] for n in IMAGE])
def test_pictures_come_back_inside_the_same_grey_border(name, shot):
    coder = made(name, None)
    g = shot.geometry
    decoded, _ = coder.decode(coder.encode(shot, coder.points[-1]))
    border = torch.ones_like(decoded, dtype=torch.bool)
    border[:, :, g.top : g.top + g.scaled_height, g.left : g.left + g.scaled_width] = False
    assert border.any()
    assert torch.equal(decoded[border], shot.x[border])
    assert not torch.equal(decoded[~border], shot.x[~border])


@pytest.mark.parametrize("intra", [VVC, HEVC], ids=["vvc", "hevc"])
def test_qp_10_gives_more_than_40_db_of_luma(intra, shot):
    if reason := intra.missing():
        pytest.skip(reason)
    g = shot.geometry
    inside = shot.x[0, :, g.top : g.top + g.scaled_height // 2 * 2, g.left : g.left + g.scaled_width]
    rgb = (inside * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    store = VideoIntra(intra)
    decoded = store.decode(store.encode(rgb, 10), *rgb.shape[:2])
    assert psnr(to_planes(decoded, 8)[0], to_planes(rgb, 8)[0], 255) > 40


@pytest.mark.parametrize("name", [HERE[n] for n in ANCHORS if n != "bottleneck-vvc"])
@pytest.mark.parametrize("sides", [(61, 97), (3, 5), (1, 1)], ids=str)
def test_odd_and_tiny_pictures_keep_their_size(name, sides, codec):
    small = small_shot(*sides)
    coder = made(name, codec)
    decoded, geometry = coder.decode(coder.encode(small, coder.points[0]))
    assert geometry == small.geometry
    assert decoded.shape == (small.x if coder.gives == "canvas" else small.f).shape


def test_the_header_takes_8_bytes_of_an_image_and_22_of_features():
    geometry = Geometry(640, 480, 448, 32)
    assert len(write_image(tag("image-vvc"), geometry, b"")) == 8
    assert len(write_features(tag("raw-vvc"), geometry, Tiles(128, 42, 56, 16, *SPAN), b"")) <= 22


@pytest.mark.parametrize("name", [HERE["raw-vvc"], HERE["raw-hevc"], HERE["image-vvc"], HERE["image-hevc"]])
def test_no_text_of_the_encoder_is_counted(name, codec, shot):
    data = made(name, codec).encode(shot, 44)
    assert not any(word in data for word in (b"x265", b"vvenc", b"Lav", b"qp="))


# ---- levels, tiles, colours, ranges


def test_levels_are_rounded_not_floored():
    values = torch.tensor([0.49, 0.51, 1.49, 254.51]).reshape(1, 4, 1, 1)
    assert quantize(values, 0.0, 255.0).ravel().tolist() == [0, 1, 1, 255]


@given(st.floats(-100, 100), st.floats(0.01, 100))
def test_levels_come_back_as_the_same_levels(low, width):
    levels = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)
    span = float(np.float32(low)), float(np.float32(low + width))
    assert np.array_equal(quantize(dequantize(levels, *span), *span), levels)


@pytest.mark.parametrize(("channels", "columns"), [(1, 1), (3, 3), (64, 8), (128, 16), (192, 16), (7, 7)])
def test_tiling_has_an_inverse_and_keeps_channels_whole(channels, columns):
    levels = np.random.default_rng(0).integers(0, 256, (channels, 5, 6), np.uint8)
    picture = tile(levels, columns)
    assert picture.shape == (channels // columns * 5, columns * 6)
    assert np.array_equal(picture[:5, :6], levels[0])
    assert np.array_equal(untile(picture, Tiles(channels, 5, 6, columns, 0, 1)), levels)


@pytest.mark.parametrize("bits", [8, 10])
def test_colours_come_back_where_chroma_is_smooth(bits):
    ramp = np.linspace(30, 220, 64).astype(np.uint8)
    rgb = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128), axis=2).astype(np.uint8)
    off = np.abs(to_rgb(to_planes(rgb, bits), bits).astype(int) - rgb)
    assert off.max() <= (4 if bits == 8 else 2)
    grey = np.repeat(ramp.reshape(8, 8, 1), 3, axis=2)
    assert np.abs(to_rgb(to_planes(grey, bits), bits).astype(int) - grey).max() <= (1 if bits == 8 else 0)


def test_the_range_leaves_out_the_farthest_values():
    tensors = [torch.arange(10_001.0), torch.arange(10_001.0)]
    assert measure_range(tensors) == (pytest.approx(5, abs=1), pytest.approx(9995, abs=1))


@pytest.mark.parametrize("tensors", [[], [torch.ones(5)], [torch.tensor([1.0, torch.nan])]], ids=str)
def test_a_range_of_nothing_is_refused(tensors):
    with pytest.raises(InputError, match="range: got"):
        measure_range(tensors)


# ---- what changes the result changes the identity


def test_identity_names_range_versions_and_options(codec):
    a, b = (made("raw-hevc", codec, span=s).identity for s in (SPAN, (0, 1)))
    assert a != b
    assert "ffmpeg version" in a
    assert "HEVC encoder version" in a
    assert "ipratio=1" in a
    bottleneck = made("bottleneck-vvc", codec)
    assert bottleneck.name == "yolox-nano-private/bottleneck-vvc"
    assert bottleneck.identity != made("bottleneck-vvc", featcodec.load("yolox-nano-open")).identity


# ---- damage


@pytest.mark.parametrize("name", HERE.values())
def test_damaged_bytes_give_a_coder_error_or_a_result(name, codec):
    x, geometry = Canvas(64).load(astronaut())
    coder = made(name, codec)
    good = coder.encode(Shot(Path("a.png"), x, codec.network.head(x)[0], geometry), coder.points[-1])
    rng = np.random.default_rng(0)
    for _ in range(24 if "vc" in name else 150):
        bad = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            bad[rng.integers(0, min(len(bad), 200))] = rng.integers(0, 256)
        data = bytes(bad[: rng.integers(1, len(bad))] if rng.random() < 0.3 else bad)
        try:
            decoded, _ = coder.decode(data)
        except CoderError:
            continue
        assert decoded.ndim == 4


@pytest.mark.parametrize("name", ANCHORS)
def test_every_truncation_within_the_header_is_named(name, codec):
    header = (
        write_features(tag("raw-vvc"), SMALL, Tiles(4, 8, 8, 2, *SPAN), b"") if "image" not in name else None
    )
    header = header or write_image(tag("image-vvc"), SMALL, b"")
    for length in range(len(header)):
        with pytest.raises(CoderError):
            made(name, codec).decode(header[:length])


def test_a_file_of_another_anchor_is_refused(codec, shot):
    data = made("raw-zstd", codec).encode(shot, 0)
    with pytest.raises(CoderError, match="raw-vvc: tag: got a2, expected a0"):
        made("raw-vvc", codec).decode(data)


@pytest.mark.parametrize(
    ("geometry", "tiles", "message"),
    [
        (Geometry(2**31, 2**31, 2**20, 32), Tiles(4, 8, 8, 2, 0, 1), "canvas: got"),
        (Geometry(64, 64, 64, 2**31), Tiles(4, 8, 8, 2, 0, 1), "canvas: got"),
        (SMALL, Tiles(2**20, 8, 8, 2, 0, 1), "shape: got"),
        (SMALL, Tiles(4, 8, 16, 2, 0, 1), "expected a fraction of the canvas"),
        (SMALL, Tiles(4, 0, 8, 2, 0, 1), "shape: got"),
        (SMALL, Tiles(4, 8, 8, 3, 0, 1), "columns: got 3"),
        (SMALL, Tiles(4, 8, 8, 0, 0, 1), "columns: got 0"),
        (SMALL, Tiles(4, 8, 8, 2, 1, 1), "range: got"),
        (SMALL, Tiles(4, 8, 8, 2, 0, float("nan")), "range: got"),
    ],
)
def test_headers_that_ask_for_too_much_or_make_no_sense_are_refused(geometry, tiles, message, codec):
    with pytest.raises(CoderError, match=message):
        made("raw-vvc", codec).decode(write_features(tag("raw-vvc"), geometry, tiles, b""))


def test_a_frame_that_unpacks_to_more_than_it_should_is_refused_before_it_is_unpacked(codec):
    bomb = Zstandard().encode(np.zeros((LARGEST, 1, 1), np.uint8), 1, 0)
    data = write_features(tag("raw-zstd"), SMALL, Tiles(4, 8, 8, 2, 0, 1), bomb)
    with pytest.raises(CoderError, match="expected 256"):
        made("raw-zstd", codec).decode(data)


@pytest.mark.parametrize("name", [HERE["image-jpeg"], HERE["image-vvc"]])
def test_a_picture_of_another_size_than_the_header_says_is_refused(name):
    coder = made(name, None)
    data = coder.encode(small_shot(64, 96), coder.points[0])
    _, payload = read_image(name, tag(name), data)
    with pytest.raises(CoderError, match=r"got .* expected"):
        coder.decode(write_image(tag(name), SMALL, payload))


def test_latents_of_another_codec_s_shape_are_refused(codec):
    data = write_features(tag("bottleneck-vvc"), SMALL, Tiles(4, 4, 4, 2, 0, 1), b"")
    with pytest.raises(CoderError):
        made("bottleneck-vvc", codec).decode(data)


def test_features_that_are_not_finite_are_refused(codec, shot):
    with pytest.raises(CoderError, match="not finite"):
        made("raw-zstd", codec).encode(replace(shot, f=shot.f * torch.nan), 0)


# ---- what is missing


@pytest.fixture
def without_ffmpeg(monkeypatch):
    caches = (ffmpeg._executable, ffmpeg._listed, ffmpeg._versions)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("without_ffmpeg")
def test_without_imageio_ffmpeg_the_reason_names_the_command_that_brings_it(codec, shot):
    assert "pip install 'featcodec[bench]'" in available("raw-vvc")
    assert available("image-jpeg") is None
    with pytest.raises(MissingExtraError, match="imageio-ffmpeg is missing"):
        made("raw-vvc", codec).encode(shot, 40)


def test_an_encoder_that_this_ffmpeg_lacks_is_named():
    assert "has no libnone among its encoders" in replace(VVC, encoder="libnone").missing()


def test_an_encoder_that_fails_says_why_in_one_line():
    intra = replace(VVC, options=("-preset", "no-such-preset"))
    flat = [np.zeros(s, np.uint16) for s in ((64, 64), (32, 32), (32, 32))]
    with pytest.raises(CoderError, match=r"libvvenc: exit code \d+: .*no-such-preset") as caught:
        intra.encode(tuple(flat), 40)
    assert "\n" not in str(caught.value)


def test_anchors_are_refused_by_name_and_for_what_they_lack(codec):
    with pytest.raises(InputError, match="got 'raw-avc', expected one of raw-vvc"):
        find_anchors(["raw-avc"])
    with pytest.raises(InputError, match="raw-vvc: got no range"):
        made("raw-vvc", codec, span=None)
    with pytest.raises(InputError, match="bottleneck-vvc: got no codec or no range"):
        made("bottleneck-vvc", None)
    with pytest.raises(InputError, match="range: got 1 to 1"):
        made("raw-vvc", codec, span=(1, 1))


def test_every_anchor_s_files_begin_with_a_byte_of_their_own():
    assert len({anchor.tag for anchor in anchors.ANCHORS}) == len(ANCHORS)
