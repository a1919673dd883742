"""The YOLOX family, its cuts, its boxes, and its weights from checkpoints and ONNX files."""

from __future__ import annotations

import io
import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import featcodec
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.transforms import Widths
from featcodec.errors import CodecFileError, InputError, SplitError
from featcodec.fitting.export import export
from featcodec.networks.by_name import network_by_name, network_from_file
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.families import NetworkWish, cut_network, default_cut, describe, family_of
from featcodec.networks.identity import NetworkConfig, network_digest
from featcodec.networks.yolox import EPSILON, STAGES, STRIDES, YOLOX, Conv, Scale
from featcodec.networks.yolox_family import YOLOXCut, YOLOXFamily, crossing_stages
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.loading import load_image
from featcodec.training.hyperprior import CodecModel

SHARED = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"))
ONNX = SHARED / "weights/yolox-nano-416.onnx"
needs_onnx = pytest.mark.skipif(not ONNX.is_file(), reason=f"no {ONNX}: set FEATCODEC_SHARED")

# ---- the family

# Source: https://github.com/Megvii-BaseDetection/YOLOX, README, in millions, at 80 classes
PARAMETERS: dict[Scale, str] = {
    "nano": "0.91",
    "tiny": "5.06",
    "s": "8.97",
    "m": "25.3",
    "l": "54.2",
    "x": "99.1",
}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def normalised(network: nn.Module) -> int:
    """Channels that batch normalisation was folded into: each had two parameters, and has a bias."""
    return sum(m.conv.out_channels for m in network.modules() if isinstance(m, Conv))


@pytest.mark.parametrize("scale", PARAMETERS)
def test_members_of_the_family_have_the_published_number_of_parameters(scale: Scale) -> None:
    with torch.device("meta"):
        network = YOLOX(scale)
    digits = len(PARAMETERS[scale].partition(".")[2])
    assert f"{(count(network) + normalised(network)) / 1e6:.{digits}f}" == PARAMETERS[scale]


def test_each_class_more_takes_a_row_of_each_of_the_three_heads() -> None:
    with torch.device("meta"):
        few, many = YOLOX("nano", classes=2), YOLOX("nano", classes=3)
    assert count(many) - count(few) == 3 * (64 + 1)


def test_unknown_members_and_no_classes_are_refused() -> None:
    with pytest.raises(InputError, match="got 'n', expected one of nano, tiny, s, m, l, x"):
        YOLOX("n")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got 0, expected at least 1"):
        YOLOX("nano", classes=0)


@cache
def network() -> YOLOX:
    torch.manual_seed(0)
    return YOLOX("nano", classes=3).eval().requires_grad_(False)


