"""A run of the bench from the command line to its result."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from featcodec.bench import demo
from featcodec.bench.compare import network_classes
from featcodec.clocks import Seconds, seconds
from featcodec.commands import bench as cli
from featcodec.evaluation.datasets import class_names
from featcodec.evaluation.metrics import METRICS_VERSION
from featcodec.evaluation.results import from_json
from featcodec.networks.coco import COCO
from featcodec.networks.yolov5 import YOLOv5
from featcodec.pictures.loading import upright_size

QUICK = ("--anchors", "image-jpeg,raw-zstd", "--qualities", "2,6", "--bootstrap", "20", "--workers", "1")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two small photographs, and another to calibrate on."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut.png", "rocket.jpg", "coffee.png"):
        (path,) = demo.photographs((name,))
        part = folder / ("calibrate" if name == "coffee.png" else "evaluate")
        part.mkdir(exist_ok=True)
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((224, 224))
        picture.save(part / f"{Path(name).stem}.png")
    return folder


@pytest.fixture(scope="module")
def coco(photographs):
    """The same photographs with boxes."""
    names = ("astronaut.png", "rocket.png")
    sizes = [upright_size(photographs / "evaluate" / n)[:2] for n in names]
    content = {
        "images": [
            {"id": i, "file_name": n, "width": w, "height": h}
            for i, (n, (w, h)) in enumerate(zip(names, sizes, strict=True))
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "lamp"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [20, 5, 150, 215], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 1, 9, 9], "iscrowd": 0},
        ],
    }
    path = photographs / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def result(path):
    return from_json(path.read_text(), str(path))


@pytest.fixture(scope="module")
def once(photographs, tmp_path_factory):
    """One run on photographs without labels, and the folder that it leaves."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["yolox-nano-private", "--images", str(photographs / "evaluate")]
    arguments += ["--calibrate", str(photographs / "calibrate"), *QUICK]
    arguments += ["--work", str(out / "work"), "--json", str(out / "run.json")]
    assert cli.main([*arguments, "--html", str(out / "run.html"), "--plot", str(out / "run.png")]) == 0
    return out, arguments


def test_without_labels_the_uncoded_detections_are_the_reference(once):
    got = result(once[0] / "run.json")
    assert not got.labelled
    assert (got.pictures, got.uncoded_map) == (2, pytest.approx(100))
    assert [e.name for e in got.entries] == ["yolox-nano-private", "image-jpeg", "raw-zstd"]


def test_every_entry_has_its_points_from_few_bytes_to_many(once):
    entries = {e.name: e for e in result(once[0] / "run.json").entries}
    assert [p.point for p in entries["yolox-nano-private"].points] == [2, 6]
    assert len(entries["raw-zstd"].points) == 1
    for entry in entries.values():
        sizes = [p.bytes for p in entry.points]
        assert sizes == sorted(sizes)
        best = [max([-1.0, *(p.map for p in entry.points[:i])]) for i in range(len(sizes))]
        outdone = [p.map <= before for p, before in zip(entry.points, best, strict=True)]
        assert [p.dominated for p in entry.points] == outdone
    # 8-bit features without loss of more than rounding are as good as the uncoded ones
    assert entries["raw-zstd"].points[0].map > 90
    assert entries["raw-zstd"].points[0].bytes > 10 * entries["yolox-nano-private"].points[0].bytes


def test_a_result_says_how_it_was_made(once):
    made = result(once[0] / "run.json").made
    assert made.command.startswith("featcodec-bench yolox-nano-private --images")
    assert made.versions["torch"] == version("torch")
    assert made.seeds == {"bootstrap": 1}


