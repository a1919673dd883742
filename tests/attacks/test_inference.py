"""Thieves that infer who somebody is: what they learn from, what they choose, and whom they tell apart."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from featcodec.attacks import ATTACKERS, BUILT_IN, INFERRING, identity
from featcodec.attacks.attack import AttackPlan, attack
from featcodec.attacks.face_detector import FaceDetector
from featcodec.attacks.face_pairs import Faces
from featcodec.attacks.faces import Recognizer, Verification
from featcodec.attacks.identity import FaceThief, infer_identities, mark_strongest_identity, to_row
from featcodec.attacks.inference import Examples, find_inferrers, likeness, split_names
from featcodec.attacks.network_inferrer import NetworkInferrer
from featcodec.attacks.portraits import Portraits
from featcodec.attacks.regression_inferrer import RegressionInferrer
from featcodec.attacks.targets import RawTarget, at_point
from featcodec.attacks.verification import Score
from featcodec.commands.main import main
from featcodec.errors import CodecFileError, InputError
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.people import person
from featcodec.training.regression import middle

SHARED = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"))
YUNET = SHARED / "weights" / "yunet-640.onnx"


def examples(of, count: int, *, seed: int, channels: int = 6, people: int = 30) -> Examples:
    """Latents at random, and `of` their middle 2 x 2 places as vectors."""
    seen = torch.randn(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    vectors = torch.nn.functional.normalize(of(middle(seen, 0.5)))
    return Examples(seen, vectors, tuple(f"p{i % people}" for i in range(count)))


def linear(x):
    return x[:, :5] - x[:, 5:10]


def squares(x):
    return x[:, :5].square() - 1


# ---- learning


def test_nobody_is_learned_from_and_held_out():
    learned, held = examples(linear, 90, seed=1).divided()
    assert len(learned.people) == len(learned.seen) == 72
    assert set(held.people).isdisjoint(learned.people)
    assert len(set(held.people)) == 6


def test_too_few_people_to_hold_any_out_are_refused():
    with pytest.raises(InputError, match="got portraits of 9 people to learn from, expected at least 10"):
        examples(linear, 90, seed=1, people=9).divided()


@pytest.mark.parametrize("thief", find_inferrers(tuple(INFERRING)), ids=lambda thief: thief.name)
def test_each_thief_infers_vectors_of_people_that_it_has_not_seen(thief):
    others = examples(linear, 60, seed=2)
    learned = thief.learn(examples(linear, 500, seed=1))
    assert likeness(learned(others.seen), others.vectors) > 0.6
    assert "held out 0." in learned.settings


def test_a_kernel_infers_what_is_not_linear():
    others = examples(squares, 200, seed=2, channels=2)
    linear_one, kernel_one = (
        likeness(thief.learn(examples(squares, 600, seed=1, channels=2))(others.seen), others.vectors)
        for thief in find_inferrers(["ridge", "kernel-ridge"])
    )
    assert linear_one < 0.3 < 0.6 < kernel_one


@pytest.mark.parametrize("thief", find_inferrers(tuple(INFERRING)), ids=lambda thief: thief.name)
def test_nothing_is_inferred_from_latents_that_know_nothing(thief):
    known, others = examples(linear, 300, seed=1), examples(linear, 300, seed=2)
    blind = Examples(
        torch.randn(known.seen.shape, generator=torch.Generator().manual_seed(3)), known.vectors, known.people
    )
    assert abs(likeness(thief.learn(blind)(others.seen), others.vectors)) < 0.15


def test_the_part_of_the_picture_that_infers_most_is_chosen():
    thief = RegressionInferrer("ridge", (None,), (1.0, 1e4), shares=(0.25, 0.5, 1.0))
    learned = thief.learn(examples(linear, 200, seed=1))
    assert learned.share == 0.5
    assert "middle 50.0% of the sides, lambda 1, held out 0.989" in learned.settings


def test_a_seed_gives_the_same_network_and_leaves_the_callers_random_numbers():
    some, other = examples(linear, 100, seed=1), examples(linear, 10, seed=2).seen
    thief = NetworkInferrer(passes=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = thief.learn(some)(other)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(thief.learn(some)(other), one)
    assert not torch.equal(replace(thief, seed=2).learn(some)(other), one)


def test_names_fall_into_those_who_rebuild_and_those_who_infer():
    assert split_names(ATTACKERS) == (tuple(BUILT_IN), tuple(INFERRING))
    with pytest.raises(InputError, match=r"got 'oracle', expected some of unet-36, invnet, .*, vector-net"):
        split_names(["oracle"])
    with pytest.raises(InputError, match="got 'unet', expected some of ridge, kernel-ridge, vector-net"):
        find_inferrers(["unet"])


# ---- portraits


@pytest.mark.parametrize(
    ("name", "who"),
    [("A_B_0001.jpg", "A_B"), ("a-12.png", "a"), ("0012.png", "0012"), ("a.jpg", "a"), ("r2d2.jpg", "r2d2")],
)
def test_a_person_is_a_name_without_its_number(name, who):
    assert person(Path(name)) == who


def save(path: Path, colour: int) -> Path:
    Image.new("RGB", (64, 64), (colour, 90, 30)).save(path)
    return path


def recognizer(paths) -> Recognizer:
    """Twenty pairs: of photographs 2 i and 2 i + 1, of one person, and of 2 i and 2 i + 3, of two."""
    n = len(paths)
    pairs = [(i, i + 1) for i in range(0, n, 2)] + [(i, (i + 3) % n) for i in range(0, n, 2)]
    same = np.arange(len(pairs)) < n // 2
    faces = Faces(tuple(paths), np.zeros((n, 5, 2)), np.array(pairs), same)
    return Recognizer(faces, None, np.ones((n, 3), np.float32), 1)


def test_people_to_recognise_must_not_be_learned_from(tmp_path):
    for folder in ("pairs", "portraits", "copies"):
        (tmp_path / folder).mkdir()
    known = recognizer([save(tmp_path / "pairs" / f"Ann_{i:04}.png", i) for i in range(20)])
    save(tmp_path / "portraits" / "Ann_0044.png", 200)
    save(tmp_path / "copies" / "Bob_0001.png", 3)
    for folder, name in (("portraits", "Ann_0044"), ("copies", "Bob_0001")):
        with pytest.raises(InputError, match=f"{name}.png: got somebody to learn from who is in the verif"):
            Portraits.read(tmp_path / folder, "no-model", known, work=tmp_path)


def test_a_file_that_is_no_face_detector_is_named(tmp_path):
    (tmp_path / "d.onnx").write_bytes(b"no model")
    with pytest.raises(CodecFileError, match=r"d\.onnx: not a face detector that OpenCV can run"):
        FaceDetector(tmp_path / "d.onnx")


@pytest.mark.skipif(not YUNET.exists(), reason="no face detector in FEATCODEC_SHARED")
def test_the_detector_finds_the_landmarks_of_the_face_in_the_middle():
    from skimage.data import astronaut

    picture = astronaut()[:250, 100:350]
    eye, other_eye, nose, mouth, other_mouth = FaceDetector(YUNET)(picture)
    assert eye[0] < nose[0] < other_eye[0]
    assert mouth[0] < other_mouth[0]
    assert eye[1] < nose[1] < mouth[1]
    assert FaceDetector(YUNET)(np.zeros((250, 250, 3), np.uint8)) is None


# ---- a whole attack


@dataclass(frozen=True)
class Counting:
    """A thief that counts how often it learns."""

    thief: RegressionInferrer
    learned: list

    @property
    def name(self):
        return self.thief.name

    @property
    def identity(self):
        return self.thief.identity

    def learn(self, examples):
        self.learned.append(examples)
        return self.thief.learn(examples)


@pytest.fixture
def target(monkeypatch):
    """The cut of a network that only averages; its digest stands in the place of weights'."""
    monkeypatch.setattr("featcodec.attacks.targets._identity", lambda _: "shrunk")
    return RawTarget(
        SimpleNamespace(canvas=Canvas(64), head=lambda x: (torch.nn.functional.avg_pool2d(x, 8),))
    )


