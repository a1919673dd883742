"""The codec as a whole: the same bytes give the same latents everywhere, and nothing bad gets through."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from range_coder_reference import RangeDecoder, Table, decode, decode_part
from test_transforms import reference

from featcodec.codec import symbol_codec
from featcodec.codec.codec_file import CodecConfig, CodecFile, network_of
from featcodec.codec.effort import DEFAULT_EFFORT, EFFORTS
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import (
    BitstreamError,
    CodecFileError,
    FeatcodecError,
    InputError,
    LimitError,
    MalformedError,
    ModelMismatchError,
    SymbolHashError,
)
from featcodec.fitting.export import export
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image
from featcodec.plf.bitstream import Bitstream, Limits, parse, serialize
from featcodec.training.hyperprior import CodecModel

# 64 features are what crosses the cut of a YOLOv5n after layer 4
WIDTHS = Widths(64, latents=8, side=4, analysis=8, synthesis=8, hyper=8)
SIZE = 96  # pixels


@cache
def network() -> YOLOv5:
    torch.manual_seed(0)
    return YOLOv5("n", classes=2).eval()


@cache
def small(seed: int = 0, *, embed_network: bool = False) -> CodecFile:
    """A codec with random weights, loud enough that its symbols are not all zero."""
    torch.manual_seed(seed)
    model = CodecModel(WIDTHS)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["g_a.net.3.weight"].mul_(30)
        parameters["h_a.net.4.weight"].mul_(30)
        parameters["h_s.weights.2"].mul_(10)
        parameters["log_gain"].add_(torch.randn(8, WIDTHS.latents) * 0.1)
    cut = YOLOv5Cut.of(network(), at=4, classes=("cat", "dog"), canvas=Canvas(SIZE))
    about = {"name": f"small-{seed}", "description": "Random – for tests."}
    return export(model, cut, embed=network() if embed_network else None, **about)


@cache
def coder(seed: int = 0) -> FeatureCodec:
    return FeatureCodec(small(seed), network_of(small(seed), network()))


def picture(height: int = 90, width: int = 120, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width]


@cache
def sample(quality: float = 6.0, effort: int = DEFAULT_EFFORT) -> bytes:
    return coder().encode(picture(), quality=quality, effort=effort)


# ---- encoder and decoder agree


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("quality", [1.0, 3.03125, 6.0, 8.0])
def test_the_decoder_gets_the_encoders_own_symbols_and_latents(quality: float, effort: int) -> None:
    c = coder()
    data = sample(quality, effort)
    stream = parse(data)
    x, geometry = load_image(picture(), size=SIZE)
    [(_, f, y)] = c._latents([x])
    ours = c.symbols(y, stream.header.quality_step, effort=effort, features=f)
    theirs = c.decode_symbols(stream, geometry)
    for name in ("z", "y", "index", "mean"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert np.count_nonzero(ours.y) > 20
    latents, found = c.decode_latents(data)
    gain = c.file.inverse_gain(stream.header.quality_step)[:, None, None]
    assert torch.equal(latents[0], torch.from_numpy((ours.y + ours.mean).astype(np.float32)) * gain)
    assert found == geometry
    if effort == 0:  # what is left between the latents and the decoded ones is half a step
        assert float(((latents[0] - y) / gain).abs().max()) <= 0.5001


def test_the_same_picture_gives_the_same_bytes_and_the_header_tells_how_it_lay() -> None:
    assert coder().encode(picture(), quality=6.0) == sample(6.0)
    header = parse(sample(6.0)).header
    assert (header.width, header.height, header.size) == (120, 90, SIZE)
    assert (header.latent_height, header.latent_width) == (6, 6)  # a canvas of 96 x 96
    assert (header.codec, header.fingerprint) == ("small-0", small().fingerprint)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (31, 33), (640, 2)])
def test_extreme_sizes_round_trip(height: int, width: int) -> None:
    c = coder()
    data = c.encode(picture(height, width), quality=8)
    features = c.decode(data)
    g = Geometry.fit(width, height, size=SIZE)
    assert features.geometry == g
    assert features.shape == (1, 64, g.canvas_height // 8, g.canvas_width // 8)
    assert torch.equal(c.decode_latents(data)[0], c.decode_latents(bytes(data))[0])


def test_batches_give_the_latents_of_single_files_exactly_and_their_features_nearly() -> None:
    c = coder()
    sizes = [(90, 120), (40, 40), (90, 120), (1, 70), (88, 119)]
    pictures = [picture(h, w, seed) for seed, (h, w) in enumerate(sizes)]
    files = c.encode_batch(pictures, quality=5)
    assert files[1] == c.encode(pictures[1], quality=5)  # alone in its group
    for data, back in zip(files, c.decode_batch(files), strict=True):
        alone = c.decode(data)
        assert back.geometry == alone.geometry
        torch.testing.assert_close(back, alone, rtol=1e-4, atol=1e-4)
    assert c.encode_batch([]) == c.decode_batch([]) == []


def test_finer_qualities_take_more_bytes_and_a_target_is_kept() -> None:
    c = coder()
    sizes = [len(c.encode(picture(), quality=q)) for q in (1, 3, 6, 8)]
    assert sizes == sorted(set(sizes))
    for target in (sizes[1], sizes[2] + 1, 10**6):
        data = c.encode(picture(), target_bytes=target)
        assert len(data) <= target
        assert data == c.encode(picture(), quality=parse(data).header.quality)
    assert parse(data).header.quality == 8
    with pytest.raises(InputError, match=f"target_bytes: got {sizes[0] - 1}, expected at least {sizes[0]}"):
        c.encode(picture(), target_bytes=sizes[0] - 1)
    with pytest.raises(InputError, match="got quality and target_bytes"):
        c.encode(picture(), quality=3, target_bytes=5000)


def test_the_callers_modes_of_torch_change_nothing() -> None:
    c, data = FeatureCodec(small(), network_of(small(), network())), sample()
    latents, features = c.decode_latents(data)[0], c.decode(data)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        fresh = CodecFile(small().config, small().tensors).check()
        other = FeatureCodec(fresh, network_of(fresh, network()))
        assert torch.equal(other.decode_latents(data)[0], latents)
        torch.testing.assert_close(other.decode(data), features)
        assert other.encode(picture(), quality=6.0) == data
    finally:
        torch.set_default_dtype(before)
    with torch.inference_mode():
        assert torch.equal(c.decode_latents(data)[0], latents)
        assert not c.decode(data).is_inference()
        assert c.encode(picture(), quality=6.0) == data


def test_features_that_are_no_numbers_are_refused() -> None:
    y = torch.zeros(WIDTHS.latents, 6, 6)
    for bad in (torch.nan, torch.inf, 1e9):
        y[3, 2, 1] = bad
        with pytest.raises(InputError, match="not finite or far out of range"):
            coder().symbols(y, 100)


# ---- a second decoder, written from docs/plf-format.md


def raw_tensors(path: Path) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...], bytes]]]:
    """Configuration and (type, shape, bytes) of every tensor, without any library."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    config = json.loads(header.pop("__metadata__")["featcodec"])
    out = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        out[name] = about["dtype"], tuple(about["shape"]), data[start + first : start + last]
    return config, out


