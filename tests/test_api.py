"""The public functions: encode, decode and detect, as users call them."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.plf.bitstream import parse, serialize

SHAPES = {(512, 512): (1, 64, 52, 52), (512, 256): (1, 64, 28, 52), (100, 60): (1, 64, 8, 16)}


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(astronaut())


@pytest.fixture(scope="module")
def default():
    return featcodec.load("yolox-nano-private")


@pytest.fixture(scope="module")
def mine(default, tmp_path_factory):
    """Path of a codec file that is not part of the zoo, and a ``.plf`` made by it."""
    config = dataclasses.replace(default.file.config, name="mine")
    codec = featcodec.FeatureCodec(dataclasses.replace(default.file, config=config), default.network)
    path = tmp_path_factory.mktemp("codecs") / "elsewhere.safetensors"
    codec.save(path)
    return path, codec.encode(astronaut())


def python(script, *arguments):
    """Run a script in a fresh process; return what it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class TestEncode:
    @pytest.mark.parametrize(
        "kind", ["str", "path", "bytes", "bytearray", "memoryview", "pil", "array", "floats", "tensor"]
    )
    def test_every_kind_of_picture_gives_the_same_file(self, picture, tmp_path, kind):
        path = tmp_path / "a.png"
        picture.save(path)
        array, content = np.asarray(picture), path.read_bytes()
        image = {
            "str": str(path),
            "path": path,
            "bytes": content,
            "bytearray": bytearray(content),
            "memoryview": memoryview(content),
            "pil": picture,
            "array": array,
            "floats": array.astype(np.float32) / 255,
            "tensor": torch.tensor(array).permute(2, 0, 1),
        }[kind]
        header = parse(featcodec.encode(image)).header
        assert (header.width, header.height, header.quality, header.codec) == (
            512,
            512,
            4.0,
            "yolox-nano-private",
        )
        assert header.symbol_hash == parse(featcodec.encode(picture)).header.symbol_hash

    @pytest.mark.parametrize("codec", featcodec.zoo.names(whole=True))
    def test_every_embedded_codec_is_found_by_its_files(self, picture, codec):
        data = featcodec.encode(picture, codec=codec)
        assert parse(data).header.fingerprint == featcodec.load(codec).fingerprint
        assert torch.equal(featcodec.decode(data), featcodec.load(codec).decode(data))

    def test_the_same_picture_gives_the_same_bytes(self, picture):
        assert featcodec.encode(picture) == featcodec.encode(picture)

    @pytest.mark.parametrize("quality", [1, 1.02, 4, 7.99, 8, 8.0])
    def test_quality_is_kept_in_steps(self, picture, quality):
        data = featcodec.encode(picture, quality=quality)
        assert abs(parse(data).header.quality - quality) <= 1 / 64
        assert featcodec.decode(data).shape == SHAPES[512, 512]

    @pytest.mark.parametrize("quality", [0.99, 8.01, -1, float("nan"), float("inf"), True, "4"])
    def test_quality_out_of_range(self, picture, quality):
        with pytest.raises(featcodec.InputError, match=r"quality: got .*, expected a number from 1 to 8"):
            featcodec.encode(picture, quality=quality)

    def test_target_bytes_are_a_bound_that_is_used(self, picture):
        lowest, highest = (len(featcodec.encode(picture, quality=q)) for q in (1, 8))
        target = (lowest + highest) // 2
        data = featcodec.encode(picture, target_bytes=target)
        assert len(data) <= target
        step = parse(data).header.quality_step
        if step < 224:  # the next one would not fit
            assert len(featcodec.encode(picture, quality=1 + (step + 1) / 32)) > target
        assert featcodec.decode(data).shape == SHAPES[512, 512]

    def test_impossible_target_bytes(self, picture):
        least = len(featcodec.encode(picture, quality=1))
        assert len(featcodec.encode(picture, target_bytes=least)) <= least
        message = f"target_bytes: got {least - 1}, expected at least {least}"
        with pytest.raises(featcodec.InputError, match=message):
            featcodec.encode(picture, target_bytes=least - 1)
        with pytest.raises(featcodec.InputError, match="quality and target_bytes"):
            featcodec.encode(picture, target_bytes=least, quality=4)

    def test_metadata_is_carried(self, picture):
        metadata = {"camera": 7, "place": [47.5, None, "Nordstraße"]}
        data = featcodec.encode(picture, metadata=metadata)
        assert parse(data).metadata == metadata
        assert torch.equal(featcodec.decode(data), featcodec.decode(featcodec.encode(picture)))
        with pytest.raises(featcodec.InputError):
            featcodec.encode(picture, metadata={"a": {1, 2}})

    def test_no_codec_of_that_name(self, picture):
        with pytest.raises(
            featcodec.InputError, match="expected a path or one of yolov5s-p3, yolox-nano-open"
        ):
            featcodec.encode(picture, codec="nowhere")

    def test_pictures_of_opencv_are_taken_as_bgr_if_told_so(self, picture, default):
        rgb = np.asarray(picture)
        bgr = rgb[..., ::-1]
        data = featcodec.encode(rgb)
        assert featcodec.encode(bgr, channels="bgr") == data != featcodec.encode(bgr)
        assert default.encode(bgr, channels="bgr") == default.encode_batch([bgr], channels="bgr")[0] == data
        assert torch.equal(default.features(bgr, channels="bgr"), default.features(rgb))
        for wrong in (lambda **o: featcodec.encode(b"", **o), lambda **o: default.features("a.jpg", **o)):
            with pytest.raises(featcodec.InputError, match="channels: got 'bgr' and a picture as"):
                wrong(channels="bgr")

    def test_what_is_no_picture(self):
        for image in (b"hello", "missing.jpg", np.zeros((2, 2, 2)), 7):
            with pytest.raises(featcodec.ImageError):
                featcodec.encode(image)


