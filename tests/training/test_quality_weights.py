"""Lambda over the qualities, the balance of their losses, and the steps that follow."""

import math

import pytest
import torch

from featcodec.training.quality_weights import QualityWeights, step_width


def test_lambda_is_geometric_between_its_ends_without_a_bend():
    got = QualityWeights(0.5, 8.0).at(torch.tensor([1.0, 4.5, 8.0]))
    assert torch.allclose(got, torch.tensor([0.5, 2.0, 8.0]))


def test_a_bend_moves_the_low_qualities_together_and_leaves_the_ends():
    bent = QualityWeights(0.5, 8.0, bend=1.6).at(torch.arange(1.0, 9.0)).log()
    steps = bent.diff()
    assert (steps.diff() > 0).all()
    assert bent[[0, -1]].exp().tolist() == pytest.approx([0.5, 8.0])


def test_the_balance_takes_the_root_of_lambda_and_leaves_the_middle():
    weights = QualityWeights(0.25, 25.0)
    got = weights.balance(torch.tensor([1.0, 4.5, 8.0]), 0.5)
    assert torch.allclose(got, torch.tensor([10**0.5, 1.0, 10**-0.5]))
    assert torch.equal(weights.balance(torch.rand(3) + 1, 0.0), torch.ones(3))


@pytest.mark.parametrize("weight", [0.3, 30.0])
def test_the_step_is_where_rate_and_distortion_balance(weight):
    step = step_width(weight)
    slope = 2 * weight * step / 12 - 1 / (step * math.log(2))
    assert slope == pytest.approx(0, abs=1e-9)


def test_the_gains_are_what_the_steps_ask_for():
    weights = QualityWeights(0.5, 32.0, bend=2.0)
    lambdas = weights.at(torch.arange(1.0, 9.0)).tolist()
    assert weights.gains().exp2().tolist() == pytest.approx([1 / step_width(w) for w in lambdas])