def test_the_fingerprint_follows_the_documents_recipe(tmp_path: Path) -> None:
    small(embed_network=True).save(tmp_path / "codec.safetensors")
    config, tensors = raw_tensors(tmp_path / "codec.safetensors")
    types = {"F16": "torch.float16", "F32": "torch.float32", "I16": "torch.int16", "I32": "torch.int32"}
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    message = text.encode()
    for name in sorted(tensors):
        if name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_")):
            kind, shape, content = tensors[name]
            sides = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
            message += f"{name}|{types[kind]}|{sides}|".encode() + content
    assert hashlib.sha256(message).digest()[:16] == small(embed_network=True).fingerprint


def test_a_decoder_written_from_the_document_gives_the_same_latents(tmp_path: Path) -> None:
    small().save(tmp_path / "codec.safetensors")
    _, tensors = raw_tensors(tmp_path / "codec.safetensors")
    kinds = {"F32": "<f4", "I16": "<i2", "I32": "<i4", "F16": "<f2"}
    arrays = {n: np.frombuffer(raw, kinds[k]).reshape(shape) for n, (k, shape, raw) in tensors.items()}

    def tables(which: str) -> list[Table]:
        parts = (arrays[f"tables_{which}.{p}"].tolist() for p in ("lows", "frequencies", "sizes"))
        return [Table(low, row[:size]) for low, row, size in zip(*parts, strict=True)]

    stream = parse(sample())
    height, width = stream.header.latent_height, stream.header.latent_width
    z_shape = (WIDTHS.side, -(-height // 4), -(-width // 4))
    z_rows = [c for c in range(z_shape[0]) for _ in range(z_shape[1] * z_shape[2])]
    # the rows of y follow from z: decode z alone first, then both
    z = decode_part(RangeDecoder(stream.payload), z_rows, tables("z"))
    weights, biases = (
        [torch.from_numpy(arrays[f"h_s.{kind}.{i}"].copy()) for i in range(3)] for kind in ("weight", "bias")
    )
    index, mean = reference(torch.tensor(z).view(z_shape), (weights, biases), height, width)
    z_again, y = decode(stream.payload, [(z_rows, tables("z")), (index.reshape(-1).tolist(), tables("y"))])
    assert z_again == z
    symbols = np.array([*z, *y], "<i4").tobytes()
    assert hashlib.blake2b(symbols).digest()[:4] == stream.header.symbol_hash

    quality, part = divmod(stream.header.quality_step, 32)
    gains = arrays["inverse_gains"].astype(np.float64)
    between = gains[quality] if part == 0 else (gains[quality] * (32 - part) + gains[quality + 1] * part) / 32
    units = (np.array(y).reshape(mean.shape) + mean / 16).astype(np.float32)
    latents = units * between.astype(np.float32)[:, None, None]
    assert np.array_equal(latents, coder().decode_latents(sample())[0][0].numpy())


# ---- the same everywhere

ELSEWHERE = """
import hashlib, sys
from pathlib import Path
import torch
from featcodec.codec.codec_file import CodecFile, network_of
from featcodec.codec.feature_codec import FeatureCodec
torch.set_num_threads(int(sys.argv[3]))
file = CodecFile.load(sys.argv[1])
codec = FeatureCodec(file, network_of(file, None))
latents, _ = codec.decode_latents(Path(sys.argv[2]).read_bytes())
print(hashlib.sha256(latents.numpy().tobytes()).hexdigest(), torch.backends.cpu.get_cpu_capability())
"""


@pytest.mark.parametrize(
    ("threads", "environment"),
    [
        ("1", {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "DNNL_MAX_CPU_ISA": "SSE41"}),
        ("3", {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"}),
    ],
    ids=["one thread, plain instructions", "three threads, AVX2"],
)
def test_the_same_bytes_give_the_same_latents_on_another_processor(
    threads: str, environment: dict[str, str], tmp_path: Path
) -> None:
    small(embed_network=True).save(tmp_path / "codec.safetensors")
    file = small(embed_network=True)
    data = FeatureCodec(file, network_of(file, None)).encode(picture(), quality=7)
    (tmp_path / "picture.plf").write_bytes(data)
    here = coder().decode_latents(data)[0].numpy().tobytes()  # the network is no part of the fingerprint
    paths = [str(tmp_path / name) for name in ("codec.safetensors", "picture.plf")]
    command = [sys.executable, "-c", ELSEWHERE, *paths, threads]
    there = {**os.environ, **environment}
    done = subprocess.run(command, env=there, capture_output=True, text=True, timeout=120, check=True)
    digest, capability = done.stdout.split()
    assert digest == hashlib.sha256(here).hexdigest()
    if threads == "1":
        assert capability == "DEFAULT"


# ---- damage


def tampered(data: bytes, *, payload: bytes | None = None, **header: Any) -> bytes:
    """Another payload or header under sound checksums."""
    stream = parse(data)
    fields = replace(stream.header, **header)
    return serialize(Bitstream(fields, stream.payload if payload is None else payload, stream.metadata))


def test_damaged_payloads_under_sound_checksums_are_malformed_or_betrayed_by_the_hash() -> None:
    c, data, rng = coder(), sample(), np.random.default_rng(0)
    payload, expected = parse(data).payload, c.decode_latents(data)[0]
    kinds: dict[str, int] = {}
    for _ in range(250):
        words = np.frombuffer(payload, "<u4").copy()
        at = int(rng.integers(len(words)))
        match int(rng.integers(4)):
            case 0:
                words[at] ^= np.uint32(1 << int(rng.integers(32)))
            case 1:
                words = words[: at + 1]
            case 2:
                words = np.append(words, rng.integers(0, 2**32, 2, np.uint32))
            case _:
                words[at:] = rng.integers(0, 2**32, len(words) - at, np.uint32)
        try:
            latents, _ = c.decode_latents(tampered(data, payload=words.astype("<u4").tobytes()))
            assert torch.equal(latents, expected)  # bits behind the last symbol
            kinds["the same"] = kinds.get("the same", 0) + 1
        except (MalformedError, SymbolHashError) as error:
            kinds[type(error).__name__] = kinds.get(type(error).__name__, 0) + 1
    assert kinds["MalformedError"] > 20
    assert kinds["SymbolHashError"] > 2  # damage that happens to use up all words


def test_damaged_files_raise_bitstream_errors_only() -> None:
    c, data, rng = coder(), sample(), np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), int(rng.integers(1, 4))).tolist():
            damaged[at] ^= int(rng.integers(1, 256))
        with pytest.raises((BitstreamError, ModelMismatchError)):
            c.decode(bytes(damaged[: int(rng.integers(1, len(data) + 1))]))


def test_another_symbol_hash_is_found() -> None:
    with pytest.raises(SymbolHashError, match=r"got hash .*, expected 01020304"):
        coder().decode(tampered(sample(), symbol_hash=b"\1\2\3\4"))


@pytest.mark.parametrize(
    "header",
    [
        {"latent_height": 7},
        {"latent_width": 5},
        {"latent_height": 1, "latent_width": 1},
        {"latent_height": 1 << 6, "latent_width": 1 << 6},
        {"width": 1},
        {"height": 4000},
        {"size": SIZE + 1},
        {"size": 1},
    ],
)
def test_latents_that_do_not_fit_the_picture_are_refused_before_anything_is_decoded(
    header: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_codec, "SymbolDecoder", None)
    with pytest.raises(MalformedError, match=r"header: got \d+ x \d+ latents, expected \d+ x \d+"):
        coder().decode(tampered(sample(), **header))


def test_another_codecs_file_is_refused_with_both_names() -> None:
    ours, theirs = small(0).fingerprint.hex(), small(1).fingerprint.hex()
    with pytest.raises(ModelMismatchError, match=rf"'small-0' .*{ours}, got 'small-1' with {theirs}"):
        coder(1).decode(sample())
    with pytest.raises(ModelMismatchError):  # the fingerprint decides, not the name
        coder(1).decode(tampered(sample(), codec="small-1"))


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(max_pixels=120 * 90 - 1), "10,800 pixels"),
        (Limits(max_latents=35), "36 positions"),
        (Limits(max_payload=8), "bytes"),
        (Limits(max_sections=1), "2 sections"),
    ],
)
def test_limits_are_respected_before_anything_is_decoded(
    limits: Limits, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert coder().decode(sample(), limits=Limits(max_pixels=120 * 90, max_latents=36)).shape == (
        1,
        64,
        12,
        12,
    )
    monkeypatch.setattr(symbol_codec, "SymbolDecoder", None)
    with pytest.raises(LimitError, match=what):
        coder().decode(sample(), limits=limits)


def test_side_information_beyond_what_can_be_coded_is_refused() -> None:
    c = coder()
    s = c.decode_symbols(parse(sample()), Geometry.fit(120, 90, size=SIZE))
    z = s.z.copy()
    z[0, 0, 0] = (1 << 15) + 1
    with pytest.raises(MalformedError, match="side information out of range"):
        c.decode(tampered(sample(), payload=c.payload(replace(s, z=z))))


# ---- boxes


def test_boxes_are_those_of_the_decoded_features_and_lie_in_the_picture() -> None:
    c = coder()
    features = c.decode(sample())
    boxes = c.detect(features, confidence=1e-4)
    assert 0 < len(boxes) <= 300
    assert [b.score for b in boxes] == sorted((b.score for b in boxes), reverse=True)
    assert float(boxes.xyxy.min()) >= 0
    assert bool((boxes.xyxy <= torch.tensor([120.0, 90.0, 120.0, 90.0])).all())
    again = c.detect(features.as_subclass(torch.Tensor), geometry=features.geometry, confidence=1e-4)
    assert torch.equal(boxes.xyxy, again.xyxy)
    assert torch.equal(boxes.xyxy, c.detect(sample(), confidence=1e-4).xyxy)


def test_features_without_a_picture_or_of_another_shape_are_refused() -> None:
    c, features = coder(), coder().decode(sample())
    with pytest.raises(InputError, match="give geometry="):
        c.detect(features.as_subclass(torch.Tensor))
    with pytest.raises(InputError, match=r"got features \(1, 63, 12, 12\), expected \(1, 64, h, w\)"):
        c.detect(features[:, :63].as_subclass(torch.Tensor), geometry=features.geometry)


# ---- codec files


def test_a_saved_codec_is_the_codec(tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    small().save(path)
    loaded = CodecFile.load(path)
    assert loaded.config == small().config
    assert loaded.fingerprint == small().fingerprint
    assert FeatureCodec(loaded, network_of(loaded, network())).encode(picture(), quality=6.0) == sample()
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def changed(name: str) -> CodecFile:
    """The codec with one tensor a little different."""
    file = small(embed_network=True)
    value = file.tensors[name].clone()
    value.view(-1)[0] += 1
    return CodecFile(file.config, {**file.tensors, name: value})


def test_the_fingerprint_covers_every_tensor_of_the_decoder_and_none_of_the_encoder() -> None:
    file = small(embed_network=True)
    assert file.fingerprint == small().fingerprint  # the network counts by its digest only
    for name in file.tensors:
        of_decoder = name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_"))
        if of_decoder or name.startswith(("g_a.", "h_a.")) or name == "network.model.0.conv.weight":
            assert (changed(name).fingerprint != file.fingerprint) == of_decoder, name


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"description": "Another."},
        {"size": SIZE + 1},
        {"stride": 64},
        {"latent_stride": 8},
        {"widths": replace(WIDTHS, hyper=9)},
        *(
            {"network": n}
            for n in ({"at": 2}, {"scale": "s"}, {"classes": ("dog", "cat")}, {"digest": "0" * 64})
        ),
    ],
)
def test_the_fingerprint_covers_the_configuration(change: dict[str, Any]) -> None:
    config = small().config
    if isinstance(change.get("network"), dict):
        change = {"network": replace(config.network, **change["network"])}
    assert CodecFile(replace(config, **change), small().tensors).fingerprint != small().fingerprint


