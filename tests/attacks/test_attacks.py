"""The attacks: what a thief collects, trains and searches for, and how it is measured. On a small codec."""

from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, coffee

from featcodec.attacks.attack import AttackPlan, attack, rebuild
from featcodec.attacks.attacker import find_attackers
from featcodec.attacks.attacker_networks import KINDS, AttackerNetwork
from featcodec.attacks.faces import Verification
from featcodec.attacks.network_attacker import NetworkAttacker
from featcodec.attacks.observations import collect
from featcodec.attacks.outcomes import Outcome, mark_strongest
from featcodec.attacks.targets import CodecTarget, CoderTarget, RawTarget, as_observation, shoot, window
from featcodec.attacks.training import Recipe, load_trained, steps_within, train
from featcodec.attacks.verification import Score
from featcodec.attacks.whitebox import Search, WhiteBox, search
from featcodec.codec.codec_file import network_of
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.commands.main import main
from featcodec.errors import InputError
from featcodec.evaluation.closeness import blind_psnr, closeness
from featcodec.evaluation.means import mean, mean_interval
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Attacked
from featcodec.fitting.export import export
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.pictures.geometry import Geometry
from featcodec.training.hyperprior import CodecModel

QUICK = Recipe(steps=4, batch=2, crop=64, curve=2)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    network = YOLOv5("n", classes=2).eval().half().float()
    model = CodecModel(Widths(64, latents=8, side=4, analysis=8, synthesis=8, hyper=8))
    with torch.no_grad():
        model.log_gain += 8  # else nothing but zeros would be sent
    file = export(
        model,
        YOLOv5Cut.of(network, at=4, classes=("a", "b")),
        name="tiny",
        description="",
        embed=network,
    )
    return FeatureCodec(file, network_of(file, None))


@pytest.fixture(scope="module")
def target(codec):
    return CodecTarget(codec, (2.0, 8.0))


def told(accuracy: float, tar: float) -> Verification:
    """So much against photographs, and less among files."""
    spread = (accuracy - 2, accuracy + 2)
    return Verification(Score(accuracy, spread, tar, 0.6, 600), Score(50.0, (48.0, 52.0), 1.0, 0.5, 600))


