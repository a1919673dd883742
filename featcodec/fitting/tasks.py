"""What a codec must not spoil: the task, as a distortion that gradients go through.

    f̂ ──tail──▶ outputs  ─┐
    f ──tail──▶ outputs  ─┴─▶ D_task (B,)

`find_task` looks at what the tail computes, once, and takes what can be compared: what the network returns,
or what its last layers do, where that has no gradient or no fixed shape, as after non-maximum suppression.

Source: Hinton et al. 2015 (arXiv:1503.02531), eq. 4, for logits; Romero et al. 2015 (arXiv:1412.6550), eq. 3,
for what is computed on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.errors import FitError
from featcodec.fitting.losses import detection_divergence, distortion
from featcodec.networks.compared import differentiable, relative_error
from featcodec.networks.cut_network import CutNetwork, DetectorHead
from featcodec.networks.outputs import tensors_of
from featcodec.networks.survey import watch
from featcodec.networks.void import Void

__all__ = [
    "Detection",
    "Distillation",
    "FeatureTask",
    "Loss",
    "OwnTask",
    "Task",
    "TaskMetric",
    "find_task",
]

Loss = Callable[[Any, Any], Tensor]
_MOST_NAMED = 4


class Task(Protocol):
    """A task, as the loop uses it."""

    def compared(self, f: Tensor) -> Sequence[Tensor]:
        """The tensors (B, ...) that `distortion` compares beside the features themselves, with gradients."""

    def target(self, f: Tensor, labels: Any) -> Any:
        """What decoded features are judged by, from uncoded features (B, C, h, w); without gradients."""

    def distortion(self, f_hat: Tensor, target: Any) -> Tensor:
        """D_task (B,) of decoded features."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A detector's maps that are worth distilling, and its raw outputs: `featcodec.fitting.losses`.

    The raw outputs are for a fit that starts from a good codec: by their noisy gradients a new one hardly
    moves.

    Attributes:
        detector: what uncoded features go through.
        tuned: what decoded ones go through; the same, unless the tail is tuned.
        feature_weight: share of the features' own error.
        output_weight: share of the raw outputs.
    """

    detector: DetectorHead
    tuned: DetectorHead
    feature_weight: float
    output_weight: float

    def compared(self, f: Tensor) -> Sequence[Tensor]:
        return self.detector.maps(f)[1:]

    def target(self, f: Tensor, labels: Any) -> list[Tensor]:  # noqa: ARG002
        return self.detector.maps(f)

    def distortion(self, f_hat: Tensor, target: list[Tensor]) -> Tensor:
        got = self.tuned.maps(f_hat)
        d = distortion(got, target, self.feature_weight)
        if self.output_weight:
            wanted = self.detector.raw_outputs(target)
            d = d + self.output_weight * detection_divergence(self.tuned.raw_outputs(got), wanted)
        return d


@dataclass(frozen=True, slots=True)
class FeatureTask:
    """The features themselves: no tail is run."""

    def compared(self, f: Tensor) -> Sequence[Tensor]:  # noqa: ARG002
        return ()

    def target(self, f: Tensor, labels: Any) -> Tensor:  # noqa: ARG002
        return f

    def distortion(self, f_hat: Tensor, target: Tensor) -> Tensor:
        return relative_error(f_hat, target)


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """A task's metric in the place of its tail: what an error of the features costs, to the second order.

    Attributes:
        root: (4 C, 4 C) root of the metric of 2x2 blocks; see `featcodec.training.closed_form`.
        stride: pixels that a place of the features stands for.
    """

    root: Tensor
    stride: int

    def compared(self, f: Tensor) -> Sequence[Tensor]:  # noqa: ARG002
        return ()

    def target(self, f: Tensor, labels: Any) -> Tensor:  # noqa: ARG002
        return f

    def distortion(self, f_hat: Tensor, target: Tensor) -> Tensor:
        error = F.pixel_unshuffle(f_hat.float() - target.float(), 2)
        cost = F.conv2d(error, self.root[:, :, None, None]).square().flatten(1).sum(1)
        return cost / (target.shape[2] * target.shape[3] * self.stride**2)


@dataclass(frozen=True, slots=True)
class OwnTask:
    """The user's loss of what the network returns, against labels or what it returns uncoded.

    Attributes:
        network: cut; what uncoded features go through.
        tuned: what decoded ones go through; the same, unless the tail is tuned.
        loss: (output, labels, or the output from uncoded features where there are none) to (B,).
        feature_weight: share of the features' own error.
    """

    network: CutNetwork
    tuned: CutNetwork
    loss: Loss
    feature_weight: float

    def compared(self, f: Tensor) -> Sequence[Tensor]:
        """What the network returns, as far as it has gradients: what the loss looks at in it is not known."""
        return differentiable(self.network.tail((f,)), len(f))

    def target(self, f: Tensor, labels: Any) -> tuple[Tensor, Any]:
        return f, self.network.tail((f,)) if labels is None else labels

    def distortion(self, f_hat: Tensor, target: tuple[Tensor, Any]) -> Tensor:
        f, wanted = target
        loss = self.loss(self.tuned.tail((f_hat,)), wanted)
        if not isinstance(loss, Tensor) or loss.shape != f.shape[:1]:
            got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise FitError(f"task: got {got}, expected a loss ({len(f)},), one number for each picture")
        return loss.float() + self.feature_weight * relative_error(f_hat, f)


@dataclass(frozen=True, slots=True)
class Distillation:
    """What the network returns, or one of its layers, against the same from uncoded features.

    Attributes:
        network: cut; what uncoded features go through.
        tuned: what decoded ones go through; the same, unless the tail is tuned.
        layer: the layer whose output is compared; empty for what the network returns.
        kept: which of the tensors there, by position.
        names: what they are called.
        feature_weight: share of the features' own error.
    """

    network: CutNetwork
    tuned: CutNetwork
    layer: str
    kept: tuple[int, ...]
    names: tuple[str, ...]
    feature_weight: float

    def compared(self, f: Tensor) -> Sequence[Tensor]:
        return self._outputs(self.network, f)

    def target(self, f: Tensor, labels: Any) -> tuple[Tensor, list[Tensor]]:  # noqa: ARG002
        return f, self._outputs(self.network, f)

    def distortion(self, f_hat: Tensor, target: tuple[Tensor, list[Tensor]]) -> Tensor:
        f, wanted = target
        got = self._outputs(self.tuned, f_hat)
        errors = [output_error(a, b) for a, b in zip(got, wanted, strict=True)]
        return torch.stack(errors).mean(0) + self.feature_weight * relative_error(f_hat, f)

    def _outputs(self, network: CutNetwork, f: Tensor) -> list[Tensor]:
        found = list(tensors_of(self._run(network, f)))
        return [found[i][1] for i in self.kept]

    def _run(self, network: CutNetwork, f: Tensor) -> Any:
        if not self.layer:
            return network.tail((f,))
        seen: list[Any] = []

        def visit(path: str, call: int, output: bool, what: Any) -> None:  # noqa: ARG001
            if output:
                seen.append(what)

        with watch(network.network, [self.layer], visit):
            network.tail((f,))
        return seen[-1]


def output_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Relative squared error (B,); for (B, K), also the divergence of the class probabilities, in nats."""
    error = relative_error(got, wanted)
    if wanted.ndim != 2 or wanted.shape[1] < 2:
        return error
    p, q = _log_probabilities(wanted.float()), _log_probabilities(got.float())
    return error + F.kl_div(q, p, reduction="none", log_target=True).sum(1)


