"""What an anchor is: something to compare codecs with, that is made anew for each network and codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from featcodec.codec.feature_codec import FeatureCodec
from featcodec.evaluation.coders import Coder

__all__ = ["Anchor", "Calibration", "Needs", "Range"]

Range: TypeAlias = tuple[float, float]
Needs = Literal["nothing", "features", "latents"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured for an anchor on photographs that are not evaluated.

    Attributes:
        span: least and largest value of the features or latents that it codes; None where it needs none.
        codec: the codec whose latents they are; None for anchors that know no codec.
    """

    span: Range | None = None
    codec: FeatureCodec | None = None


class Anchor(Protocol):
    """One thing that codecs are compared with.

    A user's own is given to `featcodec.bench.compare.compare` beside the names of the built-in ones. It is
    sent to worker processes, so it has to survive `pickle`.

    Attributes:
        name: as in tables, such as ``"raw-vvc"``.
        needs: whose value range it has to know: that of the ``"features"``, or of each codec's ``"latents"``;
            in the latter case there is one coder for each codec.
    """

    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> Needs: ...

    def missing(self) -> str | None:
        """Why it cannot run here, in one line; None if it can."""
        ...

    def coder(self, measured: Calibration) -> Coder:
        """The entry of the comparison.

        Raises:
            InputError: what it needs was not measured.
        """
        ...