def test_the_configuration_survives_json() -> None:
    config = small().config
    assert CodecConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["widths"] == asdict(WIDTHS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format":2', '"format": 2'),
        ('"size":96', '"size":1,"size":96'),
        ("\\u2013", "–"),
    ],
)
def test_a_configuration_has_one_spelling(old: str, new: str) -> None:
    text = small().config.to_json()
    with pytest.raises(ValueError, match=r"expected canonical JSON|'size' twice, expected unique keys"):
        CodecConfig.from_json(text.replace(old, new))


def test_the_network_is_taken_from_the_file_or_from_its_owner_and_checked() -> None:
    with_network, without = small(embed_network=True), small()
    x = torch.rand(1, 3, 64, 64)
    mine, embedded = network_of(without, network()), network_of(with_network, None)
    torch.testing.assert_close(mine.head(x)[0], embedded.head(x)[0], rtol=0.02, atol=0.02)  # float16
    with pytest.raises(CodecFileError, match="comes without its network: give yolov5n of 2 classes with the"):
        network_of(without, None)
    torch.manual_seed(1)
    with pytest.raises(CodecFileError, match=r"\(digest [0-9a-f]{16}, expected [0-9a-f]{16}\)$"):
        network_of(without, YOLOv5("n", classes=2))
    with pytest.raises(CodecFileError, match="digest"):
        network_of(changed("network.model.0.conv.weight"), None)
    tensors = {k: v for k, v in with_network.tensors.items() if k != "network.model.0.conv.weight"}
    with pytest.raises(CodecFileError, match=r"its network: .*model\.0\.conv\.weight is missing$"):
        network_of(CodecFile(with_network.config, tensors), None)