def save_crops(folder: Path, picture, count: int) -> list[Path]:
    for i in range(count):
        Image.fromarray(picture[8 * i : 8 * i + 100, 5 * i : 5 * i + 135]).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return save_crops(tmp_path_factory.mktemp("train"), astronaut(), 22)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return save_crops(tmp_path_factory.mktemp("eval"), coffee(), 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def seen(target, photographs, work):
    return collect(target, photographs, work=work, training=True)


class Lossless:
    """A coder whose files are the canvas's pixels."""

    name, kind, gives, points, identity = "pixels", "image", "canvas", (1.0,), "pixels 1"

    def encode(self, shot, point):  # noqa: ARG002
        h, w = shot.x.shape[2:]
        return bytes([h // 8, w // 8]) + (shot.x[0] * 255).round().byte().numpy().tobytes()

    def decode(self, data):
        h, w = data[0] * 8, data[1] * 8
        x = torch.frombuffer(bytearray(data[2:]), dtype=torch.uint8).view(1, 3, h, w)
        return x.float() / 255, Geometry.fit(w, h)


# ---- what a thief has


def test_an_observation_is_the_decoded_latents_of_a_real_file(codec, target, others, work):
    one = collect(target, others, work=work, training=False)[1]
    data = codec.encode(others[0], quality=8)
    assert (one.path, one.point, one.bytes) == (others[0], 8.0, len(data))
    assert torch.equal(one.tensor, codec.decode_latents(data)[0][0].half())
    x, geometry = codec.network.canvas.load(others[0])
    assert torch.equal(one.picture, (x[0] * 255).round().byte())
    assert one.geometry == geometry


def test_training_photographs_are_seen_at_all_points_and_half_of_the_time_in_a_mirror(seen, photographs):
    assert len(seen) == 2 * len(photographs)
    assert {seen.point(i) for i in range(len(seen))} == {2.0, 8.0}
    plain, mirror = seen[0], seen[1]
    here = window(plain.geometry)
    assert torch.equal(mirror.picture[here], plain.picture[here].flip(-1))
    assert not torch.equal(mirror.tensor, plain.tensor)


def test_a_crop_is_cut_alike_from_observation_and_picture(seen):
    for i in (2, 3):
        tensor, picture = seen.crop(i, 32, 48, 64)
        assert torch.equal(tensor, seen[i].tensor[:, 2:6, 3:7].float())
        assert torch.equal(picture, seen[i].picture[:, 32:96, 48:112])


def test_what_was_collected_is_read_again_and_what_is_missing_is_made_again(target, photographs, tmp_path):
    first = collect(target, photographs, work=tmp_path, training=True)[40]
    files = sorted(tmp_path.rglob("*.safetensors"))
    before = {f: f.stat().st_mtime_ns for f in files}
    assert len(files) == 2
    copies = tmp_path / "copies"
    copies.mkdir()
    copied = [Path(shutil.copy(p, copies)) for p in photographs]  # with times of their own
    collect(target, copied, work=tmp_path, training=True)
    assert {f: f.stat().st_mtime_ns for f in sorted(tmp_path.rglob("*.safetensors"))} == before
    files[0].unlink()
    again = collect(target, photographs, work=tmp_path, training=True)[40]
    assert torch.equal(again.tensor, first.tensor)
    assert torch.equal(again.picture, first.picture)


def test_raw_features_and_decoded_pictures_are_targets_like_latents(codec, others, work):
    raw = collect(RawTarget(codec.network), others, work=work, training=False)
    assert raw.shape == (64, 8)
    assert torch.equal(raw[0].tensor, shoot(codec.network, others[0]).f[0].half())
    decoded = collect(CoderTarget(Lossless(), codec.network, (1.0,)), others, work=work, training=False)
    assert decoded.shape == (192, 8)
    assert torch.equal(decoded[0].tensor, decoded[0].picture)
    assert torch.equal(as_observation(decoded[0].tensor)[0, 1, 2], decoded[0].picture[0, 8, 16] / 255)


# ---- training


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [2, 4, 8, 16, 32, 64])
def test_attackers_rebuild_the_full_resolution_and_read_the_quality(kind, stride):
    torch.manual_seed(0)
    attacker = AttackerNetwork(kind, channels=4, stride=stride, points=(2, 8))
    seen = torch.rand(1, 4, 5, 7)
    low, high = (attacker(seen, torch.tensor([q])) for q in (2.0, 8.0))
    assert low.shape == (1, 3, 5 * stride, 7 * stride)
    assert not torch.equal(low, high)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(kind, seen, tmp_path, monkeypatch):
    whole = train(kind, seen, QUICK, checkpoint=tmp_path / "whole.pt")
    steps = []

    def interrupted(*_):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return "steps"

    with monkeypatch.context() as patch:
        patch.setattr("featcodec.attacks.training._progress_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(kind, seen, QUICK, checkpoint=tmp_path / "parts.pt", save_every=0.0)
    assert torch.load(tmp_path / "parts.pt", weights_only=True)["step"] == 2
    parts = train(kind, seen, QUICK, checkpoint=tmp_path / "parts.pt")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parts.network.state_dict()[name]), name
    assert parts.curve == whole.curve
    assert [step for step, _ in whole.curve] == [2, 4]
    assert load_trained(tmp_path / "parts.pt").curve == whole.curve


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_training_that_is_told_to_stop_goes_on_to_the_same_attacker(
    seen, tmp_path, monkeypatch, capsys, number, error
):
    whole = train("invnet", seen, QUICK, checkpoint=tmp_path / "whole.pt")
    steps = []

    def told(*_):
        steps.append(1)
        if len(steps) == 2:
            signal.raise_signal(number)
        return "steps"

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr("featcodec.attacks.training._progress_line", told)
        with pytest.raises(error):
            train("invnet", seen, QUICK, checkpoint=tmp_path / "parts.pt")
    signal.signal(signal.SIGINT, before)
    assert torch.load(tmp_path / "parts.pt", weights_only=True)["step"] == 2
    assert "attack: stopped at step 2 of 4 of a training; started again" in capsys.readouterr().err
    parts = train("invnet", seen, QUICK, checkpoint=tmp_path / "parts.pt")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parts.network.state_dict()[name]), name
    assert parts.curve == whole.curve


def test_training_learns_what_can_be_known(codec, photographs, work, tmp_path):
    pixels = CoderTarget(Lossless(), codec.network, (1.0,))
    seen = collect(pixels, photographs, work=work, training=True)
    curve = train("unet", seen, replace(QUICK, steps=30, curve=3), checkpoint=tmp_path / "c.pt").curve
    assert curve[-1][1] > curve[0][1] + 1


def test_too_few_photographs_of_the_size_of_a_crop_are_refused(seen, tmp_path):
    with pytest.raises(InputError, match="0 pictures of 192 x 192 px"):
        train("unet", seen, replace(QUICK, crop=192), checkpoint=tmp_path / "c.pt")


def test_a_checkpoint_of_another_release_is_named_but_a_finished_attacker_is_taken(seen, tmp_path):
    path = tmp_path / "c.pt"
    done = train("invnet", seen, QUICK, checkpoint=path)
    kept = torch.load(path, weights_only=True)
    torch.save(kept | {"optimizer": {"sgd": {}}}, path)
    assert train("invnet", seen, QUICK, checkpoint=path).curve == done.curve
    torch.save(kept | {"optimizer": {"sgd": {}}, "step": 1}, path)
    with pytest.raises(InputError, match=r"c\.pt: got a training begun by another release"):
        train("invnet", seen, QUICK, checkpoint=path)


def test_a_damaged_checkpoint_is_named(seen, tmp_path):
    (tmp_path / "c.pt").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(InputError, match=r"c\.pt: no checkpoint"):
        train("unet", seen, QUICK, checkpoint=tmp_path / "c.pt")


def test_minutes_become_steps_once_and_stay_those(seen, tmp_path):
    first = steps_within(0.1, "invnet", seen, QUICK, kept=tmp_path)
    assert first.steps % 100 == 0
    assert first.origin == origin()
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"steps": 1234}))
    assert steps_within(0.1, "invnet", seen, QUICK, kept=tmp_path).steps == 1234
    kept.write_text("{}")
    with pytest.raises(InputError, match=rf"{kept.name}: kept by another version.*steps: got no such field"):
        steps_within(0.1, "invnet", seen, QUICK, kept=tmp_path)