def vector_of(colours: np.ndarray) -> np.ndarray:
    """(N,) 0 to 255 to (N, 3) of length 1: what a recogniser may think of a colour."""
    angle = colours / 255 * 3
    return np.stack([np.cos(angle), np.sin(angle), np.full_like(angle, 0.2)], 1).astype(np.float32) / 1.0198


@pytest.fixture
def face_thief(tmp_path):
    """Portraits of 40 people who are but a colour, and twenty pairs of photographs of ten others."""
    colours = np.linspace(5, 250, 40).round().astype(int)
    portraits = [save(tmp_path / f"P{i:02}x_0001.png", int(c)) for i, c in enumerate(colours)]
    vectors = np.repeat(vector_of(colours)[:, None], 2, 1)
    colours = np.repeat(np.linspace(20, 240, 10), 2).round().astype(int) + np.tile([0, 2], 10)
    pairs = recognizer([save(tmp_path / f"q{i}.png", int(c)) for i, c in enumerate(colours)])
    known = replace(pairs, known=vector_of(colours))
    return FaceThief(known, Portraits(tuple(portraits), vectors, "forty colours"))


def test_people_are_told_apart_by_what_crossed_and_nothing_is_learned_twice(target, face_thief, tmp_path):
    thieves = [Counting(thief, []) for thief in find_inferrers(["ridge", "kernel-ridge"])]
    plan = AttackPlan((), tuple(thieves))
    report = attack([target], training=[], evaluation=[], work=tmp_path, plan=plan, face_thief=face_thief)
    assert report.outcomes == ()
    assert [(r.target, r.attacker, r.way, r.portraits) for r in report.identified] == [
        ("raw", "ridge", "infers", 40),
        ("raw", "kernel-ridge", "infers", 40),
    ]
    assert sum(r.strongest for r in report.identified) == 1
    best = max(report.identified, key=lambda r: r.accuracy)
    assert best.strongest
    assert (best.photograph_accuracy, best.file_accuracy, best.file_tar) == (100, 100, 100)
    (seen,) = thieves[0].learned
    assert seen.seen.shape == (80, 3, 8, 8)  # each as it is and in a mirror
    assert np.allclose(np.linalg.norm(seen.vectors, axis=1), 1, atol=1e-5)
    again = attack([target], training=[], evaluation=[], work=tmp_path, plan=plan, face_thief=face_thief)
    assert again.identified == report.identified
    assert len(thieves[0].learned) == 1


