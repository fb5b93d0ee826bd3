"""Step functions of time, and the sweep over interval ends that makes them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Curve", "from_ticks", "ordered", "sweep", "ticks", "to_microsecond"]

_PER_SECOND = 1_000_000
_KEY_BITS = 62


@dataclass(frozen=True, eq=False)
class Curve:
    """A right-continuous step function: ``values[k]`` from ``times[k]`` until just before ``times[k + 1]``.

    Attributes:
        times: strictly ascending, seconds since the epoch.
        values: what the function is from each instant on; before the first it is 0.
    """

    times: NDArray[np.float64]
    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    def at(self, instants: ArrayLike) -> NDArray[np.int64]:
        """The values at the given instants (seconds since the epoch)."""
        padded = np.concatenate(([0], self.values))
        found: NDArray[np.int64] = padded[np.searchsorted(self.times, np.asarray(instants, np.float64), side="right")]
        return found

    @property
    def peak(self) -> int:
        """The highest value; 0 for an empty curve."""
        return int(self.values.max(initial=0))

    @property
    def peak_at(self) -> float | None:
        """The first instant of the highest value; None for an empty curve."""
        return float(self.times[self.values.argmax()]) if len(self) else None

    @cached_property
    def _areas(self) -> NDArray[np.float64]:
        return np.concatenate(([0.0], np.cumsum(self.values[:-1] * np.diff(self.times))))

    def _area_until(self, instant: float) -> float:
        step = int(np.searchsorted(self.times, instant, side="right")) - 1
        return float(self._areas[step] + self.values[step] * (instant - self.times[step])) if step >= 0 else 0.0

    def integral(self, begin: float, finish: float) -> float:
        """The area under the curve between two instants, in value-seconds."""
        return self._area_until(finish) - self._area_until(begin) if len(self) else 0.0

    def mean(self, begin: float, finish: float) -> float:
        """The time-weighted mean between two instants; NaN when they are not in ascending order."""
        return self.integral(begin, finish) / (finish - begin) if finish > begin else float("nan")

    def highest(self, edges: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
        """The highest value in each of the bins ``[edges[k], edges[k + 1])``: no burst is lost between samples."""
        highest = self.at(edges[:-1])
        bounds = np.searchsorted(self.times, edges, side="left").tolist()
        for k, (first, last) in enumerate(itertools.pairwise(bounds)):
            if first < last:
                highest[k] = max(highest[k], self.values[first:last].max())
        return highest


def ticks(instants: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole microseconds since the epoch, the resolution of Airflow's timestamps and of PostgreSQL's."""
    scaled = instants * _PER_SECOND
    return np.rint(scaled, out=scaled).astype(np.int64)


def to_microsecond(instants: NDArray[np.float64]) -> NDArray[np.float64]:
    """The instants, rounded to whole microseconds; NaN stays NaN."""
    return np.rint(instants * _PER_SECOND) / _PER_SECOND


def from_ticks(when: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds since the epoch: the very floats that ``datetime.timestamp`` gives, so that equal instants stay equal."""
    return when / _PER_SECOND


def ordered(keys: NDArray[np.int64]) -> NDArray[np.intp]:
    """The rows in ascending order of their keys (not negative); rows of equal keys keep their order.

    Key and row number fit one integer for any span that Airflow sees, and sorting integers is several times as fast as
    sorting indirectly; where they do not fit, numpy's stable sort does it.
    """
    bits = len(keys).bit_length()
    if not len(keys) or int(keys.max()).bit_length() + bits > _KEY_BITS:
        return np.argsort(keys, kind="stable")
    packed = (keys << bits) | np.arange(len(keys))
    packed.sort()
    return packed & ((1 << bits) - 1)


def _sort_halves(keys: NDArray[np.int64], half: int) -> None:
    """Sort keys whose first half is often sorted: records come in the order in which they were scheduled."""
    if (keys[1:half] >= keys[: half - 1]).all():
        keys[half:].sort()
        keys.sort(kind="stable")  # which merges sorted runs
    else:
        keys.sort()


def sweep(begin: NDArray[np.float64], finish: NDArray[np.float64], weight: NDArray[Any] | None = None) -> Curve:
    """How many of the half-open intervals ``[begin, finish)`` hold, at each instant.

    At one instant the ends count before the beginnings, so work that follows on at once does not overlap, and an empty
    interval counts nowhere.

    Args:
        begin: seconds since the epoch, all known.
        finish: the same, none before its ``begin``.
        weight: what each interval counts for (whole, not negative); 1 when left out.
    """
    if not len(begin):
        return Curve(np.empty(0), np.empty(0, np.int64))
    when = np.concatenate((ticks(begin), ticks(finish)))
    origin = when.min()
    when -= origin
    size = np.ones(1, np.int64) if weight is None else weight
    bits = int(size.max()).bit_length()
    if int(when.max()).bit_length() + bits + 1 > _KEY_BITS:
        order = np.argsort(when, kind="stable")
        sizes = np.broadcast_to(size, len(begin))
        when, change = when[order], np.concatenate((sizes, -sizes))[order]
    else:
        # Instant, size and kind in one integer: sorting these is far quicker than sorting rows.
        when <<= bits + 1
        when[: len(begin)] |= (size << 1) | 1
        when[len(begin) :] |= size << 1
        _sort_halves(when, len(begin))
        sign = (when & 1) << 1
        sign -= 1
        change = when >> 1
        change &= (1 << bits) - 1
        change *= sign
        when >>= bits + 1
    np.cumsum(change, out=change)
    last = np.append(when[1:] != when[:-1], np.True_)
    when, change = when[last], change[last]
    when += origin
    return Curve(from_ticks(when), change)