def test_an_attacker_of_decoded_pictures_begins_with_the_picture():
    attacker = AttackerNetwork("unet", channels=192, stride=8, points=(1,), picture=True)
    with torch.no_grad():
        for p in attacker.body.paint.parameters():
            p.zero_()
        picture = torch.rand(1, 3, 64, 64)
        rebuilt = attacker(torch.nn.functional.pixel_unshuffle(picture, 8), torch.ones(1))
    assert torch.allclose(rebuilt, picture, atol=1e-6)


# ---- white-box


def test_a_search_explains_the_observation_better_than_its_start(codec, target, others, work):
    one = collect(target, others, work=work, training=False)[1]
    grey = torch.full((3, 128, 160), 114 / 255)
    found = search(target, one, grey, Search(steps=12, lr=0.05, tv=0.0, near=0.0))

    def misfit(x):
        y = codec.file.g_a(codec.network.head(x[None])[0])[0]
        return float(((y - one.tensor) / codec.file.inverse_gain(224)[:, None, None]).square().mean())

    assert misfit(found) < 0.9 * misfit(grey)
    outside = torch.ones_like(found, dtype=torch.bool)
    outside[window(one.geometry)] = False
    assert torch.equal(found[outside], grey[outside])


def test_a_decoded_picture_has_no_gradient_to_search_by(codec, others, work):
    blind = CoderTarget(Lossless(), codec.network, (1.0,))
    one = collect(blind, others, work=work, training=False)[0]
    with pytest.raises(InputError, match="pixels"):
        search(blind, one, one.picture / 255, Search(steps=1))