def test_other_portraits_faces_or_code_are_another_attack(target, face_thief, tmp_path, monkeypatch):
    (thief,) = (Counting(one, []) for one in find_inferrers(["ridge"]))
    others = [
        face_thief,
        replace(face_thief, portraits=replace(face_thief.portraits, identity="fewer")),
        replace(face_thief, recognizer=replace(face_thief.recognizer, seed=2)),
    ]
    for one in (*others, *others):
        infer_identities(target, [thief], one, work=tmp_path)
    assert len(thief.learned) == 3
    monkeypatch.setattr(identity, "INFERENCE_VERSION", 99)
    infer_identities(target, [thief], face_thief, work=tmp_path)
    assert len(thief.learned) == 4


def test_portraits_of_another_size_than_the_pairs_photographs_are_refused(target, face_thief, tmp_path):
    Image.new("RGB", (64, 30)).save(face_thief.portraits.paths[3])
    with pytest.raises(InputError, match="expected photographs of one size"):
        infer_identities(target, find_inferrers(["ridge"]), face_thief, work=tmp_path)


def test_a_target_of_ones_own_with_several_points_is_named(target):
    own = SimpleNamespace(name="own", points=(1.0, 2.0), views=2)
    with pytest.raises(InputError, match="own: got 2 points and 2 views, expected a target of one point"):
        at_point(own, 1.0)
    assert at_point(target, 0.0) is target


def test_the_thief_that_tells_more_apart_in_either_way_is_the_strongest():
    def row(attacker, point, photographs, files):
        scores = (Score(a, (a - 1, a + 1), 5.0, 0.6, 600) for a in (photographs, files))
        return to_row(Verification(*scores), "c", point, 9.0, attacker=attacker, way="infers")

    rows = [row("a", 1, 60, 70), row("b", 2, 80, 50), row("b", 1, 69, 69), row("a", 2, 79, 79)]
    marked = mark_strongest_identity(rows)
    assert [(r.point, r.attacker, r.strongest) for r in marked] == [
        (1, "a", True),
        (1, "b", False),
        (2, "b", True),
        (2, "a", False),
    ]


# ---- the command


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--attackers", "ridge"], "got ridge without --face-train, expected both"),
        (["--face-train", "a"], "--face-train and --face-detector: got one of them"),
        (["--face-train", "a", "--face-detector", "b"], "got it without --faces"),
        (["--attackers", "invnet"], "--train and --eval: got not both of them"),
    ],
)
def test_options_that_lack_another_are_refused(given, message, capsys):
    with pytest.raises(SystemExit):
        main(["attack", "yolox-nano-private", *given])
    assert message in capsys.readouterr().err


def test_the_command_infers_without_rebuilding(target, face_thief, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("featcodec.commands.attack._faces_asked", lambda *_: (None, face_thief))
    monkeypatch.setattr("featcodec.commands.attack._targets", lambda _: [target])
    options = ["--attackers", "kernel-ridge", "--faces", "f", "--face-model", "m"]
    options += ["--face-train", "t", "--face-detector", "d", "--work", str(tmp_path / "work")]
    assert main(["attack", "own", *options]) == 0
    shown = capsys.readouterr().out
    assert "kernel-ridge  infers  100.0" in shown
    assert "strongest" in shown
    assert main(["attack", "own", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(r["attacker"], r["file_accuracy"]) for r in found["identified"]] == [("kernel-ridge", 100)]
    assert found["attacks"] == []
    assert found["made"]["command"].startswith("featcodec attack own --attackers kernel-ridge")
