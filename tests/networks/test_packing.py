"""Several tensors, tokens and odd shapes on one grid, and codecs of networks that have them at their cut."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import nn
from torch.utils.data import Dataset

import featcodec
from featcodec.attacks.attacker_networks import AttackerNetwork
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.commands.main import main
from featcodec.errors import CodecFileError, InputError, SplitError
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.packed import pack, unpack
from featcodec.networks.packing import Packing
from featcodec.networks.split import split
from featcodec.training.invnet import InvNet

SHAPES = {
    "pyramid": (256, False, [(8, 64, 64), (8, 32, 32), (8, 16, 16), (10, 8, 8), (7, 4, 4)]),
    "unet": (128, False, [(3, 128, 128), (6, 64, 64), (12, 32, 32)]),
    "last": (128, False, [(32, 32, 24)]),
    "tokens": (224, True, [(197, 24)]),
    "tokens without a class": (96, True, [(36, 40)]),
    "odd": (128, True, [(5, 15, 15), (9, 7, 7)]),
    "wide prefix": (64, True, [(4 + 16, 50)]),
}


def of(name: str) -> tuple[Packing, list[torch.Tensor]]:
    side, _, shapes = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.rand(2, *shape, generator=generator) for shape in shapes]
    return Packing.of([f"t{i}" for i in range(len(shapes))], [(1, *s) for s in shapes], side), tensors


@pytest.mark.parametrize("name", SHAPES)
def test_what_was_packed_is_unpacked(name):
    packing, tensors = of(name)
    side, fixed, _ = SHAPES[name]
    assert packing.fixed is fixed
    packed = pack(packing, tensors)
    assert packed.shape == (2, packing.channels, side // packing.stride, side // packing.stride)
    for got, expected in zip(unpack(packing, packed), tensors, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["pyramid", "unet", "last"])
def test_other_canvases_have_other_grids(name):
    packing, tensors = of(name)
    wide = [t.repeat(1, 1, 2, 1) if name == "last" else t.repeat(1, 1, 1, 2) for t in tensors]
    packed = pack(packing, wide)
    assert packed.shape[3] == 2 * packed.shape[2]
    for got, expected in zip(unpack(packing, packed), wide, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_each_number_of_a_coarse_tensor_belongs_to_one_latent():
    packing, tensors = of("pyramid")
    before = pack(packing, tensors)
    tensors[4][0, 5, 2, 3] += 1
    changed = (pack(packing, tensors) - before)[0].abs().sum(0)
    assert int((changed > 0).sum()) == 4  # the places of a 2 x 2 block
    rows, columns = torch.nonzero(changed, as_tuple=True)
    assert len(set((rows // 2).tolist())) == len(set((columns // 2).tolist())) == 1


def test_it_is_in_a_codec_file_as_it_was():
    packing, _ = of("odd")
    assert Packing.from_json(json.loads(json.dumps(asdict(packing)))) == packing
    packing.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 24}, "stride that divides 128"),
        ({"side": 0}, "expected an integer"),
        ({"fixed": 1}, "packing"),
        ({"tensors": ()}, "got 0 tensors"),
    ],
)
def test_a_damaged_one_is_refused(change, message):
    packing, _ = of("odd")
    with pytest.raises(ValueError, match=message):
        replace(packing, **change).check()


def test_a_tensor_of_another_kind_is_refused():
    with pytest.raises(SplitError, match=r"expected \(B, C, h, w\)"):
        Packing.of(["x"], [(1, 1000)], 64)
    with pytest.raises(SplitError, match="of a square grid"):
        Packing.of(["x"], [(1, 99, 64)], 64)


def test_other_shapes_than_those_of_the_canvas_are_refused():
    packing, tensors = of("odd")
    with pytest.raises(SplitError, match="got 1 tensors, expected 2"):
        pack(packing, tensors[:1])
    with pytest.raises(SplitError, match="t0: got"):
        pack(packing, [tensors[0][..., 1:], tensors[1]])
    with pytest.raises(SplitError, match="expected"):
        unpack(packing, torch.zeros(1, packing.channels, 10, 10))


# ---- networks


class Pyramid(nn.Module):
    """Two maps at strides 4 and 8, and a head that reads both."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 4, 1)
        self.down = nn.Conv2d(12, 20, 3, 2, 1)
        self.both = nn.Identity()
        self.head = nn.ModuleList((nn.Conv2d(12, 4, 1), nn.Conv2d(20, 4, 1)))

    def forward(self, x):
        fine = self.stem(x).relu()
        fine, coarse = self.both((fine, self.down(fine)))
        return [head(f) for head, f in zip(self.head, (fine, coarse), strict=True)]