def test_a_result_has_the_minutes_of_the_processor_beside_those_on_the_wall(once):
    got = result(once[0] / "run.json")
    assert (
        0 < got.effort.cpu_minutes <= 1.05 * got.effort.wall_minutes + 0.02
    )  # one thread, whatever the machine
    assert f"took {got.effort.cpu_minutes:.1f} minutes of one core" in " ".join(got.notes)
    # medians of 5 entries' points and 2 pictures lie below their sum
    assert (
        got.effort.wall_minutes
        > sum(p.encode_ms + p.decode_ms for e in got.entries for p in e.points) / 60_000
    )


def test_the_processor_is_charged_for_this_process_its_threads_and_its_children():
    def busy():
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            pass

    began = seconds()
    busy()
    (thread := Thread(target=busy)).start()
    thread.join()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    time.sleep(0.5)
    took = seconds().since(began)
    assert 0.9 <= took.cpu < took.wall
    assert took.wall >= 0.9 + 0.5
    assert Seconds(3.0, 2.0).since(Seconds(1.0, 1.5)) == (2.0, 0.5)


def test_one_worker_has_one_thread_and_gives_the_caller_its_own_back(photographs, tmp_path, monkeypatch):
    from featcodec.bench import runner

    seen, work = [], runner._Worker.work
    monkeypatch.setattr(runner._Worker, "work", lambda *a: seen.append(torch.get_num_threads()) or work(*a))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        arguments = [
            "yolox-nano-private",
            "--images",
            str(photographs / "evaluate"),
            "--anchors",
            "none",
            "--qualities",
            "4",
        ]
        assert cli.main([*arguments, "--workers", "1", "--bootstrap", "5", "--work", str(tmp_path)]) == 0
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_a_page_and_a_plot_come_with_it(once):
    out, _ = once
    page = (out / "run.html").read_text()
    assert page.count("data:image/jpeg") >= 2 * 4
    assert (out / "run.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_does_nothing_again_and_finds_the_same(once):
    out, arguments = once
    before = {p.name: p.stat().st_mtime_ns for p in (out / "work" / "journal").iterdir()}
    first = result(out / "run.json")
    assert cli.main(arguments) == 0
    after = {p.name: p.stat().st_mtime_ns for p in (out / "work" / "journal").iterdir()}
    again = result(out / "run.json")
    assert before == after
    assert (first.entries, first.bd, first.notes) == (again.entries, again.bd, again.notes)


def test_what_a_kill_left_out_is_done_by_the_next_run(once):
    out, arguments = once
    first = result(out / "run.json")
    torn = sorted((out / "work" / "journal").iterdir())[0]
    os.truncate(torn, torn.stat().st_size - 10)
    other = sorted((out / "work" / "journal").iterdir())[1]
    other.unlink()
    assert cli.main(arguments) == 0
    again = result(out / "run.json")
    for a, b in zip(first.entries, again.entries, strict=True):
        assert [(p.bytes, p.map) for p in a.points] == [(p.bytes, p.map) for p in b.points]


def test_labels_are_what_accuracy_is_measured_against(coco, photographs, tmp_path, capsys):
    arguments = ["yolox-nano-open", "--data", str(coco), "--images", str(photographs / "evaluate")]
    arguments += ["--anchors", "none", "--qualities", "8", "--bootstrap", "5", "--workers", "1"]
    assert cli.main([*arguments, "--work", str(tmp_path), "--json", str(tmp_path / "run.json")]) == 0
    got = result(tmp_path / "run.json")
    assert got.labelled
    assert 0 < got.uncoded_map <= 100
    assert [e.name for e in got.entries] == ["yolox-nano-open"]
    assert "No boxes of bicycle, car, motorcycle, airplane, bus, " in capsys.readouterr().out


def test_what_may_be_wrong_with_labels_is_said_at_once_and_in_the_result(coco, photographs, tmp_path, capsys):
    content = json.loads(coco.read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 7})
    (tmp_path / "twice.json").write_text(json.dumps(content))
    arguments = [
        "yolox-nano-open",
        "--data",
        str(tmp_path / "twice.json"),
        "--anchors",
        "none",
        "--workers",
        "1",
    ]
    arguments += ["--images", str(photographs / "evaluate"), "--qualities", "8", "--bootstrap", "5"]
    assert cli.main([*arguments, "--work", str(tmp_path), "--json", str(tmp_path / "run.json")]) == 0
    repeated = "Boxes that repeat another one of the same picture and class are left out, 1 of 3"
    other = "Boxes of classes that are not the network's are left out, 1 of 3: lamp."
    notes = result(tmp_path / "run.json").notes
    assert other in notes
    assert any(note.startswith(repeated) for note in notes)
    said = capsys.readouterr().err.splitlines()
    assert f"featcodec-bench: note: {other}" in said
    assert any(line.startswith(f"featcodec-bench: note: {repeated}") for line in said)


