"""What an attack keeps: not used again where other code made it, refused by name where it does not fit."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.data import astronaut

from featcodec.attacks import attack as attacking
from featcodec.attacks import observations, training, verification, whitebox
from featcodec.attacks.attack import AttackPlan, attack
from featcodec.attacks.faces import Faces, Recognizer, Verification
from featcodec.attacks.network_attacker import NetworkAttacker
from featcodec.attacks.observations import collect
from featcodec.attacks.targets import RawTarget
from featcodec.attacks.training import Recipe, load_trained, train, training_key
from featcodec.attacks.verification import Score
from featcodec.attacks.whitebox import Search, WhiteBox
from featcodec.errors import InputError
from featcodec.evaluation import closeness, provenance
from featcodec.evaluation.kept import key
from featcodec.evaluation.provenance import origin, origin_notes
from featcodec.evaluation.results import Origin
from featcodec.pictures.canvas import Canvas

QUICK = Recipe(steps=2, batch=1, crop=32, curve=1)
PLAN = AttackPlan(
    (NetworkAttacker("invnet", QUICK, shorter=0), WhiteBox(Search(steps=1, pictures=1))), pictures=1
)
ELSEWHERE = Origin("1f0c2a9", "featcodec 0.0.9", "aarch64, 4 cores")


def shrunk(x):
    """Features (B, 3, H/8, W/8)."""
    return torch.nn.functional.avg_pool2d(x, 8)


class Verify:
    """A recognizer that counts how often it is asked."""

    identity, asked = "verify", 0

    def __call__(self, rebuilt):  # noqa: ARG002
        self.asked += 1
        one = Score(60.0 + self.asked, (58.0, 63.0), 5.0, 0.6, 600)
        return Verification(one, one)


@pytest.fixture
def target(monkeypatch):
    """The cut of a network that only averages; its digest stands in the place of weights'."""
    monkeypatch.setattr("featcodec.attacks.targets._identity", lambda _: "shrunk")
    return RawTarget(SimpleNamespace(canvas=Canvas(64), head=lambda x: (shrunk(x),)))


@pytest.fixture
def folders(tmp_path):
    """Photographs to train on and to evaluate, and a work folder."""
    paths = []
    for i in range(5):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(astronaut()[40 * i : 40 * i + 90, :110]).save(paths[i])
    return {"training": paths[:3], "evaluation": paths[3:], "work": tmp_path / "work"}


def kept(folders) -> dict[str, bytes]:
    work = folders["work"]
    return {str(p.relative_to(work)): p.read_bytes() for p in sorted(work.rglob("*")) if p.is_file()}


def first(folders, kind: str) -> Path:
    return sorted((folders["work"] / kind).iterdir())[0]


# ---- versions


@pytest.mark.parametrize(
    ("module", "constant", "again"),
    [
        (attacking, "CLOSENESS_VERSION", {"outcomes"}),
        (attacking, "REBUILDING_VERSION", {"outcomes", "faces"}),
        (whitebox, "SEARCH_VERSION", {"outcomes"}),
        (training, "TRAINING_VERSION", {"outcomes", "faces", "attackers"}),
        (observations, "OBSERVATIONS_VERSION", {"outcomes", "faces", "attackers", "raw", "pictures"}),
    ],
)
def test_what_depends_on_a_version_is_made_again_when_it_is_raised_and_nothing_else(
    target, folders, monkeypatch, module, constant, again
):
    attack([target], plan=PLAN, verify=Verify(), **folders)
    before = kept(folders)
    monkeypatch.setattr(module, constant, getattr(module, constant) + 1)
    attack([target], plan=PLAN, verify=Verify(), **folders)
    after = kept(folders)
    assert before.items() <= after.items()
    assert {name.split("-")[0].split("/")[0] for name in set(after) - set(before)} == again


def test_a_changed_metric_with_a_new_version_gives_the_new_figure_from_the_old_work_folder(
    target, folders, monkeypatch
):
    (old, _) = attack([target], plan=PLAN, **folders).rows
    measured = closeness.psnr
    monkeypatch.setattr(closeness, "psnr", lambda error: measured(error) + 5)
    monkeypatch.setattr(attacking, "CLOSENESS_VERSION", 2)
    (new, _) = attack([target], plan=PLAN, **folders).rows
    assert new.psnr == pytest.approx(old.psnr + 5)
    assert new.psnr_edges == pytest.approx(old.psnr_edges + 5)
    monkeypatch.setattr(attacking, "CLOSENESS_VERSION", 1)
    assert attack([target], plan=PLAN, **folders).rows[0] == old


