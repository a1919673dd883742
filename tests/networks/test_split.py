"""Cutting networks of others: both halves together are the whole, and neither does the other's work."""

import functools
import json
import os
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from featcodec import split
from featcodec.commands.main import main
from featcodec.errors import CodecFileError, InputError, SplitError
from featcodec.networks.by_name import network_by_name
from featcodec.networks.split import example_picture
from featcodec.networks.survey import survey
from featcodec.networks.void import Void
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut

SHARED = Path(os.environ.get("FEATCODEC_SHARED", "../shared"))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@functools.cache
def network(name: str) -> nn.Module:
    """By name, random weights; detectors are made to find something, on small pictures."""
    torch.manual_seed(0)
    kind, _, rest = name.partition(":")
    if kind != "detector":
        return network_by_name(name).requires_grad_(False)
    sizes = {} if "ssdlite" in rest else {"min_size": 64, "max_size": 128}
    net = torchvision.models.get_model(rest, weights=None, weights_backbone=None, **sizes).eval()
    for module in net.modules():
        if hasattr(module, "score_thresh"):
            module.score_thresh = 0.0
    return net.requires_grad_(False)


def same(a: object, b: object) -> bool:
    left, right = tree_leaves(a), tree_leaves(b)
    return len(left) == len(right) and all(
        torch.equal(p, q) if isinstance(p, torch.Tensor) else p == q for p, q in zip(left, right, strict=True)
    )


CUTS = [
    ("torchvision:resnet18", "layer2"),
    ("torchvision:resnet18", "layer1.0.relu#2"),
    ("torchvision:resnet18", "layer2.0.conv1"),
    ("torchvision:mobilenet_v3_small", "features.4"),
    ("torchvision:efficientnet_b0", "features.3"),
    ("torchvision:convnext_tiny", "features.3"),
    ("torchvision:regnet_x_400mf", "trunk_output.block2"),
    ("torchvision:shufflenet_v2_x0_5", "stage2"),
    ("torchvision:densenet121", "features.denseblock1.denselayer2.conv1"),
    ("torchvision:swin_t", "features.1"),
    ("torchvision:deeplabv3_mobilenet_v3_large", "backbone.6"),
    ("torchvision:lraspp_mobilenet_v3_large", "backbone.4"),
    ("torchvision:fcn_resnet50", "backbone.layer2"),
    ("timm:resnet10t", "layer2"),
    ("timm:mobilenetv3_small_050", "blocks.2"),
    ("timm:convnext_atto", "stages.1"),
    ("timm:tf_efficientnet_lite0", "blocks.1"),
    ("timm:mobilevit_xxs", "stages.2"),
]


@pytest.mark.parametrize(("name", "at"), CUTS)
def test_the_halves_give_what_the_whole_gives_at_any_size(name, at):
    net = network(name)
    cut = split(net, at=at, example=noise(1, 3, 64, 64))
    for x in (noise(2, 3, 96, 128), noise(1, 3, 75, 101)):
        assert same(cut.tail(cut.head(x)), net(x))


@pytest.mark.parametrize(
    ("name", "at"), [("timm:test_vit", "patch_embed.proj"), ("timm:test_vit", "blocks.1")]
)
def test_networks_of_one_size_can_be_cut(name, at):
    net = network(name)
    cut = split(net, at=at, example=noise(1, 3, 160, 160))
    x = noise(2, 3, 160, 160)
    assert same(cut.tail(cut.head(x)), net(x))


DETECTORS = [
    ("detector:fasterrcnn_mobilenet_v3_large_320_fpn", "backbone.body.6", 1),
    ("detector:fasterrcnn_mobilenet_v3_large_320_fpn", "backbone", 3),
    ("detector:retinanet_resnet50_fpn", "backbone.body.layer2", 1),
    ("detector:fcos_resnet50_fpn", "backbone.body.layer2", 1),
    ("detector:ssdlite320_mobilenet_v3_large", "backbone.features.0.6", 1),
]


