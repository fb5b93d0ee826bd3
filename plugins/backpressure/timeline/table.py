"""What can be asked of a timeline: overlaps, depths, waits, orders, use of slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from backpressure.timeline.curve import Curve, from_ticks, ordered, ticks
from backpressure.timeline.overlap import Overlaps, Stamp, Window
from backpressure.timeline.priority import NEVER, Count, Pairs, count_pairs
from backpressure.timeline.trend import Slope, theil_sen

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Seconds = NDArray[np.float64]

__all__ = ["LittlesLaw", "Timeline"]


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


@dataclass(frozen=True, eq=False)
class Timeline(Overlaps):
    """Task instances (or DAG runs), and what their stamps say: make one with ``from_records`` or ``from_arrays``.

    Seconds between stamps are NaN wherever a stamp is missing or two are in the wrong order; for what overlapped, see
    :class:`~backpressure.timeline.overlap.Overlaps`.
    """

    def depth_curve(self, until: float | None = None) -> Curve:
        """How many instances wait, in Airflow's states scheduled and queued together."""
        return self.concurrency("scheduled", "start", until=until)

    def depth(self, at: ArrayLike, until: float | None = None) -> NDArray[np.int64]:
        """How many instances wait at the given instants."""
        return self.depth_curve(until).at(at)

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

    def order(self, stamp: Stamp = "start") -> NDArray[np.intp]:
        """The rows that have the stamp, in its order; equal stamps in the order of rows."""
        known = np.flatnonzero(~np.isnan(getattr(self, stamp)))
        when = ticks(getattr(self, stamp)[known])
        return known[ordered(when - when.min(initial=NEVER))]

    def overtakes(self, until: float | None = None) -> Pairs:
        """Pairs where the heavier instance was scheduled later, yet queued earlier, while the lighter waited.

        Args:
            until: an instance still waiting counts as queued then; without it, it is left out.
        """
        count = self._count(until)
        return self._pairs(count.overtakes, count.first_overtake, until, overtaken=True)

    def inversions(self, until: float | None = None) -> Pairs:
        """Pairs where the lighter instance was queued first, while the heavier was waiting too.

        Args:
            until: an instance still waiting counts as queued then; without it, it is left out.
        """
        count = self._count(until)
        return self._pairs(count.inversions, count.first_inversion, until, overtaken=False)

    def _waits(self, until: float | None) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        queued = self.queued
        if until is not None:
            still = np.isnan(queued) & np.isnan(self.start) & np.isnan(self.end)
            queued = np.where(still, until, queued)
        rows = np.flatnonzero(queued >= self.scheduled)
        return rows, ticks(self.scheduled[rows]), ticks(queued[rows])

    @cached_property
    def _counts(self) -> dict[float | None, Count]:
        return {}

    def _count(self, until: float | None) -> Count:
        if until not in self._counts:
            rows, scheduled, queued = self._waits(until)
            self._counts[until] = count_pairs(self.priority_weight[rows], scheduled, queued)
        return self._counts[until]

    def _pairs(self, count: int, first: int, until: float | None, *, overtaken: bool) -> Pairs:
        if not count:
            return Pairs(0)
        rows, scheduled, queued = self._waits(until)
        weight = self.priority_weight[rows]
        for one in np.flatnonzero(queued == first).tolist():
            if overtaken:
                others = (weight < weight[one]) & (scheduled < scheduled[one]) & (queued > first)
            else:
                others = (weight > weight[one]) & (scheduled < first) & (queued > first)
            if others.any() and scheduled[one] < first:
                longest = int(np.flatnonzero(others)[scheduled[others].argmin()])
                heavier, lighter = (one, longest) if overtaken else (longest, one)
                at = float(from_ticks(np.array(first)))
                return Pairs(count, at, int(rows[heavier]), int(rows[lighter]))
        raise AssertionError("a counted pair must exist")

    def start_rate(self) -> float:
        """Starts per second between the first and the last start; NaN with fewer than two instants.

        It is the rate E that the machine reaches when work always waits.
        """
        known = self.start[~np.isnan(self.start)]
        span = float(known.max() - known.min()) if len(known) else 0.0
        return (len(known) - 1) / span if span > 0 else float("nan")

    def growth(self, window: Window, samples: int = 100, until: float | None = None) -> Slope:
        """How fast the queue grows: the Theil-Sen slope of its depth, in task instances per second.

        Args:
            window: two instants.
            samples: at how many instants, evenly spaced, the depth is taken.
            until: closes what has not started.
        """
        instants = np.linspace(*window, samples)
        return theil_sen(instants - window[0], self.depth(instants, until))

    def little(self, window: Window, until: float | None = None) -> LittlesLaw:
        """The three quantities of Little's law over a window; NaN where there is nothing to take them from."""
        started = (self.start >= window[0]) & (self.start < window[1])
        waits = self.wait[started]
        waits = waits[~np.isnan(waits)]
        length = window[1] - window[0]
        return LittlesLaw(
            self.depth_curve(until).mean(*window),
            int(started.sum()) / length if length > 0 else float("nan"),
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