def test_a_recognizer_is_another_one_when_the_verifying_code_is(monkeypatch):
    same = np.arange(20) < 10
    faces = Faces((), np.zeros((2, 5, 2)), np.zeros((20, 2), np.int64), same)
    one = Recognizer(faces, None, np.ones((2, 4), np.float32), 1)
    turned = replace(one, faces=replace(faces, landmarks=faces.landmarks + 1))
    assert one.identity == replace(one, seed=2).identity != turned.identity
    before = one.identity
    monkeypatch.setattr("featcodec.attacks.faces.VERIFICATION_VERSION", 3)
    assert one.identity != before
    assert (verification.VERIFICATION_VERSION, whitebox.SEARCH_VERSION) == (2, 1)


# ---- what does not fit


def other_columns(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file(change(load_file(path)), path, about)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t | {"contrast": t["psnr"].clone()},
        lambda t: {k: v for k, v in t.items() if k != "psnr_edges"},
        lambda t: t | {"blind": t["blind"][:1].repeat(5)},
        lambda t: t | {"psnr": t["psnr"][None].clone()},
        lambda t: {"closeness": torch.zeros(2, 5, dtype=torch.float64), "bytes": t["bytes"]},
    ],
    ids=["more columns", "fewer columns", "another length", "another shape", "a bare matrix"],
)
def test_outcomes_with_other_columns_are_refused_by_name(target, folders, change):
    attack([target], plan=PLAN, **folders)
    path = first(folders, "outcomes")
    other_columns(path, change)
    with pytest.raises(InputError, match="kept by another version, or damaged") as refused:
        attack([target], plan=PLAN, **folders)
    assert str(refused.value).startswith(f"{path}: ")
    path.unlink()
    assert len(attack([target], plan=PLAN, **folders).rows) == 2