def image(height: int = 64, width: int = 96, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def test_the_stem_sees_blue_first_from_0_to_255_and_four_pixels_of_each_block() -> None:
    x = torch.arange(3 * 4 * 4, dtype=torch.float32).view(1, 3, 4, 4) / 255
    seen: list[Tensor] = []
    hook = network().backbone.backbone.stem.conv.register_forward_pre_hook(
        lambda _, given: seen.append(*given)
    )
    network().backbone.backbone.stem(network().prepare(x))
    hook.remove()
    blue, green, red = x[0, 2] * 255, x[0, 1] * 255, x[0, 0] * 255
    corners = [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]  # row and column: top left, bottom left, top right, bottom right
    expected = [colour[i::2, j::2] for i, j in corners for colour in (blue, green, red)]
    torch.testing.assert_close(seen[0][0], torch.stack(expected))


def test_an_output_of_zero_is_a_box_of_one_stride_at_the_corner_of_its_place() -> None:
    raw = [torch.zeros(1, 1, 64 // s, 96 // s, 8) for s in STRIDES]
    rows = network().head.decode(raw)[0]
    expected = [(s * x, s * y, s, s) for s in STRIDES for y in range(64 // s) for x in range(96 // s)]
    assert rows[:, :4].tolist() == [[float(v) for v in row] for row in expected]
    assert torch.equal(rows[:, 4:], torch.full_like(rows[:, 4:], 0.5))


def test_outputs_move_the_centre_by_strides_and_scale_the_sides_by_powers_of_e() -> None:
    raw = [torch.zeros(1, 1, 32 // s, 32 // s, 8) for s in STRIDES]
    raw[2][0, 0, 0, 0, :4] = torch.tensor([0.5, 0.25, 1.0, 80.0])
    x, y, w, h = network().head.decode(raw)[0, -1, :4].tolist()
    assert (x, y, w) == (16.0, 8.0, pytest.approx(32 * math.e))
    assert h == pytest.approx(32 * math.e**16)  # and not infinite, whatever the features were


def test_a_new_head_expects_few_objects() -> None:
    with torch.no_grad():
        outputs = network()(image(320, 320))
    assert float(torch.cat([o[..., 4].sigmoid().flatten() for o in outputs]).mean()) < 0.05


# ---- cuts

CROSSING = {
    "stem": ("stem",),
    "dark2": ("dark2",),
    "dark3": ("dark3",),
    "dark4": ("dark3", "dark4"),
    "dark5": ("dark3", "dark4", "dark5"),
}


@pytest.mark.parametrize("at", STAGES)
def test_the_tail_of_what_crosses_gives_what_the_whole_network_gives(at: str) -> None:
    cut, x = YOLOXCut.of(network(), at=at), image(64, 96, 2)
    crossing = cut.head(x)
    assert crossing_stages(at) == CROSSING[at]
    assert len(crossing) == len(cut.crossing) == len(CROSSING[at])
    for whole, halves in zip(network()(x), cut.tail(crossing), strict=True):
        assert torch.equal(whole, halves)


@pytest.mark.parametrize("at", STAGES)
def test_nothing_crosses_that_the_tail_does_not_read(at: str) -> None:
    cut = YOLOXCut.of(network(), at=at)
    crossing = cut.head(image())
    before = cut.tail(crossing)
    for i in range(len(crossing)):
        after = cut.tail(tuple(f + 1 if i == k else f for k, f in enumerate(crossing)))
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_channels_and_stride_of_a_cut_are_those_of_its_features() -> None:
    prefix = "backbone.backbone."
    assert [YOLOXCut.of(network(), at=at).crossing for at in STAGES[:3]] == [
        (CrossingTensor(f"{prefix}stem", 16, 2),),
        (CrossingTensor(f"{prefix}dark2", 32, 4),),
        (CrossingTensor(f"{prefix}dark3", 64, 8),),
    ]
    assert [crossing.stride for crossing in YOLOXCut.of(network(), at="dark5").crossing] == [8, 16, 32]


@pytest.mark.parametrize("at", ["dark4", "dark5"])
def test_a_codec_cannot_cut_where_several_tensors_cross_and_learns_where_one_does(at: str) -> None:
    config = describe(network(), NetworkWish(at=at, model="any"))
    with pytest.raises(SplitError) as caught:
        cut_network(network(), config, size=64)
    others = ", ".join(CROSSING[at][:-1])
    assert str(caught.value) == (
        f"cut after {at}: the neck reads {others}, too, so {len(CROSSING[at])} tensors cross, expected 1; "
        "the latest stage with one is dark3"
    )


@pytest.mark.parametrize("at", ["dark3", "backbone.backbone.dark3"])
def test_a_stage_is_known_by_its_own_name_and_by_that_of_its_module(at: str) -> None:
    assert describe(network(), NetworkWish(at=at, model="any")).at == "dark3" == default_cut(network())


@pytest.mark.parametrize("at", ["dark6", 4, "model.4", "head", ""])
def test_layers_that_are_no_stages_are_refused(at: str | int) -> None:
    with pytest.raises(InputError, match=r"expected a stage of a YOLOX: stem, dark2, dark3, dark4, dark5"):
        describe(network(), NetworkWish(at=at, model="any"))


@pytest.mark.parametrize("at", STAGES[:3])
def test_distilled_maps_are_those_read_twice_or_by_the_head_and_give_the_raw_outputs(at: str) -> None:
    cut = YOLOXCut.of(network(), at=at)
    (f,) = cut.head(image())
    head = cut.detector
    maps = head.maps(f)
    strides = [64 // m.shape[2] for m in maps[1:]]
    assert torch.equal(maps[0], f)
    assert strides == [8] * (at != "dark3") + [16, 32, 16, 8, 16, 32]
    for a, b in zip(head.raw_outputs(maps), network()(image()), strict=True):
        assert torch.equal(a, b)
    geometry = Canvas(96).geometry(96, 64)
    assert head.candidates(geometry) == head.rows(cut.tail((f,))).shape[1] == 12 * 8 + 6 * 4 + 3 * 2


# ---- checkpoints


def checkpoint(scale: Scale = "nano", classes: int = 3) -> dict[str, Tensor]:
    """A state dict as the official code has it: batch normalisation beside convolutions without bias."""
    torch.manual_seed(1)
    state: dict[str, Tensor] = {}
    for name, value in YOLOX(scale, classes=classes).state_dict().items():
        if not name.endswith(".conv.bias"):
            state[name] = value
            continue
        bn = name.removesuffix("conv.bias") + "bn."
        state |= {f"{bn}weight": torch.rand(len(value)) + 0.5, f"{bn}bias": torch.randn(len(value)) * 0.1}
        state |= {f"{bn}running_mean": torch.randn(len(value)) * 0.1}
        state |= {f"{bn}running_var": torch.rand(len(value)) + 0.2}
        state |= {f"{bn}num_batches_tracked": torch.tensor(7)}
    return state


def with_norms(state: dict[str, Tensor]) -> YOLOX:
    """The network with batch normalisation of its own, as the official code has it."""
    network = YOLOX("nano", classes=3).eval()
    for module in network.modules():
        if isinstance(module, Conv):
            conv = module.conv
            sizes: Any = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
            module.conv = nn.Conv2d(*sizes, groups=conv.groups, bias=False)
            norm = nn.BatchNorm2d(conv.out_channels, eps=EPSILON).eval()
            module.bn, module.act = norm, nn.Sequential(norm, nn.SiLU())
    own = state | {k.replace(".bn.", ".act.0."): v for k, v in state.items() if ".bn." in k}
    network.load_state_dict = nn.Module.load_state_dict.__get__(network)  # type: ignore[method-assign]
    network.load_state_dict(own)
    return network


def test_an_official_checkpoint_gives_what_the_network_with_its_batch_normalisation_gives(tmp_path):
    state = checkpoint()
    torch.save({"model": state, "start_epoch": 300, "optimizer": {"lr": 0.1}}, tmp_path / "yolox_nano.pth")
    loaded = network_by_name(str(tmp_path / "yolox_nano.pth"))
    assert (loaded.scale, loaded.classes, loaded.training) == ("nano", 3, False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in loaded.modules())
    with torch.no_grad():
        for folded, plain in zip(loaded(image()), with_norms(state)(image()), strict=True):
            torch.testing.assert_close(folded, plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))


@pytest.mark.parametrize("scale", ["tiny", "s"])
def test_scale_and_classes_show_in_the_shapes(tmp_path, scale):
    torch.save(checkpoint(scale, 6), tmp_path / "net.pt")
    loaded = network_from_file(tmp_path / "net.pt")
    assert (loaded.scale, loaded.classes) == (scale, 6)


def test_what_was_loaded_can_be_saved_and_loaded_again_to_the_bit(tmp_path):
    torch.save(checkpoint(), tmp_path / "net.pt")
    first = network_from_file(tmp_path / "net.pt")
    save_file(first.state_dict(), tmp_path / "net.safetensors")
    assert network_digest(network_from_file(tmp_path / "net.safetensors")) == network_digest(first)


def test_a_member_by_name_takes_the_same_weights_from_a_checkpoint(tmp_path):
    torch.save({"model": checkpoint(classes=80)}, tmp_path / "net.pth")
    by_name = network_by_name("yolox-nano", weights=tmp_path / "net.pth")
    assert network_digest(by_name) == network_digest(network_from_file(tmp_path / "net.pth"))
    with pytest.raises(CodecFileError, match="not the weights of yolox-tiny"):
        network_by_name("yolox-tiny", weights=tmp_path / "net.pth")


STEM = "backbone.backbone.stem.conv."


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {f"{STEM}conv.weight": torch.zeros(17, 12, 3, 3)},
            "stem: got 17 channels and depthwise convolutions",
        ),
        ({f"{STEM}conv.weight": torch.tensor(0.0)}, "expected the names of YOLOX"),
        ({f"{STEM}bn.running_var": torch.zeros(3)}, "stem.conv.bn: expected weight, bias, running_mean"),
        ({f"{STEM}bn.running_var": None}, "stem.conv.bn: expected weight, bias, running_mean"),
        ({f"{STEM}conv.bias": torch.zeros(16)}, "convolution without bias"),
        ({"head.cls_preds.0.bias": torch.zeros(0)}, "got 0 classes"),
        ({"head.cls_preds.0.bias": torch.zeros(1 << 20)}, "not the weights of YOLOX-nano"),
        ({"head.cls_preds.0.bias": None}, "no head.cls_preds.0.bias"),
        ({"head.more": torch.zeros(1)}, "head.more is unexpected"),
        ({"backbone.lateral_conv0.conv.weight": None}, "lateral_conv0.bn: expected"),
        ({"backbone.C3_p4.m.0.conv2.dconv.conv.weight": torch.zeros(64, 64, 3, 3)}, "expected (64, 1, 3, 3)"),
    ],
)
def test_weights_that_are_not_its_own_are_refused_by_name(tmp_path, change, match):
    state = {k: v for k, v in (checkpoint() | change).items() if v is not None}
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CodecFileError) as caught:
        network_from_file(tmp_path / "net.pt")
    assert match in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'net.pt'}: ")


# ---- ONNX


def exported(net: YOLOX, path: Path) -> None:
    pytest.importorskip("onnx")
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age
        torch.onnx.export(net, (torch.zeros(1, 3, 64, 64),), stream, dynamo=False, opset_version=13)
    path.write_bytes(stream.getvalue())


@cache
def onnx_bytes() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        exported(network(), Path(folder) / "net.onnx")
        return (Path(folder) / "net.onnx").read_bytes()


def test_an_export_comes_back_to_the_bit_whatever_its_weights_are_called(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(onnx_bytes())
    names = {tensor.name: f"w{i}" for i, tensor in enumerate(model.graph.initializer)}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    loaded = network_by_name(str(tmp_path / "net.onnx"))
    assert (loaded.scale, loaded.classes) == ("nano", 3)
    state = network().state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def convs(model: Any) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _swapped(model: Any) -> None:
    """The two 1x1 convolutions of a CSP layer, alike in everything, in the other order."""
    nodes = list(model.graph.node)
    first, second = convs(model)[3:5]
    nodes.insert(nodes.index(first), nodes.pop(nodes.index(second)))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _attribute(name: str, *values: int) -> Any:
    def change(model: Any) -> None:
        (attribute,) = (a for a in convs(model)[3].attribute if a.name == name)
        attribute.ints[:] = values

    return change


def _relu(model: Any) -> None:
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Relu"


def _weight(model: Any) -> Any:
    name = convs(model)[0].input[1]
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _external(model: Any) -> None:
    tensor = _weight(model)
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.ClearField("raw_data")


def _huge(model: Any) -> None:
    _weight(model).dims[:] = [1 << 40, 12, 3, 3]


def _negative(model: Any) -> None:
    _weight(model).dims[:] = [-1, 12, 3, 3]


def _doubles(model: Any) -> None:
    _weight(model).data_type = 11


def _lost(model: Any) -> None:
    convs(model)[5].input[0] = "nothing"


def _no_bias(model: Any) -> None:
    del convs(model)[5].input[2]


def _fewer(model: Any) -> None:
    del model.graph.node[len(model.graph.node) // 2 :]


def _many(model: Any) -> None:
    model.graph.node.extend([model.graph.node[0]] * 10_001)


def _empty(model: Any) -> None:
    del model.graph.node[:]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_swapped, "what it reads: got"),
        (_attribute("strides", 2, 2), "stride: got (2, 2), expected (1, 1)"),
        (_attribute("pads", 1, 1, 0, 0), "the same explicit padding on both sides"),
        (_attribute("pads", 1, 1, 1, 1), "padding: got (1, 1), expected (0, 0)"),
        (_attribute("dilations", 2, 2), "expected no dilation"),
        (_relu, "what went through Relu"),
        (_external, "expected weights in the file itself"),
        (_huge, "numbers, expected"),
        (_negative, "got weights of shape"),
        (_doubles, "of 16 or 32 bits"),
        (_lost, "reads nothing, which nothing before it gives"),
        (_no_bias, "expected a weight and a bias in the file"),
        (_fewer, "convolutions, expected 113"),
        (_many, "expected at most 10,000"),
        (_empty, "without convolutions"),
    ],
)
def test_another_graph_is_refused_by_name(tmp_path, change, match):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(onnx_bytes())
    change(model)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CodecFileError) as caught:
        network_from_file(path)
    assert match in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("data", [b"", b"\x80\x02", b"PK\3\4" + bytes(60), os.urandom(500)])