# ---- measures


def test_psnr_is_that_of_all_pixels_and_falls_apart_into_edges_and_the_rest():
    truth = torch.zeros(3, 64, 64)
    truth[:, :, 32:] = 1.0
    rebuilt = truth.clone()
    rebuilt[:, :, 28:36] = 0.5
    rebuilt[:, :, :20] = 0.1
    found = closeness(rebuilt, truth)
    assert found.psnr == pytest.approx(-10 * math.log10((8 * 0.25 + 20 * 0.01) / 64))
    assert found.psnr_edges < 7 < 20 < found.psnr_flat
    assert found.blind == pytest.approx(-10 * math.log10(0.25))


def test_a_picture_without_edges_has_no_figure_for_them_and_a_tiny_one_no_ms_ssim():
    found = closeness(torch.full((3, 32, 90), 0.5), torch.full((3, 32, 90), 0.4))
    assert math.isnan(found.psnr_edges)
    assert math.isnan(found.ms_ssim)
    assert mean([found.psnr_edges, 3.0]) == 3.0


@pytest.mark.parametrize("side", [33, 100, 161])
def test_ms_ssim_takes_small_sides_and_is_one_for_the_same_picture(side):
    truth = torch.from_numpy(astronaut()[:side, :200]).permute(2, 0, 1) / 255
    assert closeness(truth, truth).ms_ssim == pytest.approx(1.0)


def test_the_blind_attacker_paints_the_mean_colour():
    truth = torch.rand(3, 20, 20)
    painted = truth.mean((1, 2), keepdim=True).expand_as(truth)
    assert blind_psnr(truth) == pytest.approx(closeness(painted, truth).psnr, abs=1e-4)


def test_the_interval_holds_the_mean_and_is_seeded():
    values = np.random.default_rng(0).normal(15, 2, 100).tolist()
    low, high = mean_interval(values)
    assert low < mean(values) < high
    assert mean_interval(values) == (low, high)


# ---- all of it


@pytest.fixture(scope="module")
def plan():
    networks = (NetworkAttacker(kind, QUICK, shorter=0.5) for kind in KINDS)
    return AttackPlan((*networks, WhiteBox(Search(steps=2, pictures=2))), pictures=1)


def test_a_report_has_every_attacker_at_every_point_and_is_not_made_twice(
    codec, target, photographs, others, work, plan
):
    targets = [target, CoderTarget(Lossless(), codec.network, (1.0,))]
    report = attack(targets, training=photographs, evaluation=others, work=work, plan=plan)
    met = [(r.target, r.point, r.attacker, r.budget, r.pictures) for r in report.rows]
    of_codec = [
        ("tiny", q, *rest)
        for q in (2.0, 8.0)
        for rest in (("invnet", 4, 3), ("unet", 4, 3), ("white-box", 2, 2))
    ]
    of_coder = [("pixels", 1.0, *rest) for rest in (("invnet", 4, 3), ("unet", 4, 3), ("as decoded", 0, 3))]
    assert met == of_codec + of_coder
    assert [(c.target, c.attacker, c.budget) for c in report.curves][:2] == [
        ("tiny", "invnet", 2),
        ("tiny", "invnet", 4),
    ]
    assert report.outcomes[0].rebuilt[0].shape == (100, 135, 3)
    assert [r.attacker for r in report.rows if r.strongest][-1] == "as decoded"
    files = {f: f.stat().st_mtime_ns for f in work.rglob("*") if f.is_file()}
    again = attack(targets, training=photographs, evaluation=others, work=work, plan=plan)
    assert again.rows == report.rows
    assert {f: f.stat().st_mtime_ns for f in work.rglob("*") if f.is_file()} == files


def test_what_is_rebuilt_for_faces_has_the_photographs_own_size(target, photographs, work, plan, tmp_path):
    Image.fromarray(astronaut()[:500, :450]).save(tmp_path / "large.png")
    seen = collect(target, photographs, work=work, training=True)
    rebuilder = plan.attackers[0].prepare(target, seen, work=work)
    for path, size in ((photographs[0], (100, 135, 3)), (tmp_path / "large.png", (500, 450, 3))):
        picture = rebuild(target, rebuilder, path, point=8.0)
        assert picture.shape == size
        assert picture.dtype == np.uint8


