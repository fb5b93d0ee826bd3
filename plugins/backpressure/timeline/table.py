"""What can be asked of a timeline: overlaps, depths, waits, orders, use of slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backpressure.timeline.curve import Curve, from_ticks, ordered, ticks
from backpressure.timeline.overlap import Overlaps, Stamp
from backpressure.timeline.priority import NEVER, Count, Pairs, count_pairs
from backpressure.timeline.trend import Slope, quantiles, theil_sen

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Seconds = NDArray[np.float64]

__all__ = ["LittlesLaw", "Spread", "Timeline"]


@dataclass(frozen=True)
class LittlesLaw:
    """Mean depth = start rate times mean wait, for a queue that is in balance over the window.

    Attributes:
        depth: time-weighted mean number of waiting task instances.
        rate: starts per second.
        wait: mean wait of those started, in seconds.
    """

    depth: float
    rate: float
    wait: float


@dataclass(frozen=True)
class Spread:
    """A quantile of some seconds, their mean, the row nearest to the quantile, and how many there are."""

    quantile: float
    mean: float
    row: int
    samples: int


class _Waited(NamedTuple):
    """The rows that waited to be queued, their weights, and their stamps in microseconds."""

    rows: NDArray[np.intp]
    weight: NDArray[np.int64]
    scheduled: NDArray[np.int64]
    queued: NDArray[np.int64]

    def pairs(self, count: Count, number: int, first: int, *, overtaken: bool) -> Pairs:
        """So many pairs, and of those decided at the first instant one whose waiting partner had waited longest."""
        if not number:
            return Pairs(0, samples=count.waited, weights=count.weights)
        for one in np.flatnonzero(self.queued == first).tolist():
            if overtaken:
                others = (self.weight < self.weight[one]) & (self.scheduled < self.scheduled[one])
            else:
                others = (self.weight > self.weight[one]) & (self.scheduled < first)
            others &= self.queued > first
            if others.any():
                longest = int(np.flatnonzero(others)[self.scheduled[others].argmin()])
                heavier, lighter = (one, longest) if overtaken else (longest, one)
                at, rows = float(from_ticks(np.array(first))), (int(self.rows[heavier]), int(self.rows[lighter]))
                return Pairs(number, at, *rows, count.waited, count.weights)
        raise AssertionError("a counted pair must exist")


@dataclass(frozen=True, eq=False)
class Timeline(Overlaps):
    """Task instances (or DAG runs), and what their stamps say: make one with ``from_records`` or ``from_arrays``.

    Seconds between stamps are NaN wherever a stamp is missing or two are in the wrong order; for what overlapped, see
    :class:`~backpressure.timeline.overlap.Overlaps`.
    """

    def depth_curve(self, *, now: float | None = None) -> Curve:
        """How many instances wait, in Airflow's states scheduled and queued together."""
        return self.concurrency("scheduled", "start", now=now)

    def depth(self, at: ArrayLike, *, now: float | None = None) -> NDArray[np.int64]:
        """How many instances wait at the given instants."""
        return self.depth_curve(now=now).at(at)

    def elapsed(self, begin: Stamp, finish: Stamp) -> Seconds:
        """Seconds between two stamps for each row; NaN where one is missing or they are in the wrong order."""
        seconds: Seconds = getattr(self, finish) - getattr(self, begin)
        seconds[seconds < 0] = np.nan
        return seconds

    @property
    def gate(self) -> Seconds:
        """Seconds in ``scheduled``: waiting for a slot of the pool, a limit of the DAG, or the scheduler."""
        return self.elapsed("scheduled", "queued")

    @property
    def executor_wait(self) -> Seconds:
        """Seconds in ``queued``: waiting for a worker of the executor."""
        return self.elapsed("queued", "start")

    @property
    def wait(self) -> Seconds:
        """Seconds from scheduled to started."""
        return self.elapsed("scheduled", "start")

    @property
    def duration(self) -> Seconds:
        """Seconds from started to ended."""
        return self.elapsed("start", "end")

    def spread(self, begin: Stamp, finish: Stamp, share: float) -> Spread | None:
        """A quantile of the seconds between two stamps, and the row that lies nearest to it; None without samples.

        Args:
            begin: from which stamp.
            finish: to which.
            share: of the samples that lie below; 0.5 is the median.
        """
        seconds = self.elapsed(begin, finish)
        known = np.flatnonzero(~np.isnan(seconds))
        if not len(known):
            return None
        value = quantiles(seconds, share)[0]
        nearest = int(known[np.abs(seconds[known] - value).argmin()])
        return Spread(value, float(seconds[known].mean()), nearest, len(known))

    def order(self, stamp: Stamp = "start") -> NDArray[np.intp]:
        """The rows that have the stamp, in its order; equal stamps in the order of rows."""
        known = np.flatnonzero(~np.isnan(getattr(self, stamp)))
        when = ticks(getattr(self, stamp)[known])
        return known[ordered(when - when.min(initial=NEVER))]

    def overtakes(self, *, now: float | None = None) -> Pairs:
        """Pairs where the heavier instance was scheduled later, yet queued earlier, while the lighter waited.

        Args:
            now: an instance still waiting counts as queued then; without ``now`` it is left out.
        """
        count, waited = self._count(now)
        return waited.pairs(count, count.overtakes, count.first_overtake, overtaken=True)

    def inversions(self, *, now: float | None = None) -> Pairs:
        """Pairs where the lighter instance was queued first, while the heavier was waiting too.

        Args:
            now: an instance still waiting counts as queued then; without ``now`` it is left out.
        """
        count, waited = self._count(now)
        return waited.pairs(count, count.inversions, count.first_inversion, overtaken=False)

    @cached_property
    def _counted(self) -> dict[float | None, tuple[Count, _Waited]]:
        return {}

    def _count(self, now: float | None) -> tuple[Count, _Waited]:
        if now not in self._counted:
            queued = self.queued
            if now is not None:
                still = np.isnan(queued) & np.isnan(self.start) & np.isnan(self.end)
                queued = np.where(still, now, queued)
            rows = np.flatnonzero(queued > self.scheduled)
            waited = _Waited(rows, self.priority_weight[rows], ticks(self.scheduled[rows]), ticks(queued[rows]))
            self._counted[now] = count_pairs(*waited[1:]), waited
        return self._counted[now]

    def starts(self, since: float | None = None, until: float | None = None) -> Seconds:
        """The starts in a window, in ascending order; all of them by default."""
        found = np.sort(self.start[~np.isnan(self.start)])
        ends = [0 if since is None else np.searchsorted(found, since), len(found)]
        if until is not None:
            ends[1] = np.searchsorted(found, until)
        return found[ends[0] : ends[1]]

    def start_rate(self, since: float | None = None, until: float | None = None) -> float:
        """Starts per second in a window; by default from the first start to the last, the first not counted.

        While work always waits, it is the rate E that the machine reaches. NaN when that time has no length.
        """
        inside = self.starts(since, until)
        if not len(inside) and (since is None or until is None):
            return float("nan")
        begin, finish = inside[0] if since is None else since, inside[-1] if until is None else until
        counted = len(inside) - (since is None and until is None)
        return float(counted / (finish - begin)) if finish > begin else float("nan")

    def growth(self, since: float, until: float, *, samples: int = 100, now: float | None = None) -> Slope:
        """How fast the queue grows over a window: the Theil-Sen slope of its depth, in task instances per second.

        Args:
            since: the window's first instant.
            until: its last.
            samples: at how many instants, evenly spaced, the depth is taken.
            now: closes what has not started.
        """
        instants = np.linspace(since, until, samples)
        return theil_sen(instants - since, self.depth(instants, now=now))

    def little(self, since: float, until: float, *, now: float | None = None) -> LittlesLaw:
        """The three quantities of Little's law over a window; NaN where there is nothing to take them from."""
        started = (self.start >= since) & (self.start < until)
        waits = self.wait[started]
        waits = waits[~np.isnan(waits)]
        return LittlesLaw(
            self.depth_curve(now=now).mean(since, until),
            int(started.sum()) / (until - since) if until > since else float("nan"),
            float(waits.mean()) if len(waits) else float("nan"),
        )

    def runs(self) -> Timeline:
        """One row per DAG run, from its instances' first stamps to their last end; unfinished while one of them is."""
        if not len(self):
            return self
        key = self.dag_id.codes.astype(np.int64) * len(self.run_id.names) + self.run_id.codes
        order = np.argsort(key, kind="stable")
        heads = np.flatnonzero(np.append(np.True_, np.diff(key[order]) != 0))
        rows = order[heads]
        return Timeline.from_arrays(
            scheduled=np.fmin.reduceat(self.scheduled[order], heads),
            queued=np.fmin.reduceat(self.queued[order], heads),
            start=np.fmin.reduceat(self.start[order], heads),
            end=np.maximum.reduceat(self.end[order], heads),
            logical_date=self.logical_date[rows],
            dag_id=self.dag_id[rows],
            run_id=self.run_id[rows],
        )