def test_what_is_no_onnx_file_is_refused(tmp_path, data):
    pytest.importorskip("onnx")
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(CodecFileError, match=r"net\.onnx: "):
        network_from_file(tmp_path / "net.onnx")


@needs_onnx
def test_the_official_nano_gives_what_onnxruntime_gives():
    runtime = pytest.importorskip("onnxruntime")
    picture = sorted((SHARED / "data/coco/train").iterdir())[0]
    x, _ = load_image(picture, size=416, stride=416, upscale=True)
    session = runtime.InferenceSession(str(ONNX), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"images": (x.flip(1) * 255).numpy()})
    loaded = network_by_name(str(ONNX))
    with torch.no_grad():
        raw = torch.cat([out.flatten(1, 3) for out in loaded(x)], 1)
    got = torch.cat((raw[..., :4], raw[..., 4:].sigmoid()), -1)
    assert (loaded.scale, loaded.classes) == ("nano", 80)
    assert sum(p.numel() for p in loaded.parameters()) == 904_463
    torch.testing.assert_close(got, torch.from_numpy(expected), rtol=0, atol=1e-3)


@needs_onnx
def test_another_network_in_onnx_is_refused() -> None:
    pytest.importorskip("onnx")
    other = SHARED / "weights/mobilefacenet-112.onnx"
    with pytest.raises(CodecFileError, match=r"mobilefacenet-112\.onnx: "):
        network_from_file(other)