def test_columns_of_outcomes_go_by_their_names(target, folders):
    attack([target], plan=PLAN, **folders)
    with safe_open(first(folders, "outcomes"), "pt") as file:
        assert set(file.keys()) == {
            "bytes",
            "psnr",
            "ms_ssim",
            "psnr_edges",
            "psnr_flat",
            "blind",
            "rebuilt 0",
        }


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"channels": 4}, "channels: got 4, expected 3"),
        ({"stride": 16}, "stride: got 16, expected 8"),
        ({"points": [1.0, 2.0]}, "points: got "),
        ({"kind": "unet"}, "kind: got unet, expected invnet"),
        ({"kind": "gan"}, 'kind: got "gan", expected one of'),
        ({"recipe": {"steps": 2, "warmth": 1}}, "recipe.batch: got no such field"),
        ({"curve": [[1, "high"]]}, "curve"),
        ({"average": {"mean": torch.zeros(7)}}, "RuntimeError"),
        ({"average": None}, "kept by another version"),
        ({"origins": []}, None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_attacker_of_another_shape_is_an_error_by_name(target, folders, other, message):
    attack([target], plan=PLAN, **folders)
    path = first(folders, "attackers")
    torch.save(torch.load(path, weights_only=True) | other, path)
    if message is None:
        attack([target], plan=PLAN, **folders)
        return
    with pytest.raises(InputError, match=message) as refused:
        attack([target], plan=PLAN, **folders)
    assert str(refused.value).startswith(f"{path}: ")


def test_an_attacker_of_other_observations_is_not_found(target, folders):
    seen = collect(target, folders["training"], work=folders["work"], training=True)
    fewer = collect(target, folders["training"][:2], work=folders["work"], training=True)
    keys = {training_key(k, s, r) for k in ("invnet", "unet") for s in (seen, fewer)
            for r in (QUICK, replace(QUICK, seed=2), replace(QUICK, lr=0.1))}  # fmt: skip
    assert len(keys) == 12


def test_a_width_of_its_own_is_another_attacker_and_changes_no_other_key(target, folders, tmp_path):
    seen = collect(target, folders["training"], work=folders["work"], training=True)
    facts = {"kind": "unet", "seen": seen.identity, "recipe": QUICK}
    assert training_key("unet", seen, QUICK) == key({"training": training.TRAINING_VERSION}, **facts)
    assert training_key("unet", seen, QUICK, width=8) != training_key("unet", seen, QUICK)
    done = train("unet", seen, QUICK, checkpoint=tmp_path / "c.pt", width=8)
    assert load_trained(tmp_path / "c.pt").network.width == done.network.width == 8
    assert load_trained(tmp_path / "c.pt").identity == done.identity
    with pytest.raises(InputError, match=r"c\.pt: .*width: got 8, expected None"):
        train("unet", seen, QUICK, checkpoint=tmp_path / "c.pt")


def test_an_attacker_lacking_what_it_needs_is_an_error_by_name(target, folders, tmp_path):
    seen = collect(target, folders["training"], work=folders["work"], training=True)
    done = train("invnet", seen, QUICK, checkpoint=tmp_path / "c.pt")
    assert load_trained(tmp_path / "c.pt").identity == done.identity
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    for name in state:
        torch.save({k: v for k, v in state.items() if k != name}, tmp_path / "c.pt")
        with pytest.raises(InputError, match=rf"c\.pt: no checkpoint of an attack: {name} missing"):
            train("invnet", seen, QUICK, checkpoint=tmp_path / "c.pt")


@pytest.mark.parametrize("part", ["raw", "pictures"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: other_columns(path, lambda t: {f"{k} 0": v for k, v in t.items()}),
        lambda path: other_columns(path, lambda t: {k: v[:, :1, :].clone() for k, v in t.items()}),
    ],
    ids=["cut", "other names", "another shape"],
)
def test_a_shard_that_does_not_fit_is_an_error_by_name(target, folders, part, damage):
    attack([target], plan=PLAN, **folders)
    path = sorted(p for p in folders["work"].rglob("00000.safetensors") if p.parent.name.startswith(part))[0]
    damage(path)
    with pytest.raises(InputError, match="kept by another version, or damaged") as refused:
        attack([target], plan=AttackPlan((NetworkAttacker("invnet", replace(QUICK, seed=2)),)), **folders)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", ["[60.0, 5.0]", '{"accuracy": 60}', "{", '{"accuracy": "x", "tar": 1}'])
def test_verified_faces_that_do_not_fit_are_an_error_by_name(target, folders, content):
    verify = Verify()
    attack([target], plan=PLAN, verify=verify, **folders)
    path = first(folders, "faces")
    path.write_text(content)
    with pytest.raises(InputError, match="kept by another version, or damaged") as refused:
        attack([target], plan=PLAN, verify=verify, **folders)
    assert str(refused.value).startswith(f"{path}: ")
    assert verify.asked == 1


# ---- origins


def test_a_report_of_one_commit_and_machine_has_nothing_to_say_of_it(target, folders):
    report = attack([target], plan=PLAN, verify=Verify(), **folders)
    assert set(report.origins) == {origin()}
    assert origin_notes(report.origins) == ()


def test_a_report_of_mixed_origin_says_so_for_every_kind_of_kept_piece(target, folders, monkeypatch):
    monkeypatch.setattr(provenance, "origin", lambda: ELSEWHERE)
    for name in ("attack", "observations", "outcomes", "training"):
        monkeypatch.setattr(f"featcodec.attacks.{name}.origin", lambda: ELSEWHERE)
    report = attack([target], plan=PLAN, verify=Verify(), **folders)
    everything = len(report.origins)
    monkeypatch.undo()
    monkeypatch.setattr("featcodec.attacks.targets._identity", lambda _: "shrunk")
    again = attack([target], plan=PLAN, verify=Verify(), **folders)
    assert again.origins == (ELSEWHERE,) * everything
    (note,) = origin_notes(again.origins)
    assert f"{everything} of {everything} kept pieces were made by commit 1f0c2a9 (featcodec 0.0.9)" in note
    first(folders, "faces").unlink()
    mixed = attack([target], plan=PLAN, verify=Verify(), **folders)
    assert mixed.origins.count(origin()) == 1


def test_a_training_that_goes_on_elsewhere_names_both(target, folders, tmp_path, monkeypatch):
    seen = collect(target, folders["training"], work=folders["work"], training=True)
    monkeypatch.setattr(training, "origin", lambda: ELSEWHERE)
    whole = training._about("invnet", seen, QUICK)
    run = training._start("invnet", seen, [2], QUICK)
    training._save(run, seen, QUICK, tmp_path / "c.pt")
    monkeypatch.undo()
    done = train("invnet", seen, QUICK, checkpoint=tmp_path / "c.pt")
    assert done.origins == (ELSEWHERE, origin())
    assert load_trained(tmp_path / "c.pt").origins == done.origins
    assert whole.step == 0


# ---- several processes


def run_attack(folders, answers) -> None:
    """An attack in a process of its own."""
    torch.set_num_threads(1)
    answers.put([row.psnr for row in attack([PROCESS_TARGET], plan=PLAN, verify=Verify(), **folders).rows])


PROCESS_TARGET: object = None


def test_two_attacks_at_once_in_one_work_folder_find_the_same_and_leave_whole_files(target, folders):
    global PROCESS_TARGET
    PROCESS_TARGET = target
    context = multiprocessing.get_context("fork")  # the target cannot be pickled
    answers = context.Queue()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    both = [context.Process(target=run_attack, args=(folders, answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=300) for _ in both]
    for process in both:
        process.join()
    torch.set_num_threads(threads)
    assert found[0] == found[1]
    before = kept(folders)
    assert not [name for name in before if Path(name).name.startswith(".")]
    assert [r.psnr for r in attack([target], plan=PLAN, verify=Verify(), **folders).rows] == found[0]
    assert kept(folders) == before
    assert all(json.loads(data) for name, data in before.items() if name.startswith("faces"))