def _log_probabilities(x: Tensor) -> Tensor:
    """Of logits; of probabilities likewise, whose logarithms are logits."""
    if bool((x.detach() >= 0).all()) and bool(((x.detach().sum(1) - 1).abs() < 1e-2).all()):
        x = x.clamp(min=1e-8).log()
    return x.log_softmax(1)


def find_task(
    network: CutNetwork,
    task: str | Loss,
    f: Tensor,
    *,
    feature_weight: float,
    output_weight: float = 0.0,
    tuned: CutNetwork | None = None,
) -> Task:
    """The task that a codec is fitted for.

    Args:
        network: cut.
        task: ``"outputs"``: what the tail computes; ``"features"``; or the user's own loss.
        f: uncoded features (B, C, h, w) of a few pictures, two or more.
        feature_weight: share of the features' own error.
        output_weight: share of a detector's raw outputs.
        tuned: the network with the tail that decoded features go through, where that is tuned, too.

    Raises:
        FitError: no such task, an `output_weight` for another one, or nothing that the tail computes can be
            compared; says what was found.
    """
    detector = network.detector if task == "outputs" else None
    if output_weight and detector is None:
        raise FitError(
            f"output_weight: got {output_weight:g}, expected 0: it is for a detector's outputs only"
        )
    if callable(task):
        return OwnTask(network, tuned or network, task, feature_weight)
    if task == "features":
        return FeatureTask()
    if task != "outputs":
        raise FitError(f"task: got {task!r}, expected outputs, features or a function")
    if detector is not None:
        behind = (tuned.detector if tuned else None) or detector
        return Detection(detector, behind, feature_weight, output_weight)
    return _distill(network, tuned or network, f, feature_weight)