def test_a_network_whose_features_do_not_fit_the_codec_is_refused() -> None:
    file = small()
    other = CodecFile(replace(file.config, network=replace(file.config.network, at=2)), file.tensors)
    with pytest.raises(CodecFileError, match="gives 32 channels at stride 4, expected 64 at 8"):
        network_of(other, network())


def with_tensor(**tensors: torch.Tensor | None) -> CodecFile:
    """The codec with other tensors (dots as double underscores), without those that are None."""
    named = {k.replace("__", "."): v for k, v in tensors.items()}
    kept = {k: v for k, v in {**small().tensors, **named}.items() if v is not None}
    return CodecFile(small().config, kept)


def with_config(**change: Any) -> CodecFile:
    return CodecFile(replace(small().config, **change), small().tensors)


def with_network(**change: Any) -> CodecFile:
    return with_config(network=replace(small().config.network, **change))


def with_gain(value: float) -> CodecFile:
    gains = small().tensors["inverse_gains"].clone()
    gains[3, 2] = value
    return with_tensor(inverse_gains=gains)


def with_network_of(dtype: torch.dtype) -> CodecFile:
    return with_tensor(network__a=torch.zeros(1, dtype=dtype))


def with_table(name: str, at: tuple[int, ...], value: int) -> CodecFile:
    table = small().tensors[name].clone()
    table[at] = value
    return CodecFile(small().config, {**small().tensors, name: table})


