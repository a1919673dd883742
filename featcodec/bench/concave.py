"""The constrained cubic: a curve of accuracy over rate that never falls and never bends upwards.

Accuracy of a network saturates and is measured on few objects, so that a point of more bytes often lies a few
tenths below one of fewer. Interpolation goes through both and has no inverse then; to leave one of them out
flatters the curve. A fit by least squares takes all points as they are:

    min over p   sum (p(x_i) - y_i)²      p cubic,   p' >= 0  and  p'' <= 0  at all x_i,   0 <= p <= 100

x is log10 of the bytes. That p'' is linear makes two of its values enough, those at both ends of the measured
interval; where p'' <= 0 all along, p' falls, so that its value at the right end is enough; and as p rises,
its values at both ends bound it. So there are five linear constraints on four coefficients, the problem is a
convex quadratic one with one solution, and its at most 31 sets of active constraints are simply tried.

Source: Wang et al. 2024, "Improvements of the BD-Rate Metrics Using Monotonic Curve-Fitting Methods" (PCS,
doi 10.1109/PCS60826.2024.10566370), of MPEG's group for feature coding. The article itself was not at hand;
followed is what CompressAI-Vision, which runs that group's tests, has under the article's name, in
`utils/cubic_polynomial.py` and `utils/curve_fitting.py`: the objective and the constraints are those above.
What differs is our reading:

- The script hands the problem to SLSQP; here it is solved exactly, and gives the same on every machine.
- The script replaces the points by those of the fitted curve at the same rates and gives them to the usual
  interpolation; here the fitted curve itself is integrated. There is no second curve between the points.
- The script can leave curves that rise as they are; here all are fitted, so that all are treated alike.
- Fewer than four rates do not determine a cubic: three have a parabola, two a line, constrained alike.
- For what an attack rebuilds, x is its PSNR in dB instead. That use is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.results import Interval

__all__ = ["FEWEST_RATES", "ConcaveCubic", "fit_concave"]

Floats = NDArray[np.float64]

DEGREE = 3
FEWEST_RATES = 2
NEAR = 1e-3  # of the interval: rates closer than that say nothing of a curve's bend, and count as one
FLAT = 1e-6  # percent points: a curve that rises by less has no inverse
DEPENDENT = 1e-13  # determinant of the products of unit vectors; below it they are not independent
HALVINGS = 60  # of the interval that holds a root, down to the last bits


@dataclass(frozen=True, slots=True)
class ConcaveCubic:
    """A cubic on an interval, nondecreasing and concave there.

    Attributes:
        span: ends of the interval of x.
        coefficients: of 1, u, u², u³ with u = (x - span[0]) / (span[1] - span[0]), so from 0 to 1.
    """

    span: Interval
    coefficients: tuple[float, ...]

    def __call__(self, x: float) -> float:
        """Its value at an x of the interval.

        >>> ConcaveCubic((2.0, 4.0), (30.0, 10.0, -4.0, 0.0))(3.0)
        34.0
        """
        return self._value(self._unit(x))

    @property
    def reach(self) -> Interval:
        """Its values at both ends, the least and the greatest that it has."""
        return self._value(0.0), max(self._value(0.0), self._value(1.0))

    @property
    def flat(self) -> bool:
        """Whether it is a plateau all along, and has no inverse. It cannot be one in parts."""
        low, high = self.reach
        return high - low <= FLAT

    def mean_value(self, low: float, high: float) -> float:
        """Mean of its values over low to high, of x.

        >>> ConcaveCubic((0.0, 1.0), (30.0, 10.0, 0.0, 0.0)).mean_value(0.5, 1.0)
        37.5
        """
        a, b = self._unit(low), self._unit(high)
        if b <= a:  # closer than numbers tell
            return self._value(a)
        mean = (self._primitive(b) - self._primitive(a)) / (b - a)
        return min(max(mean, self._value(a)), self._value(b))

    def mean_place(self, low: float, high: float) -> float:
        """Mean of its inverse over low to high, of its values: where on the x axis it has them.

        By parts: the integral of the inverse over the values is that of u p'(u) over u, u p(u) less the
        primitive of p. Nothing is sampled.

        Raises:
            InputError: it is flat.

        >>> round(ConcaveCubic((2.0, 4.0), (30.0, 10.0, 0.0, 0.0)).mean_place(30.0, 35.0), 9)
        2.5
        """
        if self.flat:
            raise InputError(f"curve: got a flat one at {self.reach[0]:.6g}, expected one that rises")
        a, b = self._where(low), self._where(high)
        area = b * high - a * low - (self._primitive(b) - self._primitive(a))
        mean = min(max(area / (high - low), a), b)  # between the ends, however narrow that is
        return self.span[0] + (self.span[1] - self.span[0]) * mean

    def _unit(self, x: float) -> float:
        return (x - self.span[0]) / (self.span[1] - self.span[0])

    def _value(self, u: float) -> float:
        value = 0.0
        for c in reversed(self.coefficients):
            value = value * u + c
        return value

    def _primitive(self, u: float) -> float:
        return sum(c * u ** (k + 1) / (k + 1) for k, c in enumerate(self.coefficients))

    def _where(self, value: float) -> float:
        """u from 0 to 1 at which it has a value; by bisection, as it rises."""
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._value(middle) < value else (low, middle)
        return (low + high) / 2


def fit_concave(x: Floats, y: Floats, *, within: Interval = (0.0, 100.0)) -> ConcaveCubic:
    """The nondecreasing and concave cubic next to some points, by least squares.

    Args:
        x: (N,) such as log10 of bytes, in any order; the same one may come several times.
        y: (N,) accuracy at them, in `within`. Every point counts once, those that another outdoes, too.
        within: least and greatest value that the curve may have.

    Returns:
        The curve, on the interval that x spans.

    Raises:
        InputError: the shapes differ, a number is not finite or outside of `within`, or fewer than
            `FEWEST_RATES` of the x differ.

    Source: see the module.

    >>> x = np.log10([1000.0, 2000.0, 4000.0, 8000.0])
    >>> curve = fit_concave(x, np.array([30.0, 33.0, 32.0, 34.0]))
    >>> [round(curve(at), 3) for at in x]
    [30.217, 32.13, 33.087, 33.565]
    >>> fit_concave(x, np.array([34.0, 33.0, 32.0, 31.0])).flat
    True
    """
    _check(x, y, within)
    low, high = float(x.min()), float(x.max())
    u = (x - low) / (high - low) if high > low else np.zeros_like(x)
    rates = 1 + int((np.diff(np.sort(u)) > NEAR).sum())
    if rates < FEWEST_RATES:
        raise InputError(f"curve: got {len(x)} points at one rate, expected at least {FEWEST_RATES} rates")
    powers = np.arange(min(DEGREE, rates - 1) + 1)
    level = float(y.mean())  # taken off, so that a plateau is met to the last bit
    q, r = np.linalg.qr(u[:, None] ** powers)
    normals, least = _constraints(powers, within[0] - level, within[1] - level)
    solved = _nearest(q.T @ (y - level), normals @ np.linalg.inv(r), least)
    found = np.linalg.solve(r, solved)
    found[0] += level
    return ConcaveCubic((low, high), tuple(float(c) for c in found))


def _check(x: Floats, y: Floats, within: Interval) -> None:
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise InputError(f"curve: got x {x.shape} and y {y.shape}, expected two of (N,), N at least 1")
    if not np.isfinite(x).all():
        raise InputError(f"curve: got x {x.tolist()}, expected finite numbers")
    if not ((within[0] <= y) & (y <= within[1])).all():  # which NaN is not either
        raise InputError(f"curve: got y {y.tolist()}, expected {within[0]:g} to {within[1]:g}")


def _constraints(powers: NDArray[np.int64], lowest: float, highest: float) -> tuple[Floats, Floats]:
    """G (5, D + 1) and h (5,) of G c >= h, for coefficients c of the powers of u from 0 to D."""
    one = np.ones(len(powers))
    rows = [powers * one, -2.0 * (powers == 2), -1.0 * powers * (powers - 1), 1.0 * (powers == 0), -one]
    return np.stack(rows), np.array([0.0, 0.0, 0.0, lowest, -highest])


def _nearest(point: Floats, normals: Floats, least: Floats) -> Floats:
    """The point c next to `point` (D,) of those with ``normals @ c >= least``, exactly.

    Each set of constraints, taken as equations, has a nearest point of its own. It is the solution where it
    keeps the other constraints, and where no Lagrange multiplier of the set is negative (Karush, Kuhn and
    Tucker). One set has both; rounding leaves a trace of the first, so the set that keeps them best is taken.
    """
    length = np.linalg.norm(normals, axis=1)
    said = length > 0  # not by those of a higher degree
    normals, least = normals[said] / length[said, None], least[said] / length[said]
    best, worst = point, _broken(point, normals, least)
    for size in range(1, len(point) + 1):
        sets = np.array(list(combinations(range(len(normals)), size)), np.intp).reshape(-1, size)
        rows = normals[sets]  # (sets, size, D)
        gram = rows @ rows.transpose(0, 2, 1)
        free = np.linalg.det(gram) > DEPENDENT  # else some follow from the others, which are a set, too
        rows, gram, gap = rows[free], gram[free], (least[sets] - rows @ point)[free]
        multipliers = np.linalg.solve(gram, gap[..., None])[..., 0]
        for k in np.flatnonzero((multipliers >= 0).all(axis=1)):
            found = point + rows[k].T @ multipliers[k]
            if (broken := _broken(found, normals, least)) < worst:
                best, worst = found, broken
    return best


def _broken(c: Floats, normals: Floats, least: Floats) -> float:
    """How far c is beyond the constraint that it keeps worst; 0 where it keeps all."""
    return max(0.0, float((least - normals @ c).max()))
