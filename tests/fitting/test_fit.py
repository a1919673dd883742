"""Fitting: the objective, the loop, and what a checkpoint keeps."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import featcodec
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.transforms import Widths
from featcodec.errors import FitError, InputError
from featcodec.fitting import loop
from featcodec.fitting.export import export
from featcodec.fitting.log import FitLog
from featcodec.fitting.loop import Figures, Fitting, fit_codec, seconds_a_step
from featcodec.fitting.losses import detection_divergence
from featcodec.fitting.ridge import Ridge
from featcodec.fitting.run import Run
from featcodec.fitting.settings import Options
from featcodec.fitting.start import (
    check_start,
    find_statistics,
    metric_task,
    set_closed_form,
    set_statistics,
    set_weights,
)
from featcodec.fitting.tasks import Detection, FeatureTask, find_task
from featcodec.networks.compared import relative_error
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.training.hyperprior import CodecModel
from featcodec.training.invnet import InvNet, mean_colours
from featcodec.training.quality_weights import QualityWeights

PRIVATE = Options(
    steps=6,
    warm_up=0.0,
    privacy=1.0,
    linear_privacy=1.0,
    adversary_head_start=1,
    adversaries=2,
    adversary_restart=2,
)


def batches(start, count=8):
    for i in range(start, count):
        generator = torch.Generator().manual_seed(i)
        yield torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator), None


@pytest.fixture(scope="module")
def network():
    """A small network, cut at stride 8."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
    tail = nn.Conv2d(16, 16, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    whole = nn.Sequential(*convolutions, *tail).eval().requires_grad_(False)
    return cut_network(whole, describe(whole, NetworkWish(at="3", model="small")), size=64)


@pytest.fixture(scope="module")
def fitting(network):
    x = next(batches(0))[0].float() / 255
    return Fitting(network, find_task(network, "outputs", network.head(x)[0], feature_weight=0.1), batches)


def model():
    torch.manual_seed(1)
    return CodecModel(Widths(16, latents=8, side=4, analysis=8, synthesis=8, hyper=8))


def fitted(fitting, options, checkpoint=None, **how):
    run = Run(model(), options)
    if checkpoint:
        run.resume(checkpoint)
    fit_codec(fitting, run, checkpoint=checkpoint, **how)
    return run


def statistics_of(task, f, *, feature_weight=0.1, kept=None, identity="some pictures"):
    how = {"pixels": 64**2, "feature_weight": feature_weight, "seed": 1, "kept": kept, "identity": identity}
    return find_statistics(task, f, **how)


WEIGHTS = QualityWeights(0.3, 300.0)


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


@pytest.fixture(scope="module")
def narrow(fitting, network, tmp_path_factory):
    """Features, their statistics, and the file of a codec of 4 latents in closed form."""
    f = network.head(torch.rand(24, 3, 64, 64, generator=torch.Generator().manual_seed(7)))[0]
    torch.manual_seed(1)
    small = CodecModel(Widths(16, latents=4, side=4, analysis=8, synthesis=8, hyper=8))
    found = statistics_of(fitting.task, f)
    set_closed_form(small, found, f, WEIGHTS)
    path = tmp_path_factory.mktemp("narrow") / "small.safetensors"
    export(small, network, name="small", description="").save(path)
    return f, found, CodecFile.load(path)


class TestObjective:
    def test_distortion_of_the_uncoded_features_is_zero_and_of_others_is_not(self):
        torch.manual_seed(0)
        network = YOLOv5Cut.of(YOLOv5("n", classes=6).eval().requires_grad_(False), at=4)
        with torch.no_grad():
            f = network.head(next(batches(0))[0].float() / 255)[0]
            task = find_task(network, "outputs", f, feature_weight=0.5)
            assert isinstance(task, Detection)
            target = task.target(f, None)
            # the features, and the six maps behind them that other layers look back to
            assert [m.shape[1] for m in target] == [64, 128, 128, 64, 64, 128, 256]
            assert torch.equal(task.distortion(f, target), torch.zeros(2))
            worse = f + 0.5 * torch.randn_like(f)
            got = task.distortion(worse, target)
            maps = [relative_error(a, b) for a, b in zip(network.detector.maps(worse), target, strict=True)]
            with_outputs = find_task(network, "outputs", f, feature_weight=0.5, output_weight=2.0)
            outputs = detection_divergence(network.tail((worse,)), network.tail((f,)))
            assert torch.equal(with_outputs.distortion(f, target), torch.zeros(2))
        torch.testing.assert_close(got, 0.5 * maps[0] + sum(maps[1:]) / 6)
        torch.testing.assert_close(with_outputs.distortion(worse, target), got + 2 * outputs)

    def test_divergence_of_detections_by_hand(self):
        """One place of one anchor, two classes; the wanted box counts by the wanted objectness."""
        wanted = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 2.0]).view(1, 1, 1, 1, 7)
        got = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0]).view(1, 1, 1, 1, 7)

        def divergence(p, q):
            return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

        there, car = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-2))
        expected = (divergence(there, 0.5) + there * (divergence(car, 0.5) + 0.25)) / (there + 1)
        assert float(detection_divergence([got], [wanted])) == pytest.approx(expected, rel=1e-5)

    def test_an_adversary_that_paints_the_mean_colour_reaches_the_bound_of_privacy(self):
        picture = torch.rand(2, 3, 32, 32)
        for options in (Options(), Options(adversary_loss="squared")):
            bound = options.rebuilt(mean_colours(picture), picture)
            assert torch.equal(options.rebuilt(picture, picture), torch.zeros(2))
            assert (options.rebuilt(0.9 * mean_colours(picture) + 0.1 * picture, picture) < bound).all()
        assert float(bound.mean()) == pytest.approx(1.0)

    @pytest.mark.parametrize("stride", [4, 8, 16, 64])
    def test_the_adversary_paints_half_the_resolution_whatever_the_stride(self, stride):
        painted = InvNet(8, width=16, stride=stride)(torch.zeros(1, 8, 3, 5))
        assert painted.shape == (1, 3, 3 * stride // 2, 5 * stride // 2)


class TestStart:
    def test_the_start_is_a_codec_that_spends_more_on_less_error(self, network, fitting):
        f = network.head(torch.rand(24, 3, 64, 64))[0]
        fresh = CodecModel(Widths(16, latents=64, side=4, analysis=8, synthesis=8, hyper=8))
        found = statistics_of(fitting.task, f)
        set_closed_form(fresh, found, f, WEIGHTS)
        rates, errors = [], []
        with torch.no_grad():
            for quality in range(1, 9):
                coded = fresh(f, torch.full((len(f),), float(quality)))
                rates.append(float((coded.bits_y + coded.bits_z).mean()) / 64**2)
                errors.append(float(relative_error(coded.f_hat, f).mean()))
        assert rates == sorted(rates)
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.05 * errors[0]

    def test_the_metric_foretells_what_a_small_error_costs_the_task(self, network):
        f = network.head(torch.rand(64, 3, 64, 64))[0]
        task = find_task(network, "outputs", f, feature_weight=0.3)
        metric = metric_task(statistics_of(task, f, feature_weight=0.3), 8)
        error = 0.02 * f.std() * torch.randn(f.shape, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            foretold = metric.distortion(f + error, metric.target(f, None)).mean()
            # the divergence of class probabilities, which `outputs` has beside the squared error, is left out
            got = [
                relative_error(a, b) for a, b in zip(task.compared(f + error), task.compared(f), strict=True)
            ]
            cost = (torch.stack(got).mean(0) + 0.3 * relative_error(f + error, f)).mean()
        assert float(foretold) == pytest.approx(float(cost), rel=0.15)

    def test_the_metric_of_an_own_loss_is_that_of_what_the_network_returns(self, network):
        f = network.head(torch.rand(8, 3, 64, 64))[0]
        own = find_task(network, lambda got, wanted: (got - wanted).square().mean(1), f, feature_weight=0.1)
        outputs = find_task(network, "outputs", f, feature_weight=0.1)
        assert torch.equal(statistics_of(own, f).metric, statistics_of(outputs, f).metric)

    def test_statistics_are_kept_and_measured_again_for_others(self, network, fitting, tmp_path):
        f = network.head(torch.rand(4, 3, 64, 64))[0]
        kept = tmp_path / "closed-form.pt"
        first = statistics_of(fitting.task, f, kept=kept)
        written = kept.read_bytes()
        again = statistics_of(None, f, kept=kept)  # no task is asked
        assert torch.equal(first.metric, again.metric)
        statistics_of(fitting.task, f, kept=kept, identity="other pictures")
        assert kept.read_bytes() != written
        kept.write_bytes(b"damaged")
        assert torch.equal(statistics_of(fitting.task, f, kept=kept).metric, first.metric)

    def test_statistics_normalise_the_features_channel_by_channel(self, network):
        f = network.head(torch.rand(4, 3, 64, 64))[0]
        fresh = model()
        set_statistics(fresh, f)
        assert torch.allclose(fresh.g_a.mean, f.mean((0, 2, 3)))
        assert (fresh.g_s.deviation > 0).all()

    def test_a_loss_that_is_not_finite_is_found_before_the_first_step(self, fitting, network):
        broken = model()
        with torch.no_grad():
            broken.g_s.net[0].weight.fill_(float("nan"))
        f = network.head(torch.rand(2, 3, 64, 64))[0]
        with pytest.raises(FitError, match="the distortion is not finite before the first step"):
            check_start(broken, fitting.task, f, None)

    def test_a_finished_codec_is_where_another_fit_starts(self, fitting, network, tmp_path):
        f = network.head(torch.rand(4, 3, 64, 64))[0]
        first = fitted(fitting, Options(steps=6)).model
        export(first, network, name="small", description="").save(tmp_path / "small.safetensors")
        again = model()
        set_weights(again, [CodecFile.load(tmp_path / "small.safetensors")], f)
        quality = torch.tensor([1.0, 3.5, 6.0, 8.0])
        with torch.no_grad():
            was, now = first(f, quality), again(f, quality)
        # float16 moves some latents to the next whole number
        assert float((was.f_hat - now.f_hat).abs().mean()) < 0.05 * float(was.f_hat.std())
        assert all(
            torch.equal(a, b) for a, b in zip(first.h_s.integers()[0], again.h_s.integers()[0], strict=True)
        )
        assert float(now.bits_y.mean()) == pytest.approx(float(was.bits_y.mean()), rel=0.05)
        assert float(now.bits_z.mean()) < 1.1 * float(was.bits_z.mean())

    def test_a_codec_is_widened_by_what_it_leaves_over(self, fitting, narrow):
        f, found, file = narrow
        models = []
        for latents, wider in ((4, None), (4, (found, WEIGHTS)), (20, (found, WEIGHTS))):
            torch.manual_seed(1)
            models.append(CodecModel(Widths(16, latents=latents, side=4, analysis=8, synthesis=8, hyper=8)))
            set_weights(models[-1], [file], f, wider)
        same_width, asked_for_none, wide = models
        metric = metric_task(found, 8)
        quality = torch.full((len(f),), 8.0)
        with torch.no_grad():
            was, still, now = (m(f, quality) for m in models)
            before, after = (float(metric.distortion(c.f_hat, f).mean()) for c in (was, now))
            target = fitting.task.target(f, None)
            real = [float(fitting.task.distortion(c.f_hat, target).mean()) for c in (was, now)]
            y, y_wide = same_width.g_a(f), wide.g_a(f)
        assert torch.equal(was.f_hat, still.f_hat)  # nothing is added to a codec that is as wide
        assert same(same_width.g_s, asked_for_none.g_s)
        assert torch.equal(y, y_wide[:, :4])  # what there was is coded as it was
        assert after < 0.4 * before
        assert real[1] < 0.5 * real[0]
        # most worth first, and of about the bits that their scales say
        worth = (
            y_wide[:, 4:].var((0, 2, 3)) * wide.g_s.linear.weight[:, 4:].square().sum((0, 2, 3))
        ).tolist()
        assert worth[0] > worth[5] > worth[10]
        loss = [
            float((c.bits_y + c.bits_z).mean()) / 64**2 + 300 * d for c, d in ((was, before), (now, after))
        ]
        assert loss[1] < loss[0]

    def test_a_codec_is_not_made_narrower(self, narrow, tmp_path):
        path = tmp_path / "small.safetensors"
        narrow[2].save(path)
        net = nn.Sequential(nn.Conv2d(3, 16, 3, 8, 1), nn.Conv2d(16, 4, 1))
        pictures = TensorDataset(torch.rand(4, 3, 64, 64), torch.zeros(4))
        with pytest.raises(InputError, match="latents: got 3, expected at least 4, as 'small' has"):
            featcodec.fit(net, at="0", images=pictures, steps=0, size=64, batch=2, start=path, latents=3)


class TestJournal:
    def test_the_minutes_of_a_fit_that_goes_on_are_added_to_those_before(self, tmp_path):
        figures = Figures(*[1.0] * 8)
        row = asdict(figures)
        earlier = [{"step": 1, **row, "cpu_minutes": 2.5}, {"step": 2, **row, "cpu_minutes": 4.0}]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in earlier))
        run = Run(model(), Options(steps=3))
        run.step = 1  # where the checkpoint stood; what came after it is done again
        with FitLog(tmp_path, run) as journal:
            until = time.process_time() + 0.6
            while time.process_time() < until:
                pass
            run.step = 3
            journal(run, figures)
        rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 3]
        assert rows[1]["cpu_minutes"] == pytest.approx(2.5 + 0.01, abs=0.009)

    def test_a_log_of_a_release_that_did_not_measure_minutes_goes_on(self, tmp_path):
        row = {"step": 1, **asdict(Figures(*[1.0] * 8))}
        (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
        run = Run(model(), Options(steps=3))
        run.step = 1
        with FitLog(tmp_path, run) as journal:
            run.step = 3
            journal(run, Figures(*[1.0] * 8))
        assert "cpu_minutes" in (tmp_path / "log.jsonl").read_text().splitlines()[1]


class TestRidge:
    """The linear attacker against what numpy's least squares gives."""

    def test_a_picture_that_the_latents_show_is_explained_and_noise_is_not(self):
        generator = torch.Generator().manual_seed(0)
        seen, blind = Ridge(48, 8), Ridge(4, 8)
        for _ in range(30):
            picture = torch.rand(2, 3, 32, 32, generator=generator)
            shown, _ = seen.explained(F.pixel_unshuffle(picture, 4), picture)
            hidden, _ = blind.explained(torch.rand(2, 4, 8, 8, generator=generator), picture)
        assert shown.shape == (2,)
        assert float(shown.min()) > 0.98
        assert float(hidden.max()) < 0.15

    def test_its_gradient_makes_latents_show_less(self):
        generator = torch.Generator().manual_seed(0)
        picture = torch.rand(2, 3, 32, 32, generator=generator)
        y_hat = F.pixel_unshuffle(picture, 4).requires_grad_()
        attacker = Ridge(48, 8)
        shown, _ = attacker.explained(y_hat, picture)
        (moved,) = torch.autograd.grad(shown.sum(), y_hat)
        with torch.no_grad():
            less, _ = attacker.explained(y_hat - 0.3 * moved / moved.std() * y_hat.std(), picture)
        assert (less < shown).all()

    def test_the_share_is_that_of_ordinary_least_squares(self):
        generator = torch.Generator().manual_seed(1)
        picture = torch.rand(8, 3, 16, 16, generator=generator)
        y_hat = picture.mean((2, 3), keepdim=True).mean(1, keepdim=True).expand(8, 1, 4, 4)
        y_hat = y_hat + 0.02 * torch.rand(8, 1, 4, 4, generator=generator)
        got, colour = Ridge(1, 8).explained(y_hat, picture)
        x = F.unfold(y_hat, 3, padding=1).transpose(1, 2).reshape(-1, 9)
        x = np.c_[x.numpy(), np.ones(len(x))]
        t = F.pixel_unshuffle(picture, 4).flatten(2).transpose(1, 2).reshape(len(x), -1).numpy()
        rest = t - x @ np.linalg.lstsq(x, t, rcond=None)[0]
        share = 1 - (rest**2).sum() / ((t - t.mean(0)) ** 2).sum()
        assert float(got.mean()) == pytest.approx(share, abs=0.02)
        # the same of each picture by its mean colour
        centred, mean = picture - picture.mean((2, 3), keepdim=True), picture.mean((0, 2, 3))[:, None, None]
        explained = 1 - centred.square().sum() / (picture - mean).square().sum()
        assert float(colour.mean()) == pytest.approx(float(explained), abs=0.02)


class TestLoop:
    @pytest.mark.parametrize("options", [PRIVATE, Options(steps=6, optimizer="adamw", bf16=False)])
    def test_six_steps_are_three_steps_a_kill_and_three_more(self, fitting, tmp_path, options):
        whole = fitted(fitting, options)
        seen = []

        def killed(run, _):
            seen.append(run.step)
            if run.step == 4:
                raise KeyboardInterrupt

        checkpoint = tmp_path / "checkpoint.pt"
        with pytest.raises(KeyboardInterrupt):
            fitted(fitting, options, checkpoint, report=killed, save_every=-1.0)
        assert torch.load(checkpoint, weights_only=True)["step"] == 3
        resumed = fitted(fitting, options, checkpoint, report=lambda run, _: seen.append(run.step))
        assert seen == [1, 2, 3, 4, 4, 5, 6]
        assert same(whole.model, resumed.model)
        for (one, _), (other, _) in zip(whole.adversaries, resumed.adversaries, strict=True):
            assert same(one, other)

    def test_the_features_are_the_task_until_the_fit_is_warm(self, fitting):
        asked = []

        class Asked:
            def target(self, f, labels):  # noqa: ARG002
                return f

            def distortion(self, f_hat, target):
                asked.append(len(f_hat))
                return fitting.warm_up.distortion(f_hat, target)

        spied = replace(fitting, task=Asked())
        run = Run(model(), Options(steps=6, warm_up=0.5))
        fit_codec(spied, run, checkpoint=None, report=lambda run, _: asked.append(-run.step))
        assert asked == [-1, -2, -3, 2, -4, 2, -5, 2, -6]

    def test_the_pace_is_that_of_both_halves(self, fitting, monkeypatch):
        run = Run(model(), Options(steps=8, warm_up=0.25))
        monkeypatch.setattr(loop, "_paced", lambda f, _: 1.0 if isinstance(f.warm_up, FeatureTask) else 3.0)
        assert seconds_a_step(fitting, run) == 0.25 * 1.0 + 0.75 * 3.0

    def test_the_average_follows_the_weights_and_is_kept(self, fitting, tmp_path):
        checkpoint = tmp_path / "checkpoint.pt"
        run = fitted(fitting, Options(steps=3, average=0.5), checkpoint)
        start, last = model().g_s.net[0].weight.detach(), run.model.g_s.net[0].weight.detach()
        average = run.average.g_s.net[0].weight
        assert 0 < float((average - start).norm()) < float((last - start).norm())
        resumed = Run(model(), Options(steps=3, average=0.5))
        resumed.resume(checkpoint)
        assert same(resumed.average, run.average)

    def test_a_fit_of_no_steps_saves_where_it_starts(self, fitting, tmp_path):
        seen = []
        run = Run(model(), Options(steps=0))
        fit_codec(fitting, run, checkpoint=tmp_path / "c.pt", saved=lambda run: seen.append(run.step))
        assert seen[0] == 0
        assert same(run.average, model())
        assert (tmp_path / "c.pt").exists()

    def test_a_fit_moves_the_codec_and_leaves_the_network_alone(self, fitting):
        before = {k: v.clone() for k, v in fitting.network.network.state_dict().items()}
        run = fitted(fitting, Options(steps=2))
        assert not same(run.model, model())
        assert all(torch.equal(v, before[k]) for k, v in fitting.network.network.state_dict().items())

    def test_the_adversary_trains_alone_before_the_codec_moves(self, fitting):
        run = Run(model(), Options(steps=5, privacy=1.0, adversary_head_start=2))
        start = {k: v.clone() for k, v in run.adversaries[0][0].state_dict().items()}
        fit_codec(Fitting(fitting.network, fitting.task, lambda s: batches(s, 2)), run, checkpoint=None)
        assert run.step == 0
        assert same(run.model, model())
        assert any(not torch.equal(v, start[k]) for k, v in run.adversaries[0][0].state_dict().items())

    def test_adversaries_take_turns_in_starting_afresh(self):
        run = Run(model(), PRIVATE)
        before = [network for network, _ in run.adversaries]
        replaced = []
        for step in range(7):
            run.step = step
            run.restart()
            now = [network for network, _ in run.adversaries]
            replaced.append([i for i in range(2) if now[i] is not before[i]])
            before = now
        assert replaced == [[], [], [1], [], [0], [], [1]]

    def test_without_privacy_there_is_no_adversary(self):
        assert Run(model(), Options(steps=1)).adversaries == []

    def test_a_diverging_fit_stops_with_the_reason_and_keeps_the_last_good_checkpoint(
        self, fitting, tmp_path
    ):
        checkpoint = tmp_path / "checkpoint.pt"

        def spoiled(run, _):
            if run.step == 2:
                with torch.no_grad():
                    run.model.g_s.net[0].weight.fill_(float("nan"))

        endless = Fitting(fitting.network, fitting.task, lambda start: batches(start, 40))
        with pytest.raises(FitError, match=r"step 12: the loss is not finite.*checkpoint\.pt"):
            fitted(endless, Options(steps=40), checkpoint, report=spoiled, save_every=-1.0)
        kept = torch.load(checkpoint, weights_only=True)
        assert kept["step"] == 2

    def test_figures_say_rate_distortion_and_what_the_adversary_sees(self, fitting):
        lines = []
        fitted(fitting, PRIVATE, report=lambda _, figures: lines.append(figures))
        assert len(lines) == 6
        assert all(f.bpp_y > 0 and f.distortion > 0 and 0 < f.psnr < 60 and f.bound > 0 for f in lines)
        assert "bpp, distortion" in str(lines[0])
        assert "dB" in str(lines[0])
        assert "% linear" in str(lines[0])


class TestCheckpoint:
    def test_a_checkpoint_of_other_settings_is_refused_by_name(self, tmp_path):
        path = tmp_path / "checkpoint.pt"
        Run(model(), Options(steps=3)).save(path)
        with pytest.raises(FitError, match=r"of a fit with lr = 0.0003, got 0.1"):
            Run(model(), Options(steps=3, lr=0.1)).resume(path)
        with pytest.raises(FitError, match="network, pictures and sizes"):
            Run(model(), Options(steps=3), identity="other").resume(path)

    def test_a_checkpoint_of_another_version_of_the_fitting_code_is_refused(self, tmp_path, monkeypatch):
        path = tmp_path / "checkpoint.pt"
        Run(model(), Options(steps=3)).save(path)
        monkeypatch.setattr("featcodec.fitting.run.FITTING_VERSION", 99)
        with pytest.raises(FitError, match=r"of a fit with version = \d+, got 99"):
            Run(model(), Options(steps=3)).resume(path)

    @pytest.mark.parametrize(
        "other",
        [
            {"model": {"g_a.0.weight": torch.zeros(1)}},
            {"optimizer": {}},
            {"adversaries": [(1, 2)]},
            {"options": "[]"},
            {"options": 3},
            {"step": None},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_a_checkpoint_of_another_shape_is_an_error_by_name(self, tmp_path, other):
        path = tmp_path / "checkpoint.pt"
        Run(model(), Options(steps=3)).save(path)
        torch.save(torch.load(path, weights_only=True) | other, path)
        with pytest.raises(FitError, match=r"checkpoint.pt: kept by another version, or damaged"):
            Run(model(), Options(steps=3)).resume(path)

    @pytest.mark.parametrize("line", ["[1, 0.5]", '{"step": 1}', '{"step": 1, "psnr'])
    def test_a_log_with_other_columns_is_an_error_by_name(self, tmp_path, line):
        run = Run(model(), Options(steps=3))
        run.step = 1
        (tmp_path / "log.jsonl").write_text(line + "\n")
        with pytest.raises(FitError, match=r"log.jsonl: kept by another version"):
            FitLog(tmp_path, run)

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02c__builtin__\nprint\n."])
    def test_what_is_no_checkpoint_is_refused(self, tmp_path, content):
        path = tmp_path / "checkpoint.pt"
        path.write_bytes(content)
        with pytest.raises(FitError, match="no checkpoint of a fit"):
            Run(model(), Options(steps=3)).resume(path)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"steps": -1}, "steps: got -1"),
            ({"average": 1.0}, "average: got 1.0"),
            ({"privacy": -1.0}, "privacy: got -1.0"),
            ({"optimizer": "sgd"}, "expected muon or adamw"),
            ({"adversary_loss": "cubed"}, "expected edges or squared"),
            ({"quality_weights": (3.0, 1.0)}, "expected two rising numbers"),
            ({"quality_bend": 0.0}, "expected a number above 0"),
            ({"lr": float("nan")}, "lr: got nan"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, change, said):
        with pytest.raises((FitError, InputError), match=said):
            Options(**change)
