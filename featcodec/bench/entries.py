"""Which entries a run has, and the value ranges that some of them need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from featcodec.bench.anchors import Anchor, Calibration, Range, find_anchors, measure_range
from featcodec.bench.subject import CodecCoder, Subject, Wanted
from featcodec.errors import InputError
from featcodec.evaluation.coders import Coder
from featcodec.evaluation.kept import picture_key
from featcodec.evaluation.metric import Metric
from featcodec.networks.cut_network import features_of
from featcodec.networks.torch_state import inference

__all__ = ["CALIBRATION", "ComparisonPlan", "build", "measure_ranges", "needs_ranges", "present"]

CALIBRATION = 64  # photographs on which ranges are measured


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """All that a worker needs to make the entries for itself.

    Attributes:
        wanted: network and codecs.
        anchors: what codecs are compared with; all of them work here.
        qualities: of the codecs.
        effort: of their encoders, 0 to 3.
        metric: of accuracy.
        ranges: least and largest value of the features (``"features"``) and of each codec's latents (by the
            codec's name), measured on photographs that are not evaluated.
    """

    wanted: Wanted
    anchors: tuple[Anchor, ...]
    qualities: tuple[float, ...]
    effort: int
    ranges: dict[str, Range]
    metric: Metric


def build(subject: Subject, plan: ComparisonPlan) -> list[Coder]:
    """The entries, codecs first.

    Raises:
        InputError: two of the same name.
    """
    coders: list[Coder] = [CodecCoder(codec, plan.qualities, plan.effort) for codec in subject.codecs]
    for anchor in plan.anchors:
        if anchor.needs == "latents":
            coders += [anchor.coder(Calibration(plan.ranges.get(c.name), c)) for c in subject.codecs]
        else:
            coders.append(anchor.coder(Calibration(plan.ranges.get("features"))))
    names = [c.name for c in coders]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"entry {name!r}: got it twice, expected different names")
    return coders


def present(wanted: Sequence[str | Anchor]) -> tuple[tuple[Anchor, ...], tuple[str, ...]]:
    """Anchors that work here, and for each of the others a line that says why not.

    Raises:
        InputError: no such anchor.
    """
    reasons = [(anchor, anchor.missing()) for anchor in find_anchors(wanted)]
    return (
        tuple(anchor for anchor, why in reasons if why is None),
        tuple(f"{anchor.name} is left out: {why}" for anchor, why in reasons if why is not None),
    )


def needs_ranges(anchors: Sequence[Anchor]) -> bool:
    """Whether some of these anchors code values whose range has to be measured."""
    return any(anchor.needs != "nothing" for anchor in anchors)


def measure_ranges(subject: Subject, paths: Sequence[Path], evaluated: Sequence[Path]) -> dict[str, Range]:
    """Ranges of features and latents, on photographs that the run does not evaluate.

    Raises:
        InputError: one of the photographs is evaluated, too.
    """
    measured = {picture_key(p) for p in evaluated}
    for path in paths:
        if picture_key(path) in measured:
            raise InputError(
                "is among the pictures to evaluate, expected others to calibrate on", path=str(path)
            )
    features: list[Tensor] = []
    latents: dict[str, list[Tensor]] = {codec.name: [] for codec in subject.codecs}
    for path in paths:
        x, _ = subject.network.canvas.load(path)
        features.append(f := features_of(subject.network, x))
        with inference():
            for codec in subject.codecs:
                latents[codec.name].append(codec.file.g_a(f))
    return {"features": measure_range(features)} | {name: measure_range(ys) for name, ys in latents.items()}