# ---- codec files


def codec_file(tmp_path: Path, *, embed: bool) -> Path:
    torch.manual_seed(0)
    model = CodecModel(Widths(64, latents=4, side=2, analysis=4, synthesis=4, hyper=4))
    cut = YOLOXCut.of(network(), at="dark3", classes=("cat", "dog", "cow"), canvas=Canvas(64))
    file = export(model, cut, name="small", description="", embed=network() if embed else None)
    file.save(tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_a_codec_file_that_holds_the_network_detects_as_one_whose_owner_brings_it(tmp_path):
    picture = (image(64, 64)[0].permute(1, 2, 0) * 255).byte().numpy()
    save_file(network().state_dict(), tmp_path / "net.safetensors")
    codec = featcodec.load(codec_file(tmp_path, embed=True))
    data = codec.encode(picture)
    found = codec.detect(data, confidence=1e-6)
    assert str(codec.file.config.network) == "yolox-nano"
    assert codec.file.config.network.at == "dark3"
    assert codec.network.network.backbone.lateral_conv0.conv.weight.dtype == torch.float32
    assert len(found) > 0
    assert found.names == ("cat", "dog", "cow")
    path = codec_file(tmp_path, embed=False)
    for brought in (network(), tmp_path / "net.safetensors"):
        other = featcodec.load(path, network=brought)
        assert tuple(other.decode(other.encode(picture)).shape) == (1, 64, 8, 8)
    with pytest.raises(
        CodecFileError, match="give yolox-nano of 3 classes with the weights it was fitted to"
    ):
        featcodec.load(path).detect(data)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {f"{STEM}conv.weight": torch.zeros(32, 12, 3, 3)},
            r"is \(32, 12, 3, 3\), expected \(16, 12, 3, 3\)",
        ),
        ({f"{STEM}conv.weight": None}, "stem.conv.conv.weight is missing"),
        ({"head.more": torch.zeros(1)}, "head.more is unexpected"),
        ({f"{STEM}bn.weight": torch.ones(16)}, "expected weight, bias, running_mean, running_var"),
        ({f"{STEM}conv.bias": torch.full((16,), torch.inf)}, "values that are not finite"),
        ({f"{STEM}conv.bias": torch.ones(16)}, "got yolox-nano of 3 classes with other weights"),
    ],
)
def test_a_network_in_a_codec_file_that_is_not_the_codecs_own_is_refused(tmp_path, change, match):
    file = CodecFile.load(codec_file(tmp_path, embed=True))
    own = dict(file.tensors) | {f"network.{k}": v.half() if v is not None else v for k, v in change.items()}
    state = {k: v for k, v in own.items() if v is not None}
    path = tmp_path / "hostile.safetensors"
    save_file(state, path, metadata={"featcodec": file.config.to_json()})
    with pytest.raises(CodecFileError, match=match):
        featcodec.load(path)


