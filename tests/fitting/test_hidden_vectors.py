"""Vectors that must not be inferred: which they are, who infers them, and what that costs a codec."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import featcodec
from featcodec.codec.transforms import Widths
from featcodec.commands.main import main
from featcodec.errors import CodecFileError, FitError, ImageError, InputError, MissingExtraError
from featcodec.fitting.hidden_vectors import (
    HiddenBatch,
    HiddenVectors,
    VectorAdversary,
    hidden_pictures,
)
from featcodec.fitting.loop import Fitting, fit_codec
from featcodec.fitting.run import Run
from featcodec.fitting.settings import Options, Settings
from featcodec.fitting.tasks import FeatureTask
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.vector_model import VectorModel
from featcodec.training.hyperprior import CodecModel
from featcodec.training.regression import middle

PEOPLE, SIDE = 16, 64
OPTIONS = Options(steps=6, optimizer="adamw", bf16=False)


def write_model(path, *, side=32, batch="N"):
    """A network whose vectors are a picture's colours on a grid of 2 x 2."""
    onnx = pytest.importorskip("onnx", reason="makes a model to test with")
    made = onnx.helper
    cell = [side // 2, side // 2]
    nodes = [
        made.make_node("AveragePool", ["x"], ["grid"], kernel_shape=cell, strides=cell),
        made.make_node("Flatten", ["grid"], ["y"]),
    ]
    x = made.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, 3, side, side])
    y = made.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 12])
    graph = made.make_graph(nodes, "g", [x], [y])
    onnx.save(made.make_model(graph, opset_imports=[made.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "colours.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen people, photographed twice; each has four colours of their own."""
    out = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for person in range(PEOPLE):
        colours = random.integers(40, 216, (2, 2, 3))
        for number in (1, 2):
            pixels = colours.repeat(SIDE // 2, 0).repeat(SIDE // 2, 1) + random.integers(
                -9, 10, (SIDE, SIDE, 3)
            )
            Image.fromarray(pixels.astype(np.uint8)).save(out / f"p{chr(97 + person)}_{number:04}.png")
    return out


@pytest.fixture(scope="module")
def hidden(model, folder):
    return read(model, folder)


def read(model, folder, *, work=None, **other):
    how = {"crop": 1.0, "canvas": (SIDE, SIDE), "batch": 2, "seed": 1, **other}
    return HiddenVectors.read(VectorModel(model), model, hidden_pictures(folder, 0), work=work, **how)


@pytest.fixture(scope="module")
def fitting():
    """A small network, cut at stride 8."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 5, 4, 2), nn.LeakyReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.LeakyReLU()
    whole = nn.Sequential(*layers, nn.Conv2d(16, 4, 1)).eval().requires_grad_(False)
    network = cut_network(whole, describe(whole, NetworkWish(at="3", model="small")), size=SIDE)
    return Fitting(network, FeatureTask(), noise)


def noise(start, count=1000):
    for i in range(start, count):
        generator = torch.Generator().manual_seed(i)
        yield torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator), None


def fitted(fitting, options, hidden, checkpoint=None, **how):
    torch.manual_seed(1)
    codec = CodecModel(Widths(16, latents=8, side=4, analysis=8, synthesis=8, hyper=8))
    run = Run(codec, options, hidden=hidden)
    if checkpoint:
        run.resume(checkpoint)
    fit_codec(fitting, run, checkpoint=checkpoint, **how)
    return run


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


class TestVectors:
    def test_they_are_those_of_the_middle_of_a_picture_and_of_its_mirror(self, model, folder):
        found = read(model, folder, crop=0.5)
        pixels = [np.asarray(Image.open(path)).astype(float) / 255 for path in found.paths]
        inner = np.stack([p[16:48, 16:48] for p in pixels])
        deviation = np.array([0.229, 0.224, 0.225])
        mean = np.array([0.485, 0.456, 0.406])
        grid = ((inner - mean) / deviation).reshape(-1, 2, 16, 2, 16, 3).mean((2, 4))
        both = np.stack([grid, grid[:, :, ::-1]], 1).transpose(0, 1, 4, 2, 3).reshape(-1, 2, 12)
        wanted = F.normalize(torch.from_numpy(both - both.mean((0, 1))), dim=2)
        torch.testing.assert_close(found.vectors.double(), wanted, rtol=1e-4, atol=1e-4)

    def test_they_are_kept_and_measured_again_for_another_crop(self, model, folder, tmp_path, monkeypatch):
        first = read(model, folder, work=tmp_path)
        (kept,) = tmp_path.iterdir()
        monkeypatch.setattr(VectorModel, "__call__", lambda *_: pytest.fail("measured again"))
        assert torch.equal(read(model, folder, work=tmp_path).vectors, first.vectors)
        with pytest.raises(pytest.fail.Exception, match="measured again"):
            read(model, folder, work=tmp_path, crop=0.5)
        kept.write_bytes(b"noise")
        with pytest.raises(FitError, match=r"hidden-\w+.safetensors: kept by another version, or damaged"):
            read(model, folder, work=tmp_path)

    def test_a_model_of_one_picture_at_a_time_gives_the_same(self, model, folder, tmp_path):
        one = read(write_model(tmp_path / "one.onnx", batch=1), folder)
        torch.testing.assert_close(one.vectors, read(model, folder).vectors)

    def test_samples_show_every_picture_once_in_a_pass_in_another_order_the_next_time(self, hidden):
        count = len(hidden.paths)
        passes = [hidden.samples(range(i * count, (i + 1) * count)) for i in range(2)]
        for found in passes:
            assert found.kinds.bincount().tolist() == [2] * PEOPLE
        assert not torch.equal(passes[0].kinds, passes[1].kinds)
        again = hidden.samples([count + 3])
        assert torch.equal(again.pictures[0], passes[1].pictures[3])
        assert torch.equal(again.vectors[0], passes[1].vectors[3])

    def test_a_mirrored_sample_has_the_vector_of_the_mirror(self, hidden):
        found = hidden.samples(range(32))
        grid = F.avg_pool2d(found.pictures.float() / 255, SIDE // 2).flatten(1)
        near = F.normalize(grid - grid.mean(0))
        assert float(F.cosine_similarity(near, found.vectors).min()) > 0.8

    def test_a_larger_picture_is_scaled_down_and_a_smaller_one_stands_on_grey(self, model, folder):
        small, large = (
            read(model, folder, canvas=side).samples([0]).pictures for side in ((32, 48), (96, 64))
        )
        assert small.shape == (1, 3, 32, 48)
        assert torch.equal(small[..., :8], torch.full((1, 3, 32, 8), 114, dtype=torch.uint8))
        assert int((large == 114).all(1).sum()) >= 2 * 16 * 64

    def test_people_are_held_out_by_name(self, folder):
        left = {path.name[:2] for path in hidden_pictures(folder, 4)}
        assert {chr(97 + i) for i in range(PEOPLE)} - {name[1] for name in left} == {"a", "e", "i", "m"}


class TestAdversary:
    def test_it_infers_what_is_linear_in_the_latents_and_not_what_is_not_there(self, hidden):
        thief, blind = VectorAdversary(hidden), VectorAdversary(hidden)
        torch.manual_seed(0)
        mix = torch.randn(12, 12)
        for adversary, share in ((thief, 1.0), (blind, 0.0)):
            batch = hidden.samples(adversary.forget(0))
            adversary.take_in(latents(batch, mix, share), batch)
        found = []
        for adversary, share in ((thief, 1.0), (blind, 0.0)):
            steps = [hidden.samples(hidden.of_step(taken)) for taken in range(20)]
            cosines = [adversary.inferred(latents(b, mix, share), b, i) for i, b in enumerate(steps)]
            found.append(float(torch.cat(cosines).mean()))
        assert found[0] > 0.65
        assert found[1] < 0.35  # 12 dimensions: the mean positive cosine of chance, of two adversaries

    def test_whoever_is_asked_about_is_not_learned_from(self, hidden):
        adversary = VectorAdversary(hidden)
        batch = hidden.samples(adversary.forget(0))
        adversary.take_in(torch.rand(len(batch.kinds), 3, 2, 2), batch)
        for taken in range(9):
            step = hidden.samples(hidden.of_step(taken))
            adversary.inferred(torch.rand(2, 3, 2, 2), step, taken)
            learned = adversary.kinds[: hidden.memory][
                ~torch.isin(adversary.kinds[: hidden.memory], step.kinds)
            ]
            assert all(len(fit.examples) <= len(learned) for fit in adversary.regressions)
            assert torch.isin(step.kinds, hidden.asked(taken)).all()
        assert len(adversary.kinds) == hidden.memory + hidden.batch * (8 % hidden.every + 1)

    def test_the_gradient_leads_to_latents_from_which_less_is_inferred(self, hidden):
        adversary = VectorAdversary(hidden)
        batch = hidden.samples(adversary.forget(0))
        adversary.take_in(latents(batch, torch.eye(12), 1.0), batch)
        step = hidden.samples(hidden.of_step(0))
        y_hat = latents(step, torch.eye(12), 1.0).requires_grad_()
        before = adversary.inferred(y_hat, step, 0)
        (slope,) = torch.autograd.grad(before.sum(), y_hat)
        after = adversary.inferred(y_hat - 0.1 * slope / slope.norm(), step, 0)
        assert float(after.detach().sum()) < float(before.detach().sum())

    def test_the_middle_of_an_uneven_map(self):
        assert middle(torch.arange(15.0).view(1, 1, 3, 5), 0.4).tolist() == [[7.0]]


def latents(batch: HiddenBatch, mix, share):
    """(B, 3, 2, 2) in which the vectors lie linearly, or noise."""
    mixed = batch.vectors @ mix * share + (1 - share) * torch.randn(len(batch.kinds), 12)
    return mixed.view(-1, 3, 2, 2)


class TestLoop:
    @pytest.mark.parametrize("refresh", [2, 3, 48])
    def test_six_steps_are_three_steps_a_kill_and_three_more(
        self, fitting, hidden, tmp_path, monkeypatch, refresh
    ):
        monkeypatch.setattr("featcodec.fitting.hidden_vectors.REFRESH", refresh)
        whole = fitted(fitting, OPTIONS, hidden)

        def killed(run, _):
            if run.step == 4:
                raise KeyboardInterrupt

        checkpoint = tmp_path / "checkpoint.pt"
        with pytest.raises(KeyboardInterrupt):
            fitted(fitting, OPTIONS, hidden, checkpoint, report=killed, save_every=-1.0)
        assert torch.load(checkpoint, weights_only=True)["step"] == 3
        resumed = fitted(fitting, OPTIONS, hidden, checkpoint)
        assert same(whole.model, resumed.model)
        for name, value in whole.thief.state_dict().items():
            assert torch.equal(value, resumed.thief.state_dict()[name])

    def test_the_memory_is_computed_anew_as_the_codec_moves(self, fitting, hidden, monkeypatch):
        monkeypatch.setattr("featcodec.fitting.hidden_vectors.REFRESH", 3)
        asked = []
        forget = VectorAdversary.forget
        monkeypatch.setattr(
            VectorAdversary, "forget", lambda self, taken: (asked.append(taken), forget(self, taken))[1]
        )
        run = fitted(fitting, replace(OPTIONS, privacy=1.0, adversary_head_start=2), hidden)
        assert asked == [0, 5]  # the first step of the head start, and the fourth of the codec
        first = hidden.of_step(5).start  # and before the next step, an even one, the two oldest are dropped
        numbers = range(first - hidden.memory + 2, first + 6)
        assert torch.equal(run.thief.kinds, hidden.samples(numbers).kinds)
        assert len(run.thief.seen) == len(numbers)

    def test_without_pictures_to_hide_a_fit_is_what_it_was(self, fitting):
        run = fitted(fitting, OPTIONS, None)
        assert run.thief is None
        weights = torch.cat([p.detach().flatten() for p in run.model.parameters()])
        other = fitted(fitting, replace(OPTIONS, hide_weight=7.0), None)
        assert torch.equal(weights, torch.cat([p.detach().flatten() for p in other.model.parameters()]))

    def test_a_checkpoint_of_before_there_was_anything_to_hide_goes_on(self, fitting, tmp_path):
        path = tmp_path / "checkpoint.pt"
        fitted(fitting, replace(OPTIONS, steps=2), None, path)
        kept = torch.load(path, weights_only=True)
        kept["options"] = kept["options"].replace('"hide_weight": 1.0, ', "")
        del kept["thief"]
        torch.save(kept, path)
        assert fitted(fitting, replace(OPTIONS, steps=2), None, path).step == 2


class TestFit:
    @pytest.fixture
    def how(self, model, folder):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))
        return {
            "network": network, "at": "1", "images": str(folder), "hide": str(model),
            "hide_images": str(folder), "size": 64, "batch": 2, "latents": 8, "steps": 2, "hide_crop": 1.0,
        }  # fmt: skip

    def test_a_fit_says_in_its_log_what_is_inferred(self, how, tmp_path):
        featcodec.fit(**how, out=tmp_path)
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert len(lines) == 2
        assert all('"inferred": 0.' in line for line in lines)
        assert len(list(tmp_path.glob("hidden-*.safetensors"))) == 1

    def test_what_is_inferred_falls_as_the_codec_is_fitted(self, how, tmp_path):
        """The start in closed form keeps the colours, linearly; the last twenty of sixty steps count."""
        reached = []
        for weight in (0.0, 100.0):
            more = {"steps": 60, "lr": 0.003, "quality_weights": (10.0, 1000.0), "hide_weight": weight}
            featcodec.fit(**{**how, **more}, optimizer="adamw", out=tmp_path / str(weight))
            rows = map(json.loads, (tmp_path / str(weight) / "log.jsonl").read_text().splitlines())
            reached.append(sum([row["inferred"] for row in rows][-20:]) / 20)
        assert reached[0] > 0.5
        assert reached[1] < 0.7 * reached[0]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                {"hide_images": None},
                r"hide: got no hide_images, expected pictures on which the output of .*onnx",
            ),
            ({"hide": None}, "hide_images: got no hide, expected a network"),
            ({"hide_crop": 0.0}, r"hide_crop: got 0.0, expected a number above 0"),
            ({"hide_weight": -1.0}, r"hide_weight: got -1.0, expected a number of at least 0"),
            ({"hide_hold_out": -1}, r"hide_hold_out: got -1, expected an integer of at least 0"),
            ({"hide_hold_out": 1}, r"hide_images: got pictures of 0, expected 8 at least"),
            ({"hide_hold_out": 2, "hide_images": 3}, r"hide_images: got 3, expected text or a path or None"),
            ({"hide": "missing.onnx"}, r"missing.onnx: No such file"),
            ({"hide_images": "missing"}, r"missing: No such file"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, how, change, said):
        with pytest.raises((FitError, InputError), match=said):
            featcodec.fit(**{**how, **change})

    def test_what_is_no_such_model_is_refused_by_name(self, how, tmp_path):
        (tmp_path / "noise.onnx").write_bytes(b"noise")
        with pytest.raises(CodecFileError, match=r"noise.onnx: not an ONNX model that onnxruntime can run"):
            featcodec.fit(**{**how, "hide": tmp_path / "noise.onnx"})
        with pytest.raises(CodecFileError, match=r"many.onnx: got .*, expected \[\['N', 3, S, S\]\]"):
            featcodec.fit(**{**how, "hide": write_model(tmp_path / "many.onnx", batch=4)})

    def test_without_onnxruntime_the_extra_is_named(self, how, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(
            MissingExtraError, match=r"onnxruntime is missing: pip install 'featcodec\[bench\]'"
        ):
            featcodec.fit(**how)

    def test_a_damaged_picture_is_an_error_by_name(self, how, folder, tmp_path):
        for path in folder.iterdir():
            (tmp_path / path.name).symlink_to(path)
        (tmp_path / "zz_0001.png").write_bytes(b"noise")
        with pytest.raises(ImageError, match=r"zz_0001.png"):
            featcodec.fit(**{**how, "hide_images": tmp_path})

    def test_labels_are_refused(self, how):
        class Labelled(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, i):
                return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)), i

        with pytest.raises(InputError, match="hide: got images with labels, expected a task without"):
            featcodec.fit(**{**how, "images": Labelled()})

    def test_several_processes_are_refused(self, how, monkeypatch):
        from featcodec.fitting import fit
        from featcodec.fitting.processes import Processes

        monkeypatch.setattr(fit, "start_processes", lambda *_: (Processes(None, 0, 2), torch.device("cpu")))
        with pytest.raises(InputError, match="hide: got 2 devices, expected one with it"):
            featcodec.fit(**how, devices=2)

    def test_the_command_line_hides_and_says_what_is_missing(
        self, model, folder, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        Path("hidenet.py").write_text(
            "from torch import nn\n"
            "def network():\n"
            "    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        line = [
            "fit",
            "hidenet:network",
            "--at",
            "1",
            "--images",
            str(folder),
            "--size",
            "64",
            "--batch",
            "2",
        ]
        line += ["--steps", "1", "-o", "mine.safetensors", "--hide", str(model)]
        assert main(line) != 0
        assert "hide: got no hide_images" in capsys.readouterr().err
        assert main([*line, "--hide-images", "nowhere"]) != 0
        assert "nowhere" in capsys.readouterr().err
        assert main([*line, "--hide-images", str(folder)]) == 0
        assert '"inferred": 0.' in Path("mine.fit/log.jsonl").read_text()
        sys.modules.pop("hidenet", None)

    def test_defaults_hide_nothing(self):
        assert Settings(at=1, model="m").hide is None
