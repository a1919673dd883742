"""Face verification: alignment, scoring, and the way from a folder of faces to the figures."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from featcodec.attacks.faces import Embedder, Faces, align, embed, photograph, similarity, verify
from featcodec.attacks.verification import score
from featcodec.errors import CodecFileError, InputError, MissingExtraError

SHARED = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"))
LFW = SHARED / "data" / "lfw"
MOBILEFACENET = SHARED / "weights" / "mobilefacenet-112.onnx"
POINTS = [[105.2, 110.3], [145.4, 110.7], [128.2, 133.4], [107.0, 153.9], [142.0, 154.4]]

floats = st.floats(-200, 200)


# ---- alignment


@given(
    points=arrays(np.float64, (5, 2), elements=floats),
    scale=st.floats(0.1, 10),
    angle=st.floats(-math.pi, math.pi),
    shift=st.tuples(floats, floats),
)
def test_a_similarity_transform_is_recovered_from_the_points_that_it_moved(points, scale, angle, shift):
    points = points + POINTS  # never all the same
    if points.std(0).max() < 1:
        return
    rotation = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    a, t = similarity(points, points @ rotation.T + shift)
    assert a == pytest.approx(complex(rotation[0, 0], rotation[1, 0]), abs=1e-8)
    assert t == pytest.approx(complex(*shift), abs=1e-5)


@given(source=arrays(np.float64, (5, 2), elements=floats), target=arrays(np.float64, (5, 2), elements=floats))
def test_no_similarity_transform_is_closer_in_the_least_squares(source, target):
    source = source + 1000 * np.eye(5, 2)  # never all the same
    x, y = source.T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    reference = np.linalg.lstsq(system, target.T.ravel(), rcond=None)[0]
    a, t = similarity(source, target)
    np.testing.assert_allclose([a.real, a.imag, t.real, t.imag], reference, atol=1e-6)


def test_an_aligned_face_has_its_landmarks_on_the_template():
    picture = np.zeros((250, 250, 3), np.uint8)
    for x, y in (points := np.array(POINTS).round().astype(int)):
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    face = align(picture, points.astype(float)).astype(float)[..., 0]
    for x, y in [(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)]:
        rows, columns = np.mgrid[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
        spot = face[rows, columns]
        centre = ((spot * columns).sum() / spot.sum(), (spot * rows).sum() / spot.sum())
        assert centre == pytest.approx((x, y), abs=4)  # this face is not the template, but near it


def test_aligning_a_face_that_is_aligned_already_copies_its_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    template = np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )
    assert np.abs(align(picture, template).astype(int) - picture).max() <= 1


# ---- scores


SAME = np.arange(40) < 20


def test_pairs_that_a_threshold_separates_are_all_told_right():
    scored = score(np.where(SAME, 0.5, 0.4), SAME)
    assert (scored.accuracy, scored.tar, scored.auc, scored.pairs) == (100, 100, 1, 40)
    assert scored.accuracy_interval == (100, 100)


def test_equal_similarities_tell_nothing():
    scored = score(np.full(40, 0.7), SAME)
    assert (scored.accuracy, scored.tar, scored.auc) == (50, 0, 0.5)


def test_accuracy_tar_and_auc_as_calculated_by_hand():
    similarities = np.where(SAME, 0.8, 0.2)
    similarities[:2] = 0.1  # two of one person that look different
    similarities[20] = 0.45  # two people that look alike, still below the others' 0.8
    scored = score(similarities, SAME)
    # The best threshold is half-way between 0.45 and 0.8; for the part that holds 0.45, between 0.2 and 0.8.
    assert scored.accuracy == pytest.approx(100 * 38 / 40)
    # The 99th percentile of nineteen 0.2 and one 0.45 is 0.2 + 0.81 x 0.25 = 0.4025.
    assert scored.tar == pytest.approx(100 * 18 / 20)
    assert scored.auc == pytest.approx(18 / 20)
    assert scored.accuracy_interval[0] < scored.accuracy < scored.accuracy_interval[1]


def test_the_threshold_for_the_false_acceptance_rate_is_interpolated():
    same = np.arange(121) < 20
    different = np.arange(101) / 100  # the 99th percentile is 0.99 exactly: one of 101 is accepted above it
    genuine = np.concatenate([np.full(5, 0.9901), np.full(15, 0.9899)])
    assert score(np.concatenate([genuine, different]), same).tar == pytest.approx(25)


def test_a_threshold_is_never_chosen_on_the_pairs_that_it_is_applied_to():
    rng = np.random.default_rng(0)
    scores = [score(rng.normal(size=40), SAME).accuracy for _ in range(200)]
    assert np.mean(scores) < 52  # the best threshold on the pairs themselves gives 60


def test_comparisons_both_ways_count_as_one_pair():
    both = np.stack([np.where(SAME, 0.5, 0.4), np.full(40, 0.45)], axis=1)
    scored = score(both, SAME)
    assert (scored.pairs, scored.accuracy, scored.auc) == (40, 75, 0.875)


def test_too_few_pairs_cannot_be_scored():
    with pytest.raises(InputError, match="got 9 pairs of the same person, expected at least 10"):
        score(np.zeros(30), np.arange(30) < 9)


# ---- a folder of faces


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network whose vectors are a face's colours on a grid of 4 x 4."""
    onnx = pytest.importorskip("onnx", reason="makes a model to test with")
    return _write_model(onnx, tmp_path_factory.mktemp("model") / "colours.onnx", 112)