class TestDecode:
    @pytest.mark.parametrize("size", SHAPES)
    def test_features_know_their_picture(self, picture, size):
        features = featcodec.decode(featcodec.encode(picture.resize(size)))
        assert isinstance(features, featcodec.Features)
        assert (features.dtype, features.shape) == (torch.float32, SHAPES[size])
        assert (features.geometry.width, features.geometry.height) == size
        assert type(features + 1) is torch.Tensor
        assert bool(torch.isfinite(features).all())

    def test_latents_are_the_same_each_time(self, default, picture):
        data = default.encode(picture)
        first, _ = default.decode_latents(data)
        second, _ = default.decode_latents(data)
        assert torch.equal(first, second)

    def test_every_cut_file_is_refused(self, picture):
        data = featcodec.encode(picture)
        for length in [*range(0, 80), *range(80, len(data), 997), len(data) - 1]:
            with pytest.raises(featcodec.TruncatedError):
                featcodec.decode(data[:length])

    def test_every_flipped_bit_is_found(self, picture):
        data = featcodec.encode(picture)
        for position in [*range(80), *range(80, len(data), 997)]:
            damaged = bytearray(data)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(featcodec.BitstreamError):
                featcodec.decode(bytes(damaged))

    def test_a_payload_that_is_another_one_is_found(self, picture):
        stream = parse(featcodec.encode(picture))
        payload = stream.payload[4:] + stream.payload[:4]  # with right checksums
        with pytest.raises(featcodec.BitstreamError):
            featcodec.decode(serialize(dataclasses.replace(stream, payload=payload)))

    def test_limits(self, picture):
        data = featcodec.encode(picture)
        with pytest.raises(featcodec.LimitError):
            featcodec.decode(data, limits=featcodec.Limits(max_pixels=512 * 512 - 1))


class TestBatch:
    def test_each_of_a_batch_is_as_good_as_alone(self, default, picture):
        pictures = [picture.resize(size) for size in SHAPES] * 2
        files = default.encode_batch(pictures, quality=3, metadata={"a": 1})
        features = default.decode_batch(files)
        for data, one, together in zip(files, pictures, features, strict=True):
            alone = default.decode(default.encode(one, quality=3))
            assert together.shape == alone.shape == SHAPES[one.size]
            assert (together.geometry, parse(data).metadata) == (alone.geometry, {"a": 1})
            torch.testing.assert_close(together, featcodec.decode(data), atol=1e-3, rtol=1e-3)

    def test_nothing_gives_nothing(self, default):
        assert default.encode_batch([]) == default.decode_batch([]) == []