@pytest.mark.parametrize(("name", "at", "count"), DETECTORS)
def test_detectors_of_lists_of_pictures_are_cut_with_all_that_is_around_their_backbone(name, at, count):
    net = network(name)
    cut = split(net, at=at, example=[noise(3, 48, 64)])
    assert len(cut.crossing) == count
    for batch in ([noise(3, 70, 50)], [noise(3, 40, 64), noise(3, 64, 90)]):
        found, expected = cut.tail(cut.head(batch)), net(batch)
        assert same(found, expected)
        assert sum(len(f["boxes"]) for f in found) > 0


@pytest.mark.parametrize("at", range(24))
def test_yolov5_is_cut_as_the_cut_made_by_hand_does(at):
    net, x = network("yolov5n"), noise(1, 3, 64, 96)
    hand = YOLOv5Cut.of(net, at=at)
    cut = split(net, at=at, example=noise(1, 3, 64, 64))
    # layer 15 is layer 11 once more
    assert cut.crossing == tuple(f"model.{i}".replace("15", "11#2") for i in hand.layers)
    assert same(tuple(cut.head(x)), hand.head(x))
    assert same(cut.tail(cut.head(x)), net(x))
    if at <= 4:
        (crossing,) = hand.crossing
        assert cut.features() == (crossing.channels, crossing.stride)


@pytest.mark.parametrize("scale", ["n", "s"])
def test_trained_networks_are_cut(scale):
    path = SHARED / "weights" / f"yolov5{scale}-v6.safetensors"
    if not path.exists():
        pytest.skip(f"no {path}: FEATCODEC_SHARED names the folder")
    net, x = network_by_name(str(path)).requires_grad_(False), noise(1, 3, 96, 160)
    cut = split(net, at="model.4", example=noise(1, 3, 64, 64))
    assert same(cut.tail(tuple(cut.head(x))), net(x))


class Work(TorchDispatchMode):
    """Counts operations on numbers: those of the tail's passage over the head have none."""

    def __init__(self):
        super().__init__()
        self.flops = self.products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        tensors = [t for t in tree_leaves(args) if isinstance(t, torch.Tensor)]
        if packet in flop_registry and not any(isinstance(t, Void) or t.is_meta for t in tensors):
            self.flops += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            self.products += 1
        return out


def work(f, *args):
    with torch.no_grad(), Work() as seen:
        out = f(*args)
    return out, (seen.flops, seen.products)


@pytest.mark.parametrize(
    ("name", "at"),
    [*CUTS[:4], CUTS[10], ("detector:retinanet_resnet50_fpn", "backbone.body.layer2"), ("yolov5n", 9)],
)
def test_no_layer_is_computed_by_both_halves(name, at):
    net, x = network(name), noise(1, 3, 96, 64)
    cut = split(net, at=at, example=noise(1, 3, 64, 64))
    features, head = work(cut.head, x)
    for _ in range(2):  # shapes are worked out in the first, and remembered in the second
        _, tail = work(cut.tail, features)
        _, whole = work(net, x)
        assert tuple(a + b for a, b in zip(head, tail, strict=True)) == whole
        assert 0 < head[0] < whole[0]


def test_gradients_pass_through_the_tail_to_all_features():
    net = network("torchvision:resnet18")
    cut = split(net, at="layer2.0.conv1", example=noise(1, 3, 64, 64))
    x = noise(1, 3, 96, 64).requires_grad_()
    (expected,) = torch.autograd.grad(net(x).square().sum(), x)
    features = cut.head(x)
    leaves = [f.detach().requires_grad_() for f in features]
    cut.tail(leaves).square().sum().backward()
    (found,) = torch.autograd.grad(features, x, [f.grad for f in leaves])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_features_are_not_changed_by_layers_that_work_in_place():
    cut = split(network("torchvision:resnet18"), at="bn1", example=noise(1, 3, 64, 64))
    features = cut.head(noise(1, 3, 64, 64))
    before = features[0].clone()
    first = cut.tail(features)
    assert torch.equal(features[0], before)
    assert float(before.min()) < 0
    assert torch.equal(cut.tail(features), first)