BAD: dict[str, tuple[Callable[[], CodecFile], str]] = {
    "no name": (lambda: with_config(name=""), "name"),
    "spaces": (lambda: with_config(name="a codec"), "name: got 'a codec'"),
    "number as name": (lambda: with_config(name=7), "expected text"),
    "no size": (lambda: with_config(size=0), "size: got 0"),
    "size true": (lambda: with_config(size=True), "size: got True"),
    "size half": (lambda: with_config(size=96.5), "size: got 96.5"),
    "stride": (lambda: with_config(stride=24), "stride: got 24, expected a multiple of 16"),
    "stride of nothing": (lambda: with_config(latent_stride=0), "latent_stride: got 0"),
    "huge": (lambda: with_config(widths=replace(WIDTHS, analysis=10**9)), "analysis: got 1000000000"),
    "large": (lambda: with_config(widths=replace(WIDTHS, synthesis=60_000)), "RuntimeError"),
    "negative": (lambda: with_config(widths=replace(WIDTHS, side=-4)), "side: got -4"),
    "family": (
        lambda: with_network(family="vgg"),
        "network: got 'vgg', expected one of yolov5, yolox, module",
    ),
    "scale": (lambda: with_network(scale="q"), "got yolov5 'q'"),
    "scale list": (lambda: with_network(scale=[]), "network: got list, expected text"),
    "no classes": (lambda: with_network(classes=()), "at least one class"),
    "class numbers": (lambda: with_network(classes=(1, 2)), "expected text"),
    "cut": (lambda: with_network(at=24), "expected 0 to 23"),
    "cut of many": (lambda: with_network(at=9), "where one tensor crosses"),
    "cut text": (lambda: with_network(at="4"), "got a cut at '4'"),
    "g_s missing": (lambda: with_tensor(g_s__mean=None), "g_s|Missing|mean"),
    "g_s more": (lambda: with_tensor(g_s__x=torch.zeros(1).half()), "RuntimeError"),
    "g_s type": (lambda: with_tensor(g_s__mean=torch.zeros(64)), "g_s.mean: got float32"),
    "g_s shape": (lambda: with_tensor(g_s__mean=torch.zeros(63).half()), "RuntimeError"),
    "g_s nan": (lambda: with_tensor(g_s__mean=torch.full((64,), torch.nan).half()), "not finite"),
    "unknown": (lambda: with_tensor(extra=torch.zeros(1)), "extra: got float32, expected no such"),
    "h_s missing": (lambda: with_tensor(h_s__bias__1=None), "h_s.bias.1"),
    "h_s more": (lambda: with_tensor(h_s__bias__3=torch.zeros(1).int()), "h_s.bias.3"),
    "h_s floats": (lambda: with_tensor(h_s__bias__1=torch.zeros(8)), "h_s.bias.1: got float32"),
    "h_s shape": (lambda: with_tensor(h_s__weight__0=torch.zeros(8, 4, 3, 1).short()), "h_s.weight.0: got"),
    "h_s wide": (lambda: with_tensor(h_s__weight__0=torch.full((8, 4, 3, 3), 2**45)), "got int64"),
    "gains shape": (lambda: with_tensor(inverse_gains=torch.ones(8, 7)), r"inverse_gains: got \(8, 7\)"),
    "gain 0": (lambda: with_gain(0.0), "inverse_gains: got 0 to"),
    "gain negative": (lambda: with_gain(-1.0), "inverse_gains: got -1 to"),
    "gain nan": (lambda: with_gain(float("nan")), "inverse_gains: got values that are not finite"),
    "gain huge": (lambda: with_gain(1e20), r"expected 2\^-32 to 2\^32"),
    "table sum": (lambda: with_table("tables_y.frequencies", (5, 0), 99), "table 5: got"),
    "table size": (lambda: with_table("tables_z.sizes", (2,), 10**6), "table 2: got 1000000"),
    "table low": (lambda: with_table("tables_z.lows", (2,), -(2**31)), "table 2: got symbols"),
    "rows of y": (lambda: fewer_rows("tables_y", 63), r"got \(4, 63\) tables of z and y, expected \(4, 64\)"),
    "beyond a row": (
        lambda: with_table("tables_y.frequencies", (0, 9), 1),
        "table 0: got frequencies beyond",
    ),
    "class long": (lambda: with_network(classes=("a", "x" * 257)), "class 1: got 257 characters"),
    "class half": (lambda: with_network(classes=("a", "\ud800")), "class 1: got half of a surrogate pair"),
    "many classes": (lambda: with_network(classes=("a",) * 5000), "got 5,000 classes, .* at most 4,096"),
    "description": (lambda: with_config(description="x" * 2000), "description: got 2,000 characters"),
    "digest": (lambda: with_network(digest="F" * 64), "digest: got .*, expected 64 hexadecimal digits"),
    "network complex": (lambda: with_network_of(torch.complex64), "network.a: got complex64, expected"),
    "network whole": (lambda: with_network_of(torch.int64), "expected float16 or float32"),
    "network double": (lambda: with_network_of(torch.float64), "network.a: got float64, expected"),
    "rows of z": (lambda: fewer_rows("tables_z", 3), r"got \(3, 64\) tables"),
}


