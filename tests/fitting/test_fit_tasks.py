"""What of a network's outputs can be distilled, found without knowing the network."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from featcodec.errors import FitError
from featcodec.fitting.tasks import FeatureTask, OwnTask, find_task, output_error, tensors_of
from featcodec.networks.families import NetworkWish, cut_network, describe


@dataclass
class Found:
    boxes: Tensor
    scores: Tensor


class Network(nn.Module):
    """A backbone, a head, and whatever is done with what the head gives."""

    def __init__(self, end):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.head = nn.Conv2d(8, 4, 1)
        self.end = end

    def forward(self, x):
        return self.end(self.head(self.backbone(x)))


def cut_at(network, at, size=64):
    return cut_network(network, describe(network, NetworkWish(at=at, model="any")), size=size)


def cut(end):
    torch.manual_seed(0)
    return cut_at(Network(end).eval(), "backbone.1")


def task_of(end, task="outputs"):
    network = cut(end)
    f = network.head(torch.rand(3, 3, 64, 64))[0]
    return find_task(network, task, f, feature_weight=0.1), f


@pytest.mark.parametrize(
    ("end", "names"),
    [
        (lambda y: y, ("output",)),
        (lambda y: {"out": y, "classes": y.argmax(1), "aux": [y.mean((2, 3))]}, (".out", ".aux[0]")),
        (lambda y: Found(y.flatten(2), y.detach()), (".boxes",)),
        (lambda y: (y, "text", 3, y.round().int()), ("[0]",)),
        (lambda y: y.argmax(1), ("head",)),  # after it there is no gradient
        (lambda y: [y[i][:, y[i, 0] > 0] for i in range(len(y))], ("head",)),  # the picture decides how many
    ],
)
def test_what_has_gradients_and_keeps_its_shape_is_distilled(end, names):
    task, f = task_of(end)
    assert task.names == names
    d = task.distortion(f, task.target(f, None))
    assert torch.allclose(d, torch.zeros(3), atol=1e-5)
    other = (f + 0.3 * torch.randn_like(f)).requires_grad_()
    d = task.distortion(other, task.target(f, None))
    assert d.shape == (3,)
    assert (d > 0).all()
    d.sum().backward()
    assert float(other.grad.abs().sum()) > 0


def test_a_share_of_the_outputs_is_refused_where_it_would_do_nothing():
    network = cut(lambda y: y)
    f = network.head(torch.rand(3, 3, 64, 64))[0]
    for task in ("outputs", "features", torch.dist):
        with pytest.raises(FitError, match=r"output_weight: got 0\.5, expected 0"):
            find_task(network, task, f, feature_weight=0.1, output_weight=0.5)


def test_a_network_that_gives_nothing_to_distil_is_told_before_training():
    class Nothing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 5, 4, 2)

        def forward(self, x):
            return self.first(x).argmax(1)

    network = cut_at(Nothing().eval(), "first")
    f = network.head(torch.rand(3, 3, 64, 64))[0].detach()
    with pytest.raises(FitError, match=r"returns output \(3, 16, 16\) int64.*task='features'"):
        find_task(network, "outputs", f, feature_weight=0.1)
    assert isinstance(find_task(network, "features", f, feature_weight=0.1), FeatureTask)


def test_logits_and_probabilities_give_a_divergence_of_classes():
    logits, others = torch.randn(3, 10), torch.randn(3, 10)
    p, q = logits.softmax(1), others.softmax(1)
    divergence = (p * (p / q).log()).sum(1)
    assert torch.allclose(output_error(logits, logits), torch.zeros(3), atol=1e-6)
    relative = (others - logits).square().mean(1) / (logits.var() + 1e-6)
    assert torch.allclose(output_error(others, logits) - relative, divergence, rtol=1e-3)
    relative = (q - p).square().mean(1) / (p.var() + 1e-6)
    assert torch.allclose(output_error(q, p) - relative, divergence, rtol=1e-3)


class TestOwnLoss:
    def test_it_gets_outputs_and_the_uncoded_outputs_or_labels(self):
        seen = []

        def loss(output, wanted):
            seen.append(wanted)
            return output.flatten(1).mean(1) - 0.5

        task, f = task_of(lambda y: y, loss)
        assert isinstance(task, OwnTask)
        assert task.distortion(f, task.target(f, None)).shape == (3,)
        assert torch.equal(seen[0], task.network.tail((f,)))
        labels = torch.tensor([1, 2, 3])
        task.distortion(f, task.target(f, labels))
        assert seen[1] is labels

    def test_a_loss_that_is_not_one_number_a_picture_is_refused(self):
        task, f = task_of(lambda y: y, lambda output, _: output.mean())
        with pytest.raises(FitError, match=r"task: got \(\), expected a loss \(3,\)"):
            task.distortion(f, task.target(f, None))

    def test_a_task_of_another_name_is_refused(self):
        with pytest.raises(FitError, match="got 'labels', expected outputs, features or a function"):
            task_of(lambda y: y, "labels")


def test_tensors_are_found_in_whatever_a_network_returns():
    a, b = torch.zeros(1), torch.ones(1)
    found = dict(tensors_of({"x": [a, (b, None)], "y": Found(a, b), "z": "text"}))
    assert list(found) == [".x[0]", ".x[1][0]", ".y.boxes", ".y.scores"]


def test_a_cut_at_a_stride_that_is_no_power_of_two_is_laid_on_a_grid():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 3), nn.ReLU()).eval()
    cut = cut_at(network, "0", size=96)
    x = torch.rand(1, 3, 96, 96)
    (grid,) = cut.head(x)
    assert cut.config.packing
    torch.testing.assert_close(cut.tail((grid,)), network(x))