def _write_model(onnx, path, side):
    made = onnx.helper
    nodes = [
        made.make_node("AveragePool", ["x"], ["grid"], kernel_shape=[28, 28], strides=[28, 28]),
        made.make_node("Flatten", ["grid"], ["y"]),
    ]
    x = made.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, side, side])
    y = made.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3 * (side // 28) ** 2])
    opset = [made.make_opsetid("", 13)]
    onnx.save(made.make_model(made.make_graph(nodes, "g", [x], [y]), opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Eleven people, photographed twice; a face is a pattern of its own, a photograph adds some noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for person in range(11):
        pattern = rng.integers(0, 256, (10, 10, 3)).repeat(25, 0).repeat(25, 1)
        for n in (1, 2):
            noisy = np.clip(pattern + rng.normal(0, 20, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "images" / f"P{person}_{n}.png")
    names = [f"P{person}_{n}.png" for person in range(11) for n in (1, 2)]
    (tmp_path / "landmarks.json").write_text(json.dumps(dict.fromkeys(names, POINTS)))
    rows = [f"P{i}_1.png,P{i}_2.png,1" for i in range(10)] + [
        f"P{i}_1.png,P{i + 1}_1.png,0" for i in range(10)
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]) + "\n")
    return tmp_path


def test_only_the_pictures_of_the_pairs_are_read_and_each_once(folder, model):
    faces = Faces.read(folder)
    assert len(faces.paths) == 21  # P10_2 is in no pair
    assert (faces.pairs.shape, faces.same.sum(), faces.landmarks.shape) == ((20, 2), 10, (21, 5, 2))
    asked = []
    vectors = embed(lambda path: (asked.append(path), photograph(path))[1], faces, Embedder(model))
    assert tuple(asked) == faces.paths
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_photographs_are_recognized_and_grey_pictures_are_not(folder, model):
    faces, embedder = Faces.read(folder), Embedder(model)
    intact = verify(photograph, faces, embedder)
    assert (intact.face_accuracy, intact.face_tar, intact.among_rebuilt.pairs) == (100, 100, 20)
    grey = {path: np.full((250, 250, 3), 114, np.uint8) for path in faces.paths}
    known = embed(photograph, faces, embedder)
    hidden = verify(grey.__getitem__, faces, embedder, known=known)
    assert hidden == verify(grey.__getitem__, faces, embedder)
    assert (hidden.among_rebuilt.accuracy, hidden.among_rebuilt.auc) == (50, 0.5)
    assert hidden.against_photographs.accuracy < 80


def test_the_way_that_reaches_more_counts(folder, model):
    """Pictures in negative: recognized among each other, taken for the opposite of the photographs."""
    negative = verify(lambda path: 255 - photograph(path), Faces.read(folder), Embedder(model))
    assert negative.face_accuracy == negative.among_rebuilt.accuracy == 100
    assert negative.against_photographs.auc < 0.5


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            np.zeros((125, 250, 3), np.uint8),
            r"P0_1.png: got a rebuilt picture of 250 x 125, expected 250 x 250",
        ),
        (np.zeros((250, 250, 3), np.float32), r"P0_1.png: got float32 \(250, 250, 3\), expected uint8"),
        (np.zeros((250, 250), np.uint8), r"P0_1.png: got uint8 \(250, 250\), expected uint8 \(H, W, 3\)"),
    ],
)
def test_a_rebuilt_picture_of_another_shape_is_refused(folder, model, picture, message):
    with pytest.raises(InputError, match=message):
        embed(lambda _: picture, Faces.read(folder), Embedder(model))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pairs.csv", None, "pairs.csv: No such file"),
        ("pairs.csv", lambda _: "", "got the header 'nothing', expected 'a,b,same'"),
        ("pairs.csv", lambda t: t.replace("same", "equal"), "got the header 'a,b,equal'"),
        ("pairs.csv", lambda t: t.replace(",1\n", ",yes\n", 1), "line 2: got 'P0_1.png,P0_2.png,yes'"),
        ("pairs.csv", lambda t: t + "x.png\n", "line 22: got 'x.png', expected two file names and 0 or 1"),
        ("pairs.csv", lambda t: t + '"x', "expected a csv file"),
        ("pairs.csv", lambda t: t + "P0_1.png,x.png,0\n", "x.png: pairs.csv names this picture, but it is"),
        ("pairs.csv", lambda t: t + f"P0_1.png,{'x' * 5000},0\n", "names this picture, but it is missing"),
        ("pairs.csv", lambda t: t.replace(",1\n", ",0\n", 1), "got 9 pairs of the same person"),
        ("landmarks.json", None, "landmarks.json: No such file"),
        ("landmarks.json", lambda _: "{", "expected json"),
        ("landmarks.json", lambda _: "[" * 100_000, "expected json"),
        ("landmarks.json", lambda _: "[]", "got list, expected an object"),
        ("landmarks.json", lambda t: t.replace("P0_1", "Q"), "P0_1.png: no landmarks, but pairs.csv names"),
        ("landmarks.json", lambda t: t.replace("[105.2, 110.3], ", "", 1), "P0_1.png: .*expected five"),
        ("landmarks.json", lambda t: t.replace("110.3", "110.3, 1", 1), "P0_1.png: .*expected five"),
        ("landmarks.json", lambda t: t.replace("110.3", '"110.3"', 1), "P0_1.png: .*expected five"),
        ("landmarks.json", lambda t: t.replace("110.3", "NaN", 1), "P0_1.png: .*expected five"),
        ("landmarks.json", lambda t: t.replace(str(POINTS), str([[1, 2]] * 5), 1), "the same landmark five"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(folder, name, change, message):
    path = folder / name
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message):
        Faces.read(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("P0_1.png,P0_1.png,1", "line 22: got P0_1.png twice, expected two photographs"),
        ("P0_1.png,P0_2.png,1", "line 22: got P0_1.png and P0_2.png, which line 2 has, too; expected each"),
        ("P1_1.png,P0_1.png,0", "line 22: got P1_1.png and P0_1.png, which line 12 has, too; expected each"),
        ("P0_2.png,P0_1.png,0", "which line 2 has, too, and there the other way; expected each pair once"),
    ],
)
def test_a_pair_that_is_none_or_stands_twice_is_refused(folder, row, message):
    with (folder / "pairs.csv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(InputError, match=message):
        Faces.read(folder)


def change_landmarks(folder, change, names=None):
    path = folder / "landmarks.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({n: change(p) if n in (names or content) else p for n, p in content.items()}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: [[x / 250, y / 250] for x, y in p],
            "between 0 and 1, which look normalised, expected pixels",
        ),
        (lambda p: [[2 * x, 2 * y] for x, y in p], "got 1 of 5 landmarks inside the picture, expected most"),
        (lambda p: [[x - 300, y] for x, y in p], "got 0 of 5 landmarks inside the picture, expected most"),
    ],
)
def test_landmarks_of_another_picture_are_refused(folder, change, message):
    change_landmarks(folder, change, ["P3_1.png"])
    with pytest.raises(InputError, match=f"P3_1.png: .*{message}"):
        Faces.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: [[y, x] for x, y in p], "look like y, x for 21 of 21 faces"),
        (lambda p: [p[i] for i in (1, 0, 2, 4, 3)], "the side on the picture's right first for 21 of 21"),
    ],
)
def test_landmarks_in_another_order_are_refused(folder, change, message):
    change_landmarks(folder, change)
    with pytest.raises(InputError, match=message):
        Faces.read(folder)