class TestSizes:
    """What the tail knows of the picture without seeing it."""

    net = functools.partial(network, "torchvision:lraspp_mobilenet_v3_large")

    def test_features_alone_are_of_a_picture_of_multiples_of_the_stride(self):
        cut = split(self.net(), at="backbone.4", example=noise(1, 3, 64, 64))
        x = noise(3, 3, 96, 128)
        assert same(cut.tail([f.clone() for f in cut.head(x)]), self.net()(x))

    def test_other_pictures_are_told_by_like(self):
        cut = split(self.net(), at="backbone.4", example=noise(1, 3, 64, 64))
        x = noise(1, 3, 75, 101)
        bare, like = list(cut.head(x)), torch.empty(x.shape, device="meta")
        assert same(cut.tail(bare, like=like), self.net()(x))
        assert not same(cut.tail(bare), self.net()(x))  # 80 x 104 pixels

    def test_features_that_belong_to_no_such_picture_are_refused(self):
        cut = split(self.net(), at="backbone.4", example=noise(1, 3, 64, 64))
        with pytest.raises(InputError, match=r"backbone.4: got \(1, 40, 9, 9\), expected \(1, 40, 8, 8\)"):
            cut.tail([torch.zeros(1, 40, 9, 9)], like=noise(1, 3, 64, 64))
        with pytest.raises(InputError, match=r"got \(1, 39, 9, 9\), expected \(1, 40, 9, 9\)"):
            cut.tail([torch.zeros(1, 39, 9, 9)])
        with pytest.raises(InputError, match=r"got 2 tensors, expected backbone.4"):
            cut.tail([torch.zeros(1, 40, 8, 8)] * 2)
        several = split(network(DETECTORS[0][0]), at="backbone.body.6", example=[noise(3, 48, 64)])
        with pytest.raises(InputError, match=r"cannot tell the size .* give like=inputs"):
            several.tail([torch.zeros(1, 40, 9, 9)])


