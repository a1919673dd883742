"""Ctrl-C and SIGTERM: a training stops between two steps, keeps what it has done, and goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from skimage import data_dir
from torch import nn
from torch.utils.data import Dataset

import featcodec
from featcodec.commands.main import main
from featcodec.training.stopping import StopSignals

SMALL = {"size": 64, "batch": 2, "latents": 8, "steps": 6, "privacy": 1.0, "adversary_head_start": 1}
RAISED = [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]

NETWORK = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))
"""


@pytest.fixture(autouse=True)
def heeded():
    """Tests in the background of a script inherit an interrupt that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGINT, before)


class Noise(Dataset):
    """Pictures, of which the one after so many sends a signal."""

    def __init__(self, number=0, after=None):
        self.number, self.left = number, after

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(self.number)
        return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i))


def outputs(number=0, after=None):
    """The squared error, which sends a signal in the midst of a step."""
    calls = []

    def loss(got, wanted):
        calls.append(1)
        if len(calls) == after:
            signal.raise_signal(number)
        return (got - wanted).square().flatten(1).mean(1)

    loss.__qualname__ = "outputs"
    return loss


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))


@pytest.fixture(scope="module")
def fit(network):
    def fit(images, task, out=None):
        return featcodec.fit(network, at="1", images=images, task=task, out=out, **SMALL)

    return fit


@pytest.fixture(scope="module")
def whole(fit):
    return fit(Noise(), outputs())


@pytest.mark.parametrize(("number", "error", "code"), RAISED)
@pytest.mark.parametrize("midst", [True, False])
def test_a_fit_that_is_told_to_stop_goes_on_to_the_same_codec(
    fit, whole, tmp_path, capsys, number, error, code, midst
):
    task = outputs(number, after=2) if midst else outputs()  # the second call is in the fourth step
    images = Noise() if midst else Noise(number, after=192 + 2 * 4)  # past those of the closed form
    with pytest.raises(error) as raised:
        fit(images, task, tmp_path)
    assert raised.value.code == code if code else True
    step = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < step < 6
    said = capsys.readouterr().err
    assert f"featcodec: fit: stopped at step {step} of 6; started again" in said
    assert said.count("\n") == 1
    again = fit(Noise(), outputs(), tmp_path)
    assert again.fingerprint == whole.fingerprint
    assert again.file.encoder_digest == whole.file.encoder_digest


def test_without_a_folder_nothing_is_kept_and_that_is_said(fit, capsys):
    with pytest.raises(KeyboardInterrupt):
        fit(Noise(), outputs(signal.SIGINT, after=2))
    assert "nothing is kept without a folder" in capsys.readouterr().err


def test_a_second_signal_does_not_wait():
    held_back = []

    def impatient():
        with StopSignals() as stop:
            for step in stop.until_signal(range(3)):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                held_back.append(step)

    with pytest.raises(KeyboardInterrupt):
        impatient()
    assert held_back == []


def test_a_handler_of_the_callers_own_is_asked_after_the_state_is_saved():
    asked, done = [], []

    def train():
        with StopSignals() as stop:
            for step in stop.until_signal(range(3)):
                signal.raise_signal(signal.SIGTERM)
                done.append(step)
            done.append("saved")

    before = signal.signal(signal.SIGTERM, lambda *_: asked.append(tuple(done)))
    try:
        with pytest.raises(SystemExit):
            train()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [(0, "saved")]


def test_what_is_ignored_stays_ignored_and_other_threads_change_nothing():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as stop:
        for _ in stop.until_signal(range(2)):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert stop.received is None
    found = []

    def elsewhere():
        with StopSignals() as stop:
            found.extend(stop.until_signal(range(2)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [0, 1]


def test_several_processes_stop_at_the_same_step():
    told, done = iter([False, True]), []

    def train():
        with StopSignals() as stop:
            done.extend(stop.until_signal(range(9), agree=lambda _: next(told)))

    with pytest.raises(SystemExit):
        train()
    assert done == [0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_as_the_shell_expects_and_goes_on(tmp_path, monkeypatch, number, code):
    monkeypatch.chdir(tmp_path)
    Path("stopnet.py").write_text(NETWORK)
    Path("photos").mkdir()
    Path("photos", "a.png").symlink_to(Path(data_dir, "astronaut.png"))
    fit = ["fit", "stopnet:network", "--at", "1", "--images", "photos", "--size", "64", "--steps", "60"]
    fit += ["--batch", "2", "--name", "mine"]
    environment = {**os.environ, "PYTHONPATH": str(Path(featcodec.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-m", "featcodec", *fit, "-o", "parts.safetensors"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=environment, stderr=-1, text=True, preexec_fn=heed) as process:
        while not Path("parts.fit/log.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert said.startswith("featcodec: fit: stopped at step ")
    assert said.count("\n") == 1
    assert not Path("parts.safetensors").exists()
    assert 0 < torch.load("parts.fit/checkpoint.pt", weights_only=True)["step"] < 60
    assert main([*fit, "-o", "parts.safetensors"]) == 0
    assert main([*fit, "-o", "whole.safetensors"]) == 0
    assert Path("parts.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    sys.modules.pop("stopnet", None)