def fewer_rows(name: str, rows: int) -> CodecFile:
    parts = {f"{name}.{p}": small().tensors[f"{name}.{p}"][:rows] for p in ("frequencies", "sizes", "lows")}
    return CodecFile(small().config, {**small().tensors, **parts})


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD.keys())
def test_codec_files_that_contradict_themselves_are_refused_when_they_are_read(
    bad: Callable[[], CodecFile], message: str
) -> None:
    with pytest.raises(CodecFileError, match=message) as caught:
        bad().check()
    assert "\n" not in str(caught.value)


def test_a_hyper_synthesis_whose_sums_could_round_is_refused_when_it_is_read_and_when_it_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Weights of 16 bits cannot reach 2^53, so that 2^24 is the limit here."""
    path, one = tmp_path / "codec.safetensors", torch.ones(1).short()
    tame = {
        f"h_s__weight__{i}": one.repeat(shape)
        for i, shape in enumerate([(8, 4, 3, 3), (8, 8, 3, 3), (16, 8, 1, 1)])
    }
    hostile = {**tame, "h_s__weight__1": (one * -(1 << 15)).repeat(8, 8, 3, 3)}
    with_tensor(**hostile).save(path)
    monkeypatch.setattr("featcodec.codec.hyper_synthesis.exact_below", lambda _: 1 << 24)
    with_tensor(**tame).check()
    for refused in (lambda: CodecFile.load(path), lambda: with_tensor(**hostile).save(path)):
        with pytest.raises(CodecFileError, match=r"layer 1: sums reach \d+, expected below 2\^24"):
            refused()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8,
        bytes(8),
        b"\x89PLF\r\n\x01",
        b"PK\x03\x04" + bytes(100),
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (20_000).to_bytes(8, "little") + b"[" * 20_000,
        (32).to_bytes(8, "little") + b'{"__metadata__":{"featcodec":""}}'[:32],
        (34).to_bytes(8, "little") + b'{"__metadata__":{"featcodec":"1"}}',
        (36).to_bytes(8, "little") + b'{"__metadata__":{"featcodec":"[3]"}}',
        (35).to_bytes(8, "little") + b'{"__metadata__":{"featcodec":"{}"}}',
    ],
)
def test_what_is_no_codec_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        CodecFileError, match=r"codec\.safetensors: expected a featcodec codec file"
    ) as caught:
        CodecFile.load(path)
    assert "\n" not in str(caught.value)


def test_truncated_codec_files_are_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "codec.safetensors", np.random.default_rng(0)
    small().save(path)
    data = path.read_bytes()
    for length in [7, 8, 9, 300, len(data) - 1, *rng.integers(0, len(data), 20).tolist()]:
        path.write_bytes(data[:length])
        with pytest.raises(CodecFileError):
            CodecFile.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CodecFileError):
        CodecFile.load(path)


def test_mutated_codec_files_are_refused_or_work(tmp_path: Path) -> None:
    """Whatever happens has a name, while reading and while coding with what could be read."""
    path, rng = tmp_path / "codec.safetensors", np.random.default_rng(2)
    small().save(path)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    refused = 0
    for i in range(100):
        mutated = bytearray(data)
        for at in rng.integers(0, header if i % 2 else len(data), int(rng.integers(1, 3))).tolist():
            mutated[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutated)
        try:
            file = CodecFile.load(path)
            c = FeatureCodec(file, network_of(file, network()))
            c.decode(c.encode(picture(40, 40), quality=8))
        except (CodecFileError, InputError):
            refused += 1
        except FeatcodecError as error:  # pragma: no cover
            pytest.fail(f"mutant {i}: {type(error).__name__}: {error}")
    assert 20 < refused < 100


def test_missing_codec_files_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors"):
        CodecFile.load(tmp_path / "none.safetensors")