def test_a_network_of_the_classes_of_coco_has_them_in_the_order_of_coco(tmp_path):
    path = tmp_path / "by-name.json"
    categories = [{"id": i, "name": name} for i, name in enumerate(sorted(COCO))]
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    assert class_names(path) == tuple(sorted(COCO))
    assert network_classes(path) == COCO


def test_anchors_alone_on_a_network_without_codec(photographs, coco, tmp_path):
    torch.manual_seed(0)
    save_file(YOLOv5("n", classes=2).half().state_dict(), tmp_path / "net.safetensors")
    arguments = ["--network", str(tmp_path / "net.safetensors"), "--data", str(coco)]
    arguments += ["--images", str(photographs / "evaluate"), "--size", "128", "--at", "2"]
    arguments += ["--calibrate", str(photographs / "calibrate"), *QUICK, "--work", str(tmp_path)]
    assert cli.main([*arguments, "--json", str(tmp_path / "run.json")]) == 0
    got = result(tmp_path / "run.json")
    assert "cut after layer 2, 128 px" in got.network
    assert {e.name for e in got.entries} == {"raw-zstd", "image-jpeg"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "{coco}"], "got no folder for its pictures, expected --images"),
        (["--images", "{empty}"], "got no pictures"),
        (["--images", "{folder}", "--anchors", "raw-zstd"], "expected a folder of some, --calibrate FOLDER"),
        (
            ["--images", "{folder}", "--anchors", "raw-zstd", "--calibrate", "{folder}"],
            "is among the pictures to evaluate",
        ),
        (["--anchors", "raw-mpeg2"], "got 'raw-mpeg2', expected one of"),
        (["yolox-nano-private", "yolox-nano-private"], "entry 'yolox-nano-private': got it twice"),
        (["no-such-codec"], "got 'no-such-codec', expected a path or one of"),
        (
            ["yolox-nano-private", "--network", "{net}"],
            "got yolov5n of 2 classes with random weights, expected yolox-nano of 80 classes",
        ),
        (["--json", "{folder}/missing/run.json"], "missing"),
        (["--plot", "plot.bmp"], "plot.bmp"),
        (
            ["--data", "{gone}", "--images", "{folder}"],
            "the annotations name this picture, but it is missing",
        ),
        (["--data", "{foreign}", "--images", "{folder}"], "got no box of any class of the network"),
        (["--data", "{crowd}", "--images", "{folder}"], "of the network (person, bicycle, car, motorcycle,"),
        (["--data", "{crowd}", "--images", "{folder}"], ") but crowd regions"),
        (["--data", "{scaled}", "--images", "{folder}"], "expected 448 x 448 as its labels say"),
        (["--work", "{coco}"], "boxes.json"),
        (["--qualities", "9"], "quality"),
    ],
)
def test_bad_input_is_one_line(arguments, said, coco, photographs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    torch.manual_seed(0)
    save_file(YOLOv5("n", classes=2).half().state_dict(), tmp_path / "net.safetensors")
    content = json.loads(coco.read_text())
    content["images"][0]["file_name"] = "gone.png"
    (tmp_path / "gone.json").write_text(json.dumps(content))
    content = json.loads(coco.read_text())
    content["categories"][0]["name"] = "walrus"
    (tmp_path / "foreign.json").write_text(json.dumps(content))
    content = json.loads(coco.read_text())
    content["annotations"][0]["iscrowd"] = 1
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    content = json.loads(coco.read_text())
    content["images"][0] |= {"width": 448, "height": 448}
    (tmp_path / "scaled.json").write_text(json.dumps(content))
    places = {
        "coco": coco,
        "crowd": tmp_path / "crowd.json",
        "scaled": tmp_path / "scaled.json",
        "folder": photographs / "evaluate",
        "empty": tmp_path / "empty",
        "net": tmp_path / "net.safetensors",
        "gone": tmp_path / "gone.json",
        "foreign": tmp_path / "foreign.json",
    }
    filled = [a.format(**places) for a in arguments]
    quick = [] if "--anchors" in filled else ["--anchors", "none"]
    work = [] if "--work" in filled else ["--work", str(tmp_path / "work")]
    assert cli.main([*filled, *quick, *work, "--workers", "1", "--bootstrap", "5"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    notes = r"featcodec-bench: (measuring value ranges|\d+ pictures: .*|accuracy and intervals)"
    *before, line = err.splitlines()
    assert all(re.fullmatch(notes, one) for one in before)  # what was being done until then
    assert said in line


def test_an_encoder_that_fails_is_left_out(photographs, tmp_path, monkeypatch, capsys):
    pytest.importorskip("imageio_ffmpeg")
    broken = tmp_path / "ffmpeg"
    import imageio_ffmpeg

    # lists its encoders as the real one does, and fails on every picture
    broken.write_text(
        f'#!/bin/sh\ncase "$*" in *-i\\ *) echo "no memory" >&2; exit 1;; esac\n'
        f'exec {imageio_ffmpeg.get_ffmpeg_exe()} "$@"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(broken))
    arguments = [
        "yolox-nano-private",
        "--images",
        str(photographs / "evaluate"),
        "--anchors",
        "image-vvc,image-jpeg",
    ]
    arguments += ["--qualities", "4", "--bootstrap", "5", "--workers", "2", "--work", str(tmp_path / "work")]
    assert cli.main([*arguments, "--json", str(tmp_path / "run.json")]) == 1
    got = result(tmp_path / "run.json")
    assert {e.name for e in got.entries} == {"yolox-nano-private", "image-jpeg"}
    left_out = [n for n in got.notes if n.startswith("image-vvc at ") and " is left out: " in n]
    points = [p for n in left_out for p in n.removeprefix("image-vvc at ").partition(" is ")[0].split(", ")]
    assert sorted(points) == ["24", "30", "36", "40", "44"]  # what failed alike is one line
    assert len(left_out) == len({n.partition(" is left out: ")[2] for n in left_out})
    assert len(got.notes) == len(set(got.notes))
    assert "no memory" in capsys.readouterr().err


def soon_gone(group):
    """Whether nobody is left of a process group, after ten seconds at most."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="processes are ended otherwise here")
@pytest.mark.parametrize("busy", [True, False])
def test_a_worker_that_is_ended_hands_its_outcome_over_first(busy):
    """A pipe takes 64 KiB: whoever is killed behind them leaves a reader that waits for the rest."""
    script = """
import os, signal, sys, time
from featcodec.bench import runner
runner._busy = sys.argv[1] == "True"
signal.signal(signal.SIGTERM, runner._end)
signal.signal(signal.SIGALRM, runner._end)
os.kill(os.getpid(), signal.SIGTERM)
sys.stdout.write("x" * 200_000)
sys.stdout.flush()
time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", script, str(busy)], capture_output=True, timeout=60)
    assert done.returncode == 128 + signal.SIGTERM
    assert len(done.stdout) == (0 if busy else 200_000)


def test_an_interrupted_run_ends_its_workers_and_goes_on_later(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), np.uint8)).save(folder / f"{i:02}.png")
    command = [
        sys.executable,
        "-m",
        "featcodec.commands.bench",
        "yolox-nano-private",
        "--images",
        str(folder),
    ]
    command += ["--anchors", "none", "--work", str(tmp_path / "work"), "--workers", "2"]
    run = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # inherited as ignored where a test runner is started in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    journal = tmp_path / "work" / "journal"
    deadline = time.monotonic() + 120
    while not (journal.is_dir() and any(journal.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # as the terminal does: to the workers, too
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert soon_gone(run.pid)
    lines = sum(path.read_text().count("\n{") for path in journal.iterdir())
    assert lines > 0
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "yolox-nano-private" in done.stdout


def test_attacks_are_part_of_the_result_when_they_are_asked_for(photographs, tmp_path, capsys):
    training = tmp_path / "training"
    training.mkdir()
    for i, path in enumerate(demo.photographs(("chelsea.png", "coffee.png", "motorcycle_left.png"))):
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((288, 288))
        picture.save(training / f"{i}.png")
    arguments = [
        "yolox-nano-private",
        "yolox-nano-open",
        "--images",
        str(photographs / "evaluate"),
        "--anchors",
        "none",
    ]
    arguments += ["--qualities", "2,6", "--bootstrap", "5", "--workers", "1"]
    arguments += [
        "--work",
        str(tmp_path / "work"),
        "--attack",
        str(training),
        "--attack-qualities",
        "2,6",
        "--attack-steps",
        "2",
    ]
    arguments += ["--attackers", "invnet", "--json", str(tmp_path / "run.json")]
    assert cli.main([*arguments, "--html", str(tmp_path / "run.html")]) == 0
    got = result(tmp_path / "run.json")
    attacked = [(a.target, a.point, a.attacker, a.strongest) for a in got.attacks]
    targets = [
        ("yolox-nano-private", 2),
        ("yolox-nano-private", 6),
        ("yolox-nano-open", 2),
        ("yolox-nano-open", 6),
        ("raw", 0),
    ]
    assert attacked == [(*t, "invnet", True) for t in targets]
    assert got.reference.blind_psnr is not None
    assert {bd.measure for bd in got.bd} == {"attack-psnr"}
    by_method = {bd.method: bd for bd in reversed(got.bd)}  # the first of each: of the curves as they are
    assert set(by_method) == {"constrained-cubic", "pchip", "akima"}
    assert "2 points" in by_method["pchip"].refused
    assert "2 points" not in (by_method["constrained-cubic"].refused or "")  # of which it takes any
    assert "rebuilt by invnet" in (tmp_path / "run.html").read_text()
    before = capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert result(tmp_path / "run.json").attacks == got.attacks
    assert "Privacy" in before
    assert cli.main([*arguments, "--attack-codecs-only"]) == 0
    assert result(tmp_path / "run.json").attacks == got.attacks[:-1]


def test_faces_take_a_folder_and_a_network(photographs, tmp_path, capsys):
    arguments = ["yolox-nano-private", "--images", str(photographs / "evaluate"), "--anchors", "none"]
    arguments += ["--attack", str(tmp_path), "--faces", str(tmp_path), "--work", str(tmp_path / "work")]
    assert cli.main(arguments) == 1
    assert "got one of --faces and --face-model, expected both or none" in capsys.readouterr().err
    assert cli.main(["yolox-nano-private", "--anchors", "none", "--faces", str(tmp_path)]) == 1
    assert "expected --attack FOLDER" in capsys.readouterr().err


# ---- what made the figures that are kept


def from_a_copy(once, tmp_path):
    """Arguments of the same run that go on from a copy of its work folder, and the journals in it."""
    out, arguments = once
    shutil.copytree(out / "work", tmp_path / "work")
    moved = [a.replace(str(out), str(tmp_path)) for a in arguments]
    return moved, sorted((tmp_path / "work" / "journal").iterdir())


def rewrite(journal, change):
    rows = [json.loads(line) for line in journal.read_text().split("\n") if line.endswith("}")]  # none torn
    journal.write_text("".join(json.dumps(change(i, row)) + "\n" for i, row in enumerate(rows)))


def test_figures_and_times_of_another_machine_are_not_shown_as_of_this_one(once, tmp_path, capsys):
    arguments, journals = from_a_copy(once, tmp_path)
    elsewhere = {"commit": "1f0c2a9", "packages": "featcodec 0.0.9", "machine": "aarch64, 4 cores"}
    slow = {"origin": elsewhere, "encode_s": 1000.0, "decode_s": 2000.0}
    journals.sort(key=lambda journal: '"bytes":0,' in journal.read_text())  # the uncoded network's last
    for k, journal in enumerate(journals):  # from elsewhere: all of one entry and point, half of the others
        rewrite(journal, lambda i, row, k=k: row | slow if k == 0 or i == 0 else row)
    assert cli.main(arguments) == 0
    got, first = result(tmp_path / "run.json"), result(once[0] / "run.json")
    count = 2 * len(journals)
    (note,) = set(got.notes) - set(first.notes) - {n for n in got.notes if n.startswith("Encoding and")}
    assert note == (
        f"Of mixed origin: {len(journals) + 1} of {count} kept pieces were made by commit 1f0c2a9 "
        "(featcodec 0.0.9) on aarch64, 4 cores."
    )
    assert [o.machine for o in got.made.origins] == [got.made.machine, "aarch64, 4 cores"]
    assert got.made.measures["metrics"] == METRICS_VERSION
    points = [p for e in got.entries for p in e.points]
    (there,) = [p for p in points if p.timed_on]
    assert (there.timed_on, there.encode_ms, there.decode_ms) == ("aarch64, 4 cores", 1e6, 2e6)
    assert all(p.encode_ms < 1e5 for p in points if not p.timed_on)
    assert "both times of the row are of aarch64, 4 cores" in " ".join(capsys.readouterr().out.split())
    assert [p.map for p in points] == [p.map for e in first.entries for p in e.points]


def test_what_another_version_coded_is_coded_again(once, tmp_path, monkeypatch):
    arguments, journals = from_a_copy(once, tmp_path)
    before = {journal: journal.read_bytes() for journal in journals}
    monkeypatch.setattr("featcodec.bench.runner.CODING_VERSION", 2)
    assert cli.main(arguments) == 0
    after = {journal: journal.read_bytes() for journal in (tmp_path / "work" / "journal").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 2 * len(before)


@pytest.mark.parametrize(
    ("module", "constant", "again"),
    [
        ("featcodec.bench.subject", "ENCODER_VERSION", 2),  # two qualities of the codec
        ("featcodec.bench.anchors.images", "ANCHORS_VERSION", 5),  # points of image-jpeg
        ("featcodec.bench.anchors.features", "ANCHORS_VERSION", 1),  # raw-zstd
    ],
)
def test_only_what_a_coders_version_speaks_for_is_coded_again(
    once, tmp_path, monkeypatch, module, constant, again
):
    arguments, journals = from_a_copy(once, tmp_path)
    monkeypatch.setattr(f"{module}.{constant}", 2)
    assert cli.main(arguments) == 0
    added = set((tmp_path / "work" / "journal").iterdir()) - set(journals)
    entries = {e.name: len(e.points) for e in result(tmp_path / "run.json").entries}
    assert len(added) == again or (again == 5 and len(added) == entries["image-jpeg"])


def test_a_journal_of_bare_lists_ends_the_run_with_one_line(once, tmp_path, capsys):
    arguments, journals = from_a_copy(once, tmp_path)
    rewrite(journals[0], lambda _, row: [row["picture"], row["bytes"], 0.1, 0.1, []])
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert f"{journals[0]}: kept by another version, or damaged" in err
    assert "Traceback" not in err