class Odd(nn.Module):
    """Layers as people write them; each test cuts where it matters."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.d = nn.Conv2d(3, 3, 1)
        self.way = forward
        self.eval()

    def forward(self, x):
        return self.way(self, x)


def pads_to_even(net, x):
    x = net.a(x)
    if x.shape[-1] % 2:
        x = nn.functional.pad(x, (0, 1, 0, 0))
    return net.c(net.b(x)) + x.shape[-1]


def drops(net, x):
    return nn.functional.dropout(net.b(net.a(x)), 0.5, training=True)


def looks(net, x):
    y = net.b(net.a(x))
    return net.d(net.c(y if y.mean() > 1e9 else y + 1))


def goes_through_numpy(net, x):
    return net.c(net.b(torch.from_numpy(net.a(x).numpy() + 1)))


def masks(net, x):
    y = net.a(x)
    y = net.b(y)
    return net.c(y[:, y[0, :, 0, 0] > -1e9])


def picks(net, x):
    y = net.a(x)
    return net.c(net.b(y[:, torch.tensor([2, 0, 1])]))


def halves(net, x):
    y = net.a(torch.cat((x, x)))
    one, two = y.chunk(2)
    return net.c(net.b(one)) + two


def sums(net, x):
    y = net.a(x) * 2
    return net.c(net.b(x)) + y


def writes(net, x):
    buffer = torch.zeros(1, 3, 8, 8)
    buffer[:] = net.a(x)
    return net.c(net.b(buffer))


def permutes(net, x):
    y = net.a(x).permute(0, 2, 3, 1)
    return net.c(net.b(y.permute(0, 3, 1, 2))) + y.mean()


def early(net, x):
    y = net.a(x)
    return {"early": y, "late": [net.c(net.b(y)), "text", None]}


def calls_forward(net, x):
    return net.c(net.b.forward(net.a(x)))


@pytest.mark.parametrize("way", [pads_to_even, picks, halves, permutes, early])
def test_control_flow_views_and_outputs_of_any_kind_are_no_obstacle(way):
    net = Odd(way)
    cut = split(net, at="b", example=noise(1, 3, 8, 8))
    for x in (noise(1, 3, 8, 8), noise(2, 3, 9, 7)):
        assert same(cut.tail(cut.head(x)), net(x))


@pytest.mark.parametrize(
    ("way", "at", "reason"),
    [
        (drops, "a", "the halves do not give what the whole network gives; does it draw random numbers"),
        (looks, "c", r"depends on numbers in the picture \(aten._local_scalar_dense\); 1 tensor crosses: c "),
        (looks, "c", r"the nearest where one crosses: b before it$"),
        (
            goes_through_numpy,
            "b",
            "nothing crosses that depends on the picture",
        ),
        (masks, "c", r"depends on numbers in the picture \(aten.index\)"),
        (
            sums,
            "b",
            "crosses that no layer reads or returns as a whole; 2 tensors cross: a tensor inside the ",
        ),
        (writes, "b", "writes into a tensor of its own"),
        (calls_forward, "b", "the network does not call it, or calls it by other means"),
    ],
)
def test_where_a_network_cannot_be_cut_it_is_said_why(way, at, reason):
    with pytest.raises(SplitError, match=reason):
        split(Odd(way), at=at, example=noise(1, 3, 8, 8))


def test_names_that_are_none_are_refused_with_similar_ones():
    net, x = network("torchvision:resnet18"), noise(1, 3, 64, 64)
    with pytest.raises(SplitError, match=r"after layer 'layer5': no such layer; similar names are layer"):
        split(net, at="layer5", example=x)
    with pytest.raises(SplitError, match=r"'layer1.0.relu#3': no such layer; .*layer1.0.relu#2"):
        split(net, at="layer1.0.relu#3", example=x)
    with pytest.raises(
        SplitError, match=r"'zzz': no such layer; its first layers are conv1, bn1, relu, maxpool$"
    ):
        split(net, at="zzz", example=x)
    with pytest.raises(SplitError, match=r"'model.24x': no such layer"):
        split(network("yolov5n"), at="model.24x", example=x)


def test_a_codec_learns_where_one_tensor_crosses():
    cut = split(network("torchvision:resnet18"), at="layer2.0.conv1", example=noise(1, 3, 64, 64))
    with pytest.raises(SplitError) as caught:
        cut.features()
    assert str(caught.value) == (
        "cut after layer layer2.0.conv1: 2 tensors cross: layer1 (1, 64, 16, 16), "
        "layer2.0.conv1 (1, 128, 8, 8), expected one (B, C, h, w); "
        "the nearest where one crosses: layer1 before it and layer2.0 after it"
    )
    cut = split(network("timm:test_vit"), at="blocks.1", example=noise(1, 3, 160, 160))
    with pytest.raises(
        SplitError, match=r"1 tensor crosses: blocks.1 \(1, 101, 64\), expected one \(B, C, h"
    ):
        _ = cut.only
    cut = split(network("torchvision:swin_t"), at="features.1", example=noise(1, 3, 64, 64))
    with pytest.raises(SplitError, match=r"features.1 \(1, 16, 16, 96\), expected one \(B, C, h, w\)"):
        _ = cut.only


def test_networks_that_train_or_fail_are_refused():
    with pytest.raises(InputError, match="in training mode, expected one in evaluation mode"):
        split(nn.Sequential(nn.Conv2d(3, 3, 1)), at="0")
    with pytest.raises(InputError, match="the network fails on an input of 1 x 3 x 224 x 224: RuntimeError"):
        split(nn.Sequential(nn.Conv2d(4, 3, 1)).eval(), at="0")


def test_hooks_are_gone_afterwards_whatever_happens():
    net = Odd(looks)
    with pytest.raises(SplitError):
        split(net, at="c", example=noise(1, 3, 8, 8))
    cut = split(net, at="a", example=noise(1, 3, 8, 8))
    with pytest.raises(RuntimeError):
        cut.head(torch.zeros(1, 4, 8, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_costs_are_those_of_torchs_counter():
    net, x = network("torchvision:resnet18"), noise(1, 3, 64, 64)
    seen = survey(net, (x,))
    cut = split(net, at="layer2", example=x)
    for f, expected in ((net, seen.flops), (cut.head, cut.layer.flops)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            f(x)
        assert counter.get_total_flops() == expected > 0
    assert (cut.layer.numbers, cut.layer.stride, cut.features()) == (128 * 8 * 8, 8.0, (128, 8))


# ---- names of networks


def test_networks_have_names():
    assert isinstance(network_by_name("yolov5n"), YOLOv5)
    assert not network_by_name("timm:resnet10t").training
    for name, reason in [
        ("yolov5z", "got 'yolov5z', expected yolov5"),
        (
            "resnet18",
            "expected yolov5n to yolov5x, yolox-nano to yolox-x, a weights file of either, torchvision:NAME",
        ),
        ("torchvision:resnet19", "no network 'resnet19'; similar names are resnet18"),
        ("torchvision:zzz", "^torchvision: no network 'zzz'$"),
        ("timm:convnext_ato", "no network 'convnext_ato'; similar names are .*convnext_atto"),
        ("no_such_module:net", "no_such_module:net: ModuleNotFoundError"),
        ("math:pi", "math:pi: TypeError: 'float' object is not callable"),
        ("time:time", "time:time: got float, expected a torch.nn.Module"),
        ("missing.pt", r"missing.pt: .*No such file"),
    ]:
        with pytest.raises((InputError, CodecFileError), match=reason):
            network_by_name(name)


def test_weights_of_any_network_come_from_a_file(tmp_path):
    state = network("timm:resnet10t").state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "w.safetensors")
    again = network_by_name("timm:resnet10t", weights=tmp_path / "w.safetensors")
    assert same(dict(again.state_dict()), dict(state))
    with pytest.raises(
        CodecFileError, match=r"w\.safetensors: not the weights of yolov5n: .* is missing; .* more$"
    ):
        network_by_name("yolov5n", weights=tmp_path / "w.safetensors")


def test_ones_own_network_is_found_in_the_working_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine_of_the_test.py").write_text("from torch import nn\ndef net(): return nn.Conv2d(3, 8, 2, 2)\n")
    assert main(["layers", "mine_of_the_test:net", "--size", "16"]) == 0
    assert capsys.readouterr().out.startswith("mine_of_the_test:net: input 3 x 16 x 16, 768 bytes")


# ---- featcodec layers


def test_layers_are_listed_with_what_a_cut_there_costs(capsys):
    assert main(["layers", "torchvision:resnet18", "--size", "64"]) == 0
    title, head, *rows = capsys.readouterr().out.splitlines()
    assert title == "torchvision:resnet18: input 3 x 64 x 64, 12,288 bytes, 0.30 GFLOP"
    assert " ".join(head.split()) == "layer crosses stride head GFLOP of all bytes of input"
    assert " ".join(row.split()[0] for row in rows) == (
        "conv1 bn1 relu maxpool layer1.0 layer1 layer2.0 layer2 layer3.0 layer3 layer4.0 layer4 avgpool"
    )
    assert " ".join(rows[7].split()) == "layer2 128 x 8 x 8 8 0.16 54% 8,192 0.67"


def test_layers_as_json_and_all_of_them(capsys):
    assert main(["layers", "yolov5n", "--size", "64", "--all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["input_shape"], found["input_bytes"]) == ("yolov5n", [1, 3, 64, 64], 12288)
    by_name = {layer["name"]: layer for layer in found["layers"]}
    assert len(found["layers"]) == len(by_name) > 200
    assert by_name["model.4"]["crossing"] == ["model.4"]
    assert (by_name["model.4"]["stride"], by_name["model.4"]["bytes"]) == (8.0, 64 * 8 * 8)
    assert by_name["model.9"]["crossing"] == ["model.4", "model.6", "model.9"]
    assert (by_name["model.9"]["stride"], by_name["model.9"]["obstacle"]) == (None, None)


def test_a_network_that_does_not_take_the_size_gives_one_line(capsys):
    assert main(["layers", "yolov5n", "--size", "100"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("featcodec: yolov5n: the network fails on an input of 1 x 3 x 100 x 100")
    assert err.endswith("; --size gives another size\n")
    assert err.count("\n") == 1


def test_the_example_is_the_same_every_time_and_of_the_models_type():
    net = nn.Conv2d(3, 4, 1).double()
    assert torch.equal(example_picture(net), example_picture(net))
    assert example_picture(net, 32).dtype == torch.float64
