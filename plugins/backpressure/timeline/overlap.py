"""Task instances as intervals: who overlapped, how many at once, and how much of the slots was in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from backpressure.timeline.columns import Columns
from backpressure.timeline.curve import Curve, sweep, to_microsecond

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["STAMPS", "Intervals", "Overlaps", "Peak", "Stamp"]

Stamp = Literal["scheduled", "queued", "start", "end"]
STAMPS: tuple[Stamp, ...] = ("scheduled", "queued", "start", "end")


@dataclass(frozen=True, eq=False)
class Peak:
    """The highest concurrency, the first instant that had it (seconds since the epoch), and the rows that made it."""

    value: int
    at: float
    rows: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Half-open intervals ``[begin, finish)``: the rows that have one, its ends, and the row's pool slots."""

    rows: NDArray[np.intp]
    begin: NDArray[np.float64]
    finish: NDArray[np.float64]
    slots: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def within(self, since: float | None, until: float | None) -> Intervals:
        """What of them lies in the window.

        Raises:
            ValueError: the window's ends are not in ascending order.
        """
        if since is None and until is None:
            return self
        if since is not None and until is not None and not since < until:
            raise ValueError(f"the window from {since} to {until} is empty: give two instants in ascending order")
        # Curves step at whole microseconds, as the intervals' own ends do: what is cut off there must be found there.
        begin = self.begin if since is None else np.maximum(self.begin, to_microsecond(np.array([since])))
        finish = self.finish if until is None else np.minimum(self.finish, to_microsecond(np.array([until])))
        kept = np.flatnonzero(finish > begin)
        return Intervals(self.rows[kept], begin[kept], finish[kept], self.slots[kept])

    def curve(self, *, slots: bool = False) -> Curve:
        """How many hold at each instant, or how many slots they take."""
        return sweep(self.begin, self.finish, self.slots if slots else None)

    def peak(self, *, slots: bool = False) -> Peak | None:
        """The most that hold at once; None when there are no intervals."""
        curve = self.curve(slots=slots)
        at = curve.peak_at
        return None if at is None else Peak(curve.peak, at, self.at(at))

    def at(self, instant: float) -> NDArray[np.intp]:
        """The rows of those that hold at an instant."""
        return self.rows[(self.begin <= instant) & (instant < self.finish)]

    def span(self) -> tuple[float, float] | None:
        """From the first beginning to the last end; None when there are no intervals."""
        return (float(self.begin.min()), float(self.finish.max())) if len(self) else None

    def slot_seconds(self) -> float:
        """Their lengths times their slots, summed."""
        return float(np.dot(self.finish - self.begin, self.slots))


@dataclass(frozen=True, eq=False)
class Overlaps(Columns):
    """Task instances (or DAG runs) as intervals between two of their stamps.

    A missing later stamp is closed by the next one that is known (what failed in the queue left it when it ended), else
    by ``now``, the instant at which the records were read, where that is given, and else leaves the instance out. What
    begins after its end is left out too: on resume from deferral Airflow writes ``scheduled_when`` and ``queued_when``
    anew and keeps ``start_date``. Such rows are told by :attr:`resumed`; what they held meanwhile must be sampled.
    """

    @property
    def resumed(self) -> NDArray[np.bool_]:
        """Which instances were scheduled or queued again after their start, as resuming from deferral does."""
        return (self.start < self.queued) | (self.start < self.scheduled)

    def intervals(self, begin: Stamp = "start", finish: Stamp = "end", *, now: float | None = None) -> Intervals:
        """The instances that have both stamps, as intervals.

        Raises:
            ValueError: ``finish`` does not come after ``begin`` in a task instance's life.
        """
        if begin not in STAMPS or finish not in STAMPS or STAMPS.index(begin) >= STAMPS.index(finish):
            raise ValueError(f"no interval from {begin!r} to {finish!r}: the order of stamps is {', '.join(STAMPS)}")
        first, last = getattr(self, begin), getattr(self, finish)
        for closer in [*(getattr(self, stamp) for stamp in STAMPS[STAMPS.index(finish) + 1 :]), now]:
            missing = np.isnan(last)
            if closer is not None and missing.any():
                last = np.where(missing, closer, last)
        rows = np.flatnonzero(last >= first)
        if len(rows) == len(self):
            return Intervals(rows, first, last, self.pool_slots)
        return Intervals(rows, first[rows], last[rows], self.pool_slots[rows])

    def concurrency(
        self, begin: Stamp = "start", finish: Stamp = "end", *, slots: bool = False, now: float | None = None
    ) -> Curve:
        """How many instances (or, with ``slots``, how many of their pool slots) are between two stamps.

        From start to end is running, from queued to end holds slots of the pool, from queued to start waits in the
        executor.
        """
        return self.intervals(begin, finish, now=now).curve(slots=slots)

    def concurrency_by(
        self,
        column: str,
        begin: Stamp = "start",
        finish: Stamp = "end",
        *,
        slots: bool = False,
        now: float | None = None,
    ) -> dict[str, Curve]:
        """The same for each word of a column: ``concurrency_by("pool", slots=True)`` is slots in use per pool."""
        found = self.intervals(begin, finish, now=now)
        return {
            name: sweep(found.begin[own], found.finish[own], found.slots[own] if slots else None)
            for name, own in self._labels(column)[found.rows].rows_of().items()
        }

    def peak(
        self,
        begin: Stamp = "start",
        finish: Stamp = "end",
        *,
        slots: bool = False,
        since: float | None = None,
        until: float | None = None,
        now: float | None = None,
    ) -> Peak | None:
        """The highest concurrency in a window, its first instant and who overlapped there; None when nothing is there.

        Args:
            begin: from which stamp an instance counts.
            finish: until which.
            slots: count the instances' pool slots.
            since: the window's first instant; all of time when both are left out.
            until: the first instant after the window.
            now: closes what is unfinished.
        """
        return self.intervals(begin, finish, now=now).within(since, until).peak(slots=slots)

    def makespan(self, begin: Stamp = "start", *, now: float | None = None) -> float:
        """Seconds from the first start (or another stamp) to the last end; NaN when nothing ran."""
        span = self.intervals(begin, "end", now=now).span()
        return span[1] - span[0] if span else float("nan")

    def utilisation(
        self,
        slots: float,
        since: float | None = None,
        until: float | None = None,
        *,
        begin: Stamp = "start",
        finish: Stamp = "end",
        now: float | None = None,
    ) -> float:
        """Slot-seconds in use ÷ (slots times window): a share, above 1 when more was in use than there are slots.

        Args:
            slots: how many there are.
            since: the window's first instant; the first beginning when left out.
            until: its end; the last end when left out.
            begin: from when a slot counts as in use.
            finish: until when.
            now: closes what is unfinished.

        Raises:
            ValueError: ``slots`` is not positive, or the window is empty.
        """
        if not slots > 0:
            raise ValueError(f"slots must be positive, not {slots}: an unlimited pool has no utilisation")
        found = self.intervals(begin, finish, now=now)
        first, last = found.span() or (float("nan"), float("nan"))
        first, last = first if since is None else since, last if until is None else until
        used = found.within(since, until).slot_seconds()
        return used / (slots * (last - first)) if last > first else float("nan")