class TestDetect:
    def test_boxes_are_in_pixels_of_the_photograph(self, default, picture):
        boxes = default.detect(default.encode(picture.resize((1000, 600))), confidence=0, most=50)
        assert 0 < len(boxes) <= 50
        assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)
        for box in boxes:
            assert isinstance(box, featcodec.Box)
            assert 0 <= box.x1 <= box.x2 <= 1000
            assert 0 <= box.y1 <= box.y2 <= 600
            assert box.label in boxes.names

    def test_a_file_its_features_and_a_plain_tensor_give_the_same(self, default, picture):
        data = default.encode(picture)
        features = default.decode(data)
        expected = default.detect(data, confidence=0)
        plain = torch.tensor(features.numpy())
        for boxes in (
            default.detect(features, confidence=0),
            default.detect(plain, geometry=features.geometry, confidence=0),
        ):
            assert list(boxes) == list(expected)

    def test_what_the_tail_does_not_take(self, default, picture):
        features = default.decode(default.encode(picture))
        with pytest.raises(featcodec.InputError, match="give geometry="):
            default.detect(torch.zeros(1, 64, 52, 52))
        for wrong in (torch.zeros(64, 52, 52), torch.zeros(2, 64, 52, 52), torch.zeros(1, 63, 52, 52)):
            with pytest.raises(featcodec.InputError, match=r"expected \(1, 64, h, w\)"):
                default.detect(wrong, geometry=features.geometry)

    def test_the_astronaut_is_a_person(self, picture):
        best = featcodec.load("yolox-nano-private").detect(featcodec.encode(picture))[0]
        assert best.label == "person"
        assert best.x1 < 256 < best.x2
        assert best.y1 < 256 < best.y2


class TestCodecs:
    def test_a_name_says_nothing_the_fingerprint_does(self, default, mine):
        path, data = mine
        codec = featcodec.load(path)
        assert (codec.name, parse(data).header.codec) == ("mine", "mine")
        assert codec.fingerprint == parse(data).header.fingerprint != default.fingerprint
        with pytest.raises(
            featcodec.ModelMismatchError, match=r"wants codec 'mine' .* got 'yolox-nano-private'"
        ):
            default.decode(data)

    def test_a_codec_is_found_once_it_is_loaded(self, mine, tmp_path):
        path, data = mine
        coded = tmp_path / "a.plf"
        coded.write_bytes(data)
        script = (
            "import sys, featcodec; from pathlib import Path; data = Path(sys.argv[1]).read_bytes()\n"
            "try: featcodec.decode(data)\n"
            "except featcodec.ModelMismatchError as error: print(error)\n"
            "featcodec.load(sys.argv[2]); print(tuple(featcodec.decode(data).shape))"
        )
        before, after = python(script, coded, path).splitlines()
        assert before.startswith(f"the file wants codec 'mine' with fingerprint {data[9:25].hex()}")
        assert "featcodec.load(PATH)" in before
        assert after == str(SHAPES[512, 512])

    def test_no_codec_file(self, tmp_path):
        with pytest.raises(featcodec.InputError, match="No such file"):
            featcodec.load(tmp_path / "missing")
        (tmp_path / "bad.safetensors").write_bytes(bytes(100))
        with pytest.raises(
            featcodec.CodecFileError, match=r"bad\.safetensors: expected a featcodec codec file"
        ):
            featcodec.load(tmp_path / "bad.safetensors")


class TestSurface:
    def test_the_public_names(self):
        assert sorted(featcodec.__all__) == [
            "BitstreamError",
            "Box",
            "Boxes",
            "ChecksumError",
            "CodecFileError",
            "CoderError",
            "FeatcodecError",
            "FeatureCodec",
            "Features",
            "FitError",
            "ImageError",
            "InputError",
            "LimitError",
            "Limits",
            "MalformedError",
            "MissingExtraError",
            "ModelMismatchError",
            "NotPlfError",
            "SplitError",
            "SymbolHashError",
            "TruncatedError",
            "UnsupportedError",
            "decode",
            "encode",
            "fit",
            "load",
            "rebuild",
            "split",
            "webdataset_decoder",
            "zoo",
        ]
        assert all(getattr(featcodec, name) is not None for name in featcodec.__all__)
        assert set(featcodec.__all__) <= set(dir(featcodec))

    def test_a_name_that_is_none(self):
        with pytest.raises(AttributeError, match="module 'featcodec' has no attribute 'fti'"):
            featcodec.fti  # noqa: B018

    @pytest.mark.parametrize(
        ("modules", "heavy"),
        [
            (
                "featcodec, featcodec.plf.bitstream, featcodec.errors, featcodec.commands.main, "
                "featcodec.commands.plf",
                ["torch", "numpy", "PIL", "constriction", "safetensors"],
            ),
            (
                "featcodec.codec.feature_codec, featcodec.zoo",
                ["compressai", "torchvision", "pycocotools", "cv2"],
            ),
        ],
    )
    def test_the_light_half_stays_light(self, modules, heavy):
        script = f"import sys, {modules}; print(*set({heavy}) & set(sys.modules))"
        assert python(script).split() == []

    def test_it_says_that_it_is_typed(self):
        assert Path(featcodec.__file__).with_name("py.typed").is_file()