class Tokens(nn.Module):
    """A transformer of one size: a class token, and one for each 16 x 16 px."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 16, 16)
        self.first = nn.Parameter(torch.randn(1, 1, 24))
        self.where = nn.Parameter(torch.randn(1, 17, 24))
        self.block = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.first.expand(len(x), -1, -1), tokens), 1) + self.where
        return self.head(self.block(tokens)[:, 0])


class Resizing(nn.Module):
    """A network that brings its pictures to a size of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 16, 3, 8, 1)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        x = nn.functional.interpolate(x, (120, 120), mode="bilinear")
        return self.head(self.body(x).relu())


class Pictures(Dataset):
    """A data set without labels."""

    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        return self.pictures[i]


NETWORKS = {
    "pyramid": (Pyramid, "both", 96),
    "tokens": (Tokens, "block", 64),
    "resizing": (Resizing, "body", 128),
}


@pytest.fixture(scope="module", params=NETWORKS)
def fitted(request, tmp_path_factory):
    """A network, its codec in closed form, and the codec's file."""
    kind, at, size = NETWORKS[request.param]
    torch.manual_seed(0)
    network = kind().eval()
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(24, 3, 8, 8, generator=generator)
    images = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    out = tmp_path_factory.mktemp("packed")
    how = {"steps": 0, "latents": 32, "analysis": 8, "synthesis": 8}
    codec = featcodec.fit(network, at=at, images=Pictures(images), size=size, out=out, **how)
    return network, codec, out / "codec.safetensors"


def test_a_codec_of_it_decodes_each_tensor_to_its_place(fitted):
    network, codec, _ = fitted
    data = codec.encode(astronaut(), quality=8)
    decoded, plain = codec.decode(data), codec.features(astronaut())
    tensors = list(codec.unpack(decoded).values())
    expected = codec.network.cut.head(codec.file.config.canvas.load(astronaut())[0])
    assert [t.shape for t in tensors] == [t.shape for t in expected]
    for got, wanted in zip(codec.unpack(plain).values(), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    assert type(codec.tail(decoded)) is type(network(torch.zeros(1, 3, *[codec.file.config.size] * 2)))
    error = float((decoded - plain).square().mean() / plain.var())
    assert error < 0.4


def test_features_of_a_head_that_the_caller_has_run_are_encoded(fitted):
    _, codec, _ = fitted
    x, geometry = codec.file.config.canvas.load(astronaut())
    crossing = codec.network.cut.head(x)  # the networks here normalise nothing
    assert codec.encode_features(codec.pack(crossing), geometry) == codec.encode(astronaut())
    with pytest.raises(SplitError, match="expected"):
        codec.pack([*crossing, crossing[0]])


def test_a_picture_that_is_no_square_comes_back_too(fitted):
    _, codec, _ = fitted
    tall = np.ascontiguousarray(astronaut()[:, :200])
    decoded = codec.decode(codec.encode(tall))
    assert decoded.shape == codec.features(tall).shape


def test_its_file_brings_the_packing_and_is_checked(fitted):
    network, codec, path = fitted
    again = featcodec.load(path, network=network)
    data = codec.encode(astronaut())
    assert again.encode(astronaut()) == data
    without = FeatureCodec(CodecFile.load(path), None)
    got, expected = (c.unpack(c.decode(data)) for c in (without, codec))
    assert {name: t.shape for name, t in got.items()} == {name: t.shape for name, t in expected.items()}
    file = CodecFile.load(path)
    config = file.config
    wrong = replace(config.network, packing=replace(config.packing, side=2 * config.packing.side))
    with pytest.raises(CodecFileError):
        CodecFile(replace(config, network=wrong, stride=config.packing.side * 3), file.tensors).check()


def test_the_command_line_writes_each_tensor_by_its_name(fitted, tmp_path, monkeypatch):
    _, codec, path = fitted
    monkeypatch.chdir(tmp_path)
    data = codec.encode(astronaut())
    Path("astronaut.plf").write_bytes(data)
    assert main(["decode", "astronaut.plf", "--codec", str(path), "-o", "astronaut.npz"]) == 0
    expected = codec.unpack(codec.decode(data))
    with np.load("astronaut.npz", allow_pickle=False) as arrays:
        assert set(arrays) == set(expected)
        for name, tensor in expected.items():
            assert np.array_equal(arrays[name], tensor.numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cut_where_a_layer_returns_all_that_crosses_is_known_as_such(name):
    kind, at, size = NETWORKS[name]
    layer = split(kind().eval(), at=at, example=torch.rand(1, 3, size, size)).layer
    assert layer.own
    assert Packing.takes(layer.shapes, size)


def test_pictures_are_not_rebuilt_from_latents_of_an_odd_stride():
    with pytest.raises(InputError, match=r"14 x 14 pixels.*expected a power of two"):
        InvNet(8, stride=14)
    with pytest.raises(InputError, match="expected a power of two"):
        AttackerNetwork("unet", channels=8, stride=14, points=(4.0,))


def test_what_crosses_as_one_map_is_not_packed():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    cut = cut_network(network, describe(network, NetworkWish(at="1", model="tiny")), size=64)
    assert cut.config.packing is None
    assert cut.canvas.stride == 32
