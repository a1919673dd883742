"""Regression in closed form: it is what least squares says, in either form, and gradients pass through it."""

from __future__ import annotations

import pytest
import torch

from featcodec.training.regression import KernelRidge, kernel, kernel_weights, ridge_weights


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    return x, torch.randn(40, 3, generator=generator, dtype=torch.float64)


def test_without_penalty_ridge_is_least_squares(examples):
    x, t = examples
    weights = ridge_weights(x.T @ x / 40, x.T @ t / 40, 0.0)
    assert torch.allclose(weights, torch.linalg.lstsq(x, t).solution, atol=1e-8)


def test_the_penalty_counts_in_mean_squares_of_the_regressors(examples):
    x, t = examples
    one = ridge_weights(x.T @ x / 40, x.T @ t / 40, 0.1)
    scaled = ridge_weights((7 * x).T @ (7 * x) / 40, (7 * x).T @ t / 40, 0.1)
    assert torch.allclose(7 * scaled, one, atol=1e-9)
    penalty = 0.1 * (x.T @ x / 40).diagonal().mean()
    rows = torch.cat((x, (40 * penalty).sqrt() * torch.eye(5)))
    assert torch.allclose(
        one, torch.linalg.lstsq(rows, torch.cat((t, torch.zeros(5, 3)))).solution, atol=1e-8
    )


def test_a_linear_kernel_gives_the_weights_of_ridge(examples):
    x, t = examples
    dual = x.T @ kernel_weights(kernel(x, x, None), t, 0.2) / 5
    mean_square = (x.T @ x / 40).diagonal().mean()
    primal = ridge_weights(x.T @ x / 40, x.T @ t / 40, float(0.2 * 5 / 40 / mean_square))
    assert torch.allclose(dual, primal, atol=1e-8)


def test_a_gaussian_kernel_is_that_of_the_distances(examples):
    x, _ = examples
    expected = torch.exp(-0.7 * torch.cdist(x, x[:4]) ** 2 / 10)
    assert torch.allclose(kernel(x, x[:4], 0.7), expected, atol=1e-9)


def test_a_small_penalty_learns_by_heart_and_a_great_one_says_the_mean(examples):
    x, t = examples
    by_heart = KernelRidge.fit(x, t, gamma=2.0, level=1e-8)
    assert torch.allclose(by_heart(x), t, atol=1e-4)
    mean = KernelRidge.fit(x, t, gamma=2.0, level=1e8)
    assert torch.allclose(mean(x), t.mean(0).expand(40, 3), atol=1e-6)


@pytest.mark.parametrize("gamma", [None, 1.0])
def test_shift_and_scale_of_a_regressor_do_not_matter(examples, gamma):
    x, t = examples
    moved = x * torch.tensor([1.0, 20.0, 0.3, 1.0, 5.0]) + 3
    one = KernelRidge.fit(x, t, gamma=gamma, level=0.1)(x)
    assert torch.allclose(KernelRidge.fit(moved, t, gamma=gamma, level=0.1)(moved), one, atol=1e-8)


def test_a_regressor_that_never_changes_is_no_harm(examples):
    x, t = examples
    still = torch.cat((x, torch.ones(40, 1)), 1)
    assert KernelRidge.fit(still, t, gamma=1.0, level=0.1)(still).isfinite().all()


@pytest.mark.parametrize("gamma", [None, 1.0])
def test_the_gradient_of_what_is_explained_is_that_of_differences(examples, gamma):
    x, t = examples

    def error(x):
        return (KernelRidge.fit(x[:30], t[:30], gamma=gamma, level=0.1)(x[30:]) - t[30:]).square().mean()

    assert torch.autograd.gradcheck(error, [x.clone().requires_grad_()])