def _distill(network: CutNetwork, tuned: CutNetwork, f: Tensor, feature_weight: float) -> Distillation:
    """The outermost and last of what can be compared: what the network returns, or a layer's output."""
    f = f.detach().float()
    other = f + 0.1 * f.std() * torch.randn(f.shape, generator=torch.Generator().manual_seed(0)).to(f.device)
    first, second = _seen(network, f), _seen(network, other)
    # outer layers before inner ones; sorting keeps the order of those alike
    last_first = list(first)[::-1]
    order = sorted(last_first, key=lambda path: path.count(".") + bool(path))
    for path in order:
        kept = _comparable(first[path], second.get(path, []), len(f))
        if kept:
            names = tuple(f"{path}{first[path][i][0]}" or "output" for i in kept)
            return Distillation(network, tuned, path, kept, names, feature_weight)
    returned = [
        f"{name or 'output'} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for name, t in first[""]
    ]
    got = ", ".join(returned[:_MOST_NAMED]) or "no tensor"
    raise FitError(
        f"task: the network returns {got}, and neither that nor a layer after the cut gives a tensor that "
        "has a gradient and always the same shape (B, ...); give a loss of your own, or task='features'"
    )


def _comparable(
    first: list[tuple[str, Tensor]], second: list[tuple[str, Tensor]], batch: int
) -> tuple[int, ...]:
    """Positions of tensors that are numbers for each picture, have gradients, and keep their shape."""
    if len(first) != len(second):
        return ()
    return tuple(
        i
        for i, ((_, a), (_, b)) in enumerate(zip(first, second, strict=True))
        if a.is_floating_point() and a.requires_grad and a.shape == b.shape and a.shape[:1] == (batch,)
        and a.numel() > 0
    )  # fmt: skip


def _seen(network: CutNetwork, f: Tensor) -> dict[str, list[tuple[str, Tensor]]]:
    """The tensors that each layer of the tail returns, in the order of computation, its own last."""
    seen: dict[str, list[tuple[str, Tensor]]] = {}
    given = f.clone().requires_grad_()

    def visit(path: str, call: int, output: bool, what: Any) -> None:  # noqa: ARG001
        if output and path:
            seen.pop(path, None)  # the last call counts
            seen[path] = [(name, t) for name, t in tensors_of(what) if not _before(t, given)]

    paths = [path for path, _ in network.network.named_modules() if path]
    with torch.enable_grad(), watch(network.network, paths, visit):
        output = network.tail((given,))
    return {**seen, "": list(tensors_of(output))}


def _before(tensor: Tensor, features: Tensor) -> bool:
    """Whether it comes from before the cut, or from layers that end there: those return the features."""
    same = not isinstance(tensor, Void) and tensor.data_ptr() == features.data_ptr()
    return isinstance(tensor, Void) or (same and tensor.shape == features.shape)
