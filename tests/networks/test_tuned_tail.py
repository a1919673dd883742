"""A network with other weights behind the cut."""

import pytest
import torch
from torch import nn

from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.tuned_tail import tail_parameters, with_tail
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolox import YOLOX


def cut_of(network: nn.Module, at: str | int, size: int = 64):
    return cut_network(network, describe(network, NetworkWish(at=at, model="some")), size=size)


class Shared(nn.Module):
    """One convolution before and behind the cut."""

    def __init__(self):
        super().__init__()
        self.enter, self.both, self.out = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.out(self.both(self.act(self.both(self.enter(x)))))


def test_parameters_that_both_halves_use_are_not_the_tails():
    found = tail_parameters(cut_of(Shared().eval(), "act"), torch.rand(1, 8, 16, 16))
    assert sorted(found) == ["out.bias", "out.weight"]


@pytest.mark.parametrize(
    ("network", "at", "channels", "first", "last"),
    [
        (lambda: YOLOX("nano", classes=3), "dark3", 64, "backbone.backbone.dark4", "head.obj_preds"),
        (lambda: YOLOv5("n", classes=3), 4, 64, "model.5", "model.24"),
    ],
)
def test_of_a_detector_all_behind_the_cut_is_the_tails(network, at, channels, first, last):
    torch.manual_seed(0)
    cut = cut_of(network().eval(), at)
    found = tail_parameters(cut, torch.rand(1, channels, 8, 8))
    every = [name for name, _ in cut.network.named_parameters()]
    assert any(name.startswith(first) for name in found)
    assert any(name.startswith(last) for name in found)
    before = {name for name in every if name not in found}
    x = torch.rand(1, 3, 64, 64)
    tuned = with_tail(cut, {name: torch.zeros_like(p) for name, p in found.items()})
    assert torch.equal(tuned.head(x)[0], cut.head(x)[0])
    assert not any(bool(out.any()) for out in tuned.tail(tuned.head(x)))
    assert before  # the head's
    assert not any(p.requires_grad for p in cut.network.parameters())


def test_the_network_itself_stays_as_it_is():
    torch.manual_seed(0)
    cut = cut_of(Shared().eval(), "act")
    f = torch.rand(1, 8, 16, 16)
    was = cut.tail((f,)).clone()
    tuned = with_tail(cut, {"out.bias": torch.tensor([5.0, 7.0])})
    assert torch.equal(cut.tail((f,)), was)
    expected = was - cut.network.out.bias.view(2, 1, 1) + torch.tensor([5.0, 7.0]).view(2, 1, 1)
    torch.testing.assert_close(tuned.tail((f,)), expected)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"else.weight": torch.zeros(1)}, "got 'else.weight', expected parameters of some"),
        ({"out.bias": torch.zeros(3)}, r"out.bias: got \(3,\), expected \(2,\)"),
    ],
)
def test_what_is_no_tail_of_the_network_is_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        with_tail(cut_of(Shared().eval(), "act"), tensors)