def test_faces_are_verified_on_what_the_strongest_network_rebuilt(target, photographs, others, work, plan):
    class Recognizer:
        identity = "recognizer"
        asked = 0

        def __call__(self, rebuilt):
            assert rebuilt(others[0]).shape == (100, 135, 3)
            self.asked += 1
            return told(51.0, 2.0)

    verify = Recognizer()
    report = attack([target], training=photographs, evaluation=others, work=work, plan=plan, verify=verify)
    known = [r for r in report.rows if r.face_accuracy is not None]
    assert [(r.point, r.attacker, r.way, r.photograph_accuracy, r.file_tar) for r in report.identified] == [
        (r.point, r.attacker, "rebuilds", 51.0, 1.0) for r in known
    ]
    assert [(r.point, r.face_accuracy, r.face_tar) for r in known] == [(2.0, 51.0, 2.0), (8.0, 51.0, 2.0)]
    again = attack([target], training=photographs, evaluation=others, work=work, plan=plan, verify=verify)
    assert (again.rows, verify.asked) == (report.rows, 2)  # kept


def test_attackers_are_compared_on_the_photographs_that_all_of_them_attacked():
    def outcome(attacker, psnr):
        figures = (mean(psnr), (0, 0), 0, 0, 0, None, None, False)
        return Outcome(Attacked("t", 4.0, 9.0, attacker, 1, len(psnr), *figures), psnr, 10.0, ())

    def marked(*outcomes):
        return [o.row.strongest for o in mark_strongest(outcomes)]

    assert marked(outcome("unet", (14.0, 20.0)), outcome("white-box", (15.0,))) == [False, True]
    assert marked(outcome("unet", (14.0, 20.0)), outcome("white-box", (13.9,))) == [True, False]
    assert marked(outcome("unet", (14.0, 20.0)), outcome("invnet", (15.0, 18.0))) == [True, False]


def test_an_attacker_that_there_is_not_is_named(target, photographs, others, work):
    with pytest.raises(InputError, match="got 'gan', expected some of invnet, unet, white-box"):
        find_attackers(["invnet", "gan"])
    with pytest.raises(InputError, match="got none, expected some"):
        attack([target], training=photographs, evaluation=others, work=work, plan=AttackPlan(()))


def test_a_photograph_must_not_be_trained_on_and_evaluated(target, photographs, work):
    with pytest.raises(InputError, match="other photographs"):
        attack([target], training=photographs, evaluation=photographs[:1], work=work)


def test_the_command_shows_a_table_and_draws_a_gallery(codec, others, tmp_path, capsys):
    codec.save(str(tmp_path / "tiny.safetensors"))
    (tmp_path / "train").mkdir()
    for i in range(21):
        Image.fromarray(astronaut()[i : i + 192, :192]).save(tmp_path / "train" / f"{i}.png")
    folders = ["--train", str(tmp_path / "train"), "--eval", str(others[0].parent)]
    folders += ["--work", str(tmp_path / "work"), "--gallery", str(tmp_path / "g.png")]
    options = ["--quality", "8", "--attackers", "invnet", "--steps", "1"]
    command = ["attack", str(tmp_path / "tiny.safetensors"), *folders, *options]
    assert main(command) == 0
    assert "strongest" in capsys.readouterr().out
    with Image.open(tmp_path / "g.png") as page:
        assert page.width > 3 * 135
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(a["attacker"], a["strongest"]) for a in found["attacks"]] == [("invnet", True)]


@pytest.mark.parametrize(
    ("option", "text"),
    [("--quality", "9"), ("--attackers", "unet,oracle"), ("--minutes", "0"), ("--steps", "0")],
)
def test_a_wrong_option_of_the_command_is_refused(option, text, capsys):
    with pytest.raises(SystemExit):
        main(["attack", "yolox-nano-private", "--train", "a", "--eval", "b", option, text])
    assert option in capsys.readouterr().err