def test_one_face_may_look_any_way(folder):
    change_landmarks(folder, lambda p: [[y, x] for x, y in p], ["P3_1.png"])  # somebody who lies down
    assert len(Faces.read(folder).paths) == 21


TURNED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
TURNED |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("height", [250, 180])
def test_landmarks_that_ignore_exif_are_told_so(folder, orientation, height):
    upright = np.zeros((height, 250), np.uint8)
    for k, (x, y) in enumerate(np.round(POINTS).astype(int), 1):
        upright[y, x] = k
    transposed = {6: "ROTATE_90", 8: "ROTATE_270"}.get(orientation, TURNED[orientation])
    stored = Image.fromarray(upright).transpose(Image.Transpose[transposed])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(folder / "images" / "P3_1.png", exif=exif)
    assert np.array_equal(photograph(folder / "images" / "P3_1.png")[..., 0], upright)
    assert len(Faces.read(folder).paths) == 21  # landmarks of the upright picture
    pixels = np.asarray(stored)
    ignoring = [[int(v) for v in np.argwhere(pixels == k)[0][::-1]] for k in range(1, 6)]
    change_landmarks(folder, lambda _: ignoring, ["P3_1.png"])
    with pytest.raises(InputError, match=rf"P3_1.png: .*ignore EXIF \(orientation {orientation}\)"):
        Faces.read(folder)


