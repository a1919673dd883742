"""Networks as their owners bring them: of any type, in any wrapper, under any of torch's settings."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from contextlib import contextmanager

import pytest
import torch
from skimage import data_dir
from skimage.data import astronaut
from torch import nn

import featcodec
from featcodec.codec.codec_file import network_of
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import CodecFileError, InputError
from featcodec.fitting.export import export
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.identity import network_digest
from featcodec.networks.modules import frozen_copy, plain_module
from featcodec.networks.yolov5 import YOLOv5
from featcodec.training.hyperprior import CodecModel

PICTURE = astronaut()[:96, :128]
PICTURE_FILE = f"{data_dir}/astronaut.png"
SMALL = {"size": 64, "batch": 2, "latents": 8, "steps": 4}


@pytest.fixture
def network():
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1)
    return nn.Sequential(*convolutions).half().float()


@pytest.fixture
def file(network):
    torch.manual_seed(1)
    model = CodecModel(Widths(8, latents=8, side=4, analysis=8, synthesis=8, hyper=8))
    with torch.no_grad():
        model.log_gain += 4
    cut = cut_network(network, describe(network, NetworkWish(at="2", model="small")), size=64)
    return export(model, cut, name="small", description="", latent_stride=8)


class TestTypes:
    def test_the_digest_is_that_of_the_float32_copy(self):
        torch.manual_seed(0)
        plain = nn.Conv2d(3, 8, 3)
        assert network_digest(plain) == network_digest(copy.deepcopy(plain).half())
        double = copy.deepcopy(plain).double()
        assert network_digest(double) == network_digest(copy.deepcopy(double).float())
        coarse = copy.deepcopy(plain).bfloat16()
        assert network_digest(coarse) == network_digest(copy.deepcopy(coarse).float())
        assert network_digest(coarse) != network_digest(plain)

    @pytest.mark.parametrize("kind", [torch.float16, torch.float64])
    def test_a_codec_takes_its_network_in_any_type_that_keeps_the_weights(self, file, network, kind):
        data = FeatureCodec(file, network_of(file, network)).encode(PICTURE)
        given = copy.deepcopy(network).to(kind)
        codec = FeatureCodec(file, network_of(file, given))
        assert codec.encode(PICTURE) == data
        assert codec.tail(codec.decode(data)).dtype == torch.float32
        assert given[0].weight.dtype == kind

    def test_a_network_that_lost_digits_is_named(self, file, network):
        torch.nn.init.normal_(network[0].weight)
        with pytest.raises(CodecFileError, match="in bfloat16, which keeps less"):
            network_of(file, network.bfloat16())

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_a_fit_works_with_a_float32_copy(self, network, kind):
        codec = featcodec.fit(network.to(kind), at="2", images=[PICTURE_FILE], **SMALL)
        assert network[0].weight.dtype == kind
        assert network.training
        same = featcodec.fit(copy.deepcopy(network).float(), at="2", images=[PICTURE_FILE], **SMALL)
        assert codec.fingerprint == same.fingerprint


class TestWrappers:
    def test_the_module_inside_is_taken(self, file, network):
        wrappers = torch.compile, nn.DataParallel, torch.optim.swa_utils.AveragedModel
        for wrap in (*wrappers, lambda n: nn.DataParallel(torch.compile(n))):
            codec = FeatureCodec(file, network_of(file, wrap(network)))
            assert codec.features(PICTURE).shape == (1, 8, 16, 16)
            assert featcodec.split(wrap(network).eval(), at="2").features() == (8, 4)
        assert plain_module(torch.compile(network)) is network

    @pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
    def test_what_has_no_layers_to_see_is_named(self, network):
        network.eval()
        x = torch.zeros(1, 3, 64, 64)
        exported = torch.export.export(network, (x,))
        for given, said in (
            (torch.jit.script(network), "RecursiveScriptModule, whose layers torch.jit has compiled"),
            (torch.jit.trace(network, x), "TopLevelTracedModule, whose layers torch.jit has compiled"),
            (nn.Sequential(torch.jit.script(network[0])), "RecursiveScriptModule as layer 0"),
            (exported, "an ExportedProgram"),
            (nn.Sequential, "the class Sequential"),
            (network.state_dict(), "got OrderedDict, expected a torch.nn.Module"),
        ):
            with pytest.raises(InputError, match=said):
                featcodec.split(given, at="0")
            with pytest.raises(InputError, match=said):
                frozen_copy(given)

    def test_a_path_is_weights_of_a_yolov5_or_refused_with_what_to_give(self, file, tmp_path):
        with pytest.raises(InputError, match=r"got the path weights\.pt, expected the network itself: small"):
            network_of(file, "weights.pt")
        name = next(n for n in featcodec.zoo.names() if n not in featcodec.zoo.names(whole=True))
        torch.save(YOLOv5("s").state_dict(), tmp_path / "weights.pt")
        with pytest.raises(
            CodecFileError, match="got yolov5s of 80 classes with random weights, expected yolov5s"
        ):
            featcodec.load(name, network=tmp_path / "weights.pt")

    def test_fusing_keeps_the_mode(self):
        assert featcodec.split(YOLOv5("n").eval().fuse(), at=4).features() == (64, 8)
        assert all(module.training for module in YOLOv5("n").train().fuse().modules())


# ---- torch's own settings


@contextmanager
def default_dtype(kind):
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "meta": lambda: torch.device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
}


class Grid(nn.Module):
    """Makes tensors of its own, of the default type on the default device."""

    def forward(self, x):
        return x + torch.linspace(0, 1, x.shape[-1]) * torch.ones(1)


@pytest.fixture(scope="module")
def usual():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), Grid(), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1)).eval()
    codec = featcodec.fit(network, at="2", images=[PICTURE_FILE], **SMALL)
    return network, codec, codec.encode(PICTURE)


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_torch_changes_a_byte(usual, setting, tmp_path):
    network, codec, data = usual
    default = featcodec.load("yolox-nano-private")
    boxes = default.detect(default.encode(astronaut()))
    codec.save(tmp_path / "codec.safetensors")
    with SETTINGS[setting]():
        fitted = featcodec.fit(network, at="2", images=[PICTURE_FILE], **SMALL)
        loaded = featcodec.load(tmp_path / "codec.safetensors", network=network)
        again = loaded.encode(PICTURE)
        features = loaded.decode(again)
        found = default.detect(default.encode(astronaut()))
    assert fitted.fingerprint == codec.fingerprint
    assert fitted.file.encoder_digest == codec.file.encoder_digest
    assert again == data
    assert torch.equal(features, codec.decode(data))
    assert torch.equal(found.xyxy, boxes.xyxy)
    assert torch.equal(found.scores, boxes.scores)
    assert torch.get_default_dtype() == torch.float32
    assert features.requires_grad_().sum().backward() is None  # no tensor of inference mode


# ---- copies


def detected(codec, data):
    return [box.label for box in codec.detect(data)], codec.decode(data)


class TestCopies:
    def test_a_codec_in_use_is_copied_and_works_in_other_processes(self):
        codec = featcodec.load("yolox-nano-private")
        data = codec.encode(astronaut())
        wanted, features = detected(codec, data)
        for again in (copy.deepcopy(codec), pickle.loads(pickle.dumps(codec))):
            assert detected(again, data)[0] == wanted
            assert again.encode(astronaut()) == data
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            labels, theirs = pool.apply(detected, (codec, data))
        assert labels == wanted
        assert torch.equal(theirs, features)
        assert theirs.geometry == features.geometry

    def test_the_network_of_a_fitted_codec_goes_with_it(self, usual):
        _, codec, data = usual
        features = codec.decode(data)
        again = pickle.loads(pickle.dumps(codec))
        assert again.encode(PICTURE) == data
        assert torch.equal(again.tail(features), codec.tail(features))

    def test_copied_features_know_their_picture(self, usual):
        _, codec, data = usual
        features = codec.decode(data)
        for again in (copy.deepcopy(features), copy.copy(features), pickle.loads(pickle.dumps(features))):
            assert isinstance(again, featcodec.Features)
            assert again.geometry == features.geometry
            assert torch.equal(again, features)
        one, other = copy.deepcopy([features, features])
        assert one is other
        assert one.data_ptr() != features.data_ptr()
