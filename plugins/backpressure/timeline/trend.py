"""Statistics that a few outliers do not move: quantiles, and the slope of a noisy series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Slope", "quantiles", "theil_sen"]

_FEWEST_POINTS, _MOST_POINTS = 2, 2000


@dataclass(frozen=True)
class Slope:
    """A slope with its confidence interval, in units of y per unit of x."""

    slope: float
    low: float
    high: float


def quantiles(values: NDArray[np.float64], *shares: float) -> list[float]:
    """The values below which the given shares of all known (not NaN) values lie, linearly between neighbours.

    Args:
        values: in any order.
        shares: between 0 and 1; 0.5 is the median.

    Returns:
        One number per share; NaN when no value is known.

    Raises:
        ValueError: a share outside 0 to 1.
    """
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"a quantile's share lies between 0 and 1, not at {share}")
    known = len(values) - int(np.count_nonzero(np.isnan(values)))
    if not known:
        return [math.nan for _ in shares]
    places = [share * (known - 1) for share in shares]
    pairs = [(int(place), min(int(place) + 1, known - 1)) for place in places]
    # Only the neighbours of the places asked for are put where a sort would put them; NaN goes last.
    parted = np.partition(values, sorted({place for pair in pairs for place in pair}))
    return [
        float(parted[low] + (parted[high] - parted[low]) * (place - low))
        for place, (low, high) in zip(places, pairs, strict=True)
    ]


def theil_sen(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Slope:
    """The median of the slopes of all pairs of points.

    After P. K. Sen, *Estimates of the regression coefficient based on Kendall's tau*, JASA 63 (1968). The interval
    takes the points' errors as independent; samples of one queue are not, so read it as the narrowest it can be.

    Args:
        x: where each point lies; at least two different values.
        y: its value.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: too few or too many points (all pairs are formed), unequal numbers, or no two different x.
    """
    across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    points = len(across)
    if points != len(up):
        raise ValueError(f"x has {points} points and y has {len(up)}: give one y for each x")
    if not _FEWEST_POINTS <= points <= _MOST_POINTS:
        raise ValueError(
            f"{points} points: a Theil-Sen slope needs {_FEWEST_POINTS} to {_MOST_POINTS}, sample the series first"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    first, second = np.triu_indices(points, 1)
    run = across[second] - across[first]
    apart = run != 0
    if not apart.any():
        raise ValueError(f"all {points} points have the same x ({across[0]}): a slope needs two different ones")
    slopes = np.sort((up[second] - up[first])[apart] / run[apart])
    _, ties = np.unique(up, return_counts=True)
    variance = (points * (points - 1) * (2 * points + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    spread = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(max(variance, 0.0))
    low = max(round((len(slopes) - spread) / 2), 0)
    high = min(round((len(slopes) + spread) / 2), len(slopes) - 1)
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))