# ---- models


def test_a_file_that_is_no_face_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        Embedder(tmp_path / "missing.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(CodecFileError, match=r"noise.onnx: not an ONNX model"):
        Embedder(tmp_path / "noise.onnx")
    onnx = pytest.importorskip("onnx", reason="makes a model to test with")
    with pytest.raises(CodecFileError, match=r"got \[\['N', 3, 224, 224\]\] to \[\['N', 192\]\], expected"):
        Embedder(_write_model(onnx, tmp_path / "large.onnx", 224))


def test_without_onnxruntime_the_extra_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"onnxruntime is missing: pip install 'featcodec\[bench\]'"):
        Embedder(model)


@pytest.mark.skipif(not LFW.is_dir() or not MOBILEFACENET.is_file(), reason=f"no {LFW}: set FEATCODEC_SHARED")
def test_mobilefacenet_recognizes_the_photographs_and_not_their_coarse_colours():
    faces, embedder = Faces.read(LFW), Embedder(MOBILEFACENET)
    known = embed(photograph, faces, embedder)
    a, b = faces.pairs.T
    similarities = (known[a] * known[b]).sum(1)
    best = max(((similarities > t) == faces.same).mean() for t in similarities)
    assert 100 * best == pytest.approx(99.2, abs=0.4)  # two pairs more or less, as libraries round
    assert score(similarities, faces.same).accuracy == pytest.approx(98.5, abs=0.6)

    def coarse(path):
        small = Image.fromarray(photograph(path)).resize((8, 8), Image.Resampling.BOX)
        return np.asarray(small.resize((250, 250), Image.Resampling.NEAREST))

    hidden = verify(coarse, faces, embedder, known=known)
    assert hidden.face_accuracy < 57
    assert hidden.face_tar < 6