def test_another_network_than_the_codecs_is_told_in_words(tmp_path):
    torch.manual_seed(5)
    path = codec_file(tmp_path, embed=False)
    with pytest.raises(
        CodecFileError, match="got yolox-nano of 3 classes with other weights, expected yolox-nano"
    ):
        featcodec.load(path, network=YOLOX("nano", classes=3).eval())
    with pytest.raises(CodecFileError, match="got yolox-tiny of 3 classes, expected yolox-nano of 3 classes"):
        featcodec.load(path, network=YOLOX("tiny", classes=3).eval())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scale": "n"}, "expected a known one"),
        ({"scale": "x" * 300}, "expected a known one"),
        ({"at": "dark4"}, "expected a stage where one tensor crosses"),
        ({"at": 4}, "expected a stage where one tensor crosses"),
        ({"at": "x" * 300}, "expected a stage where one tensor crosses"),
        ({"classes": ()}, "expected at least one class"),
        ({"classes": ("a",) * 5000}, "at most 4,096"),
        ({"confidence": 1.5}, "expected a number between 0 and 1"),
    ],
)
def test_what_a_codec_file_says_of_the_network_has_to_be_possible(change, match):
    sound = {
        "family": "yolox",
        "scale": "nano",
        "classes": ("a",),
        "at": "dark3",
        "digest": "",
        "confidence": 0.3,
    }
    YOLOXFamily().check(NetworkConfig(**sound))
    with pytest.raises(ValueError, match=match):
        YOLOXFamily().check(NetworkConfig(**sound | change))


def test_members_can_be_asked_for_by_name() -> None:
    assert [str(describe(family_of(n).make("yolox-nano"), NetworkWish("stem", ""))) for n in [network()]] == [
        "yolox-nano"
    ]
    with pytest.raises(InputError, match="got 'yolox-nan', expected yolox-nano"):
        network_by_name("yolox-nan")
