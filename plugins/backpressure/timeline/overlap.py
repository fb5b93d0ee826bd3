"""Task instances as intervals: who overlapped, how many at once, and how much of the slots was in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from backpressure.timeline.columns import Columns
from backpressure.timeline.curve import Curve, sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

__all__ = ["STAMPS", "Overlaps", "Peak", "Stamp", "Window"]

Stamp = Literal["scheduled", "queued", "start", "end"]
Window = tuple[float, float]
STAMPS: tuple[Stamp, ...] = ("scheduled", "queued", "start", "end")


@dataclass(frozen=True, eq=False)
class Peak:
    """The highest concurrency, the first instant that had it (seconds since the epoch), and the rows that made it."""

    value: int
    at: float
    rows: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Overlaps(Columns):
    """Task instances (or DAG runs) as intervals between two of their stamps.

    Intervals are half-open. A missing later stamp is closed by the next one that is known (what
    failed in the queue left it when it ended), else by ``until`` where that is given, and else leaves the instance out.
    What begins after its end is left out too: on resume from deferral Airflow writes ``scheduled_when`` and
    ``queued_when`` anew and keeps ``start_date``. Such rows are told by :attr:`resumed`; what they held meanwhile must
    be sampled.
    """

    @property
    def resumed(self) -> NDArray[np.bool_]:
        """Which instances were scheduled or queued again after their start, as resuming from deferral does."""
        return (self.start < self.queued) | (self.start < self.scheduled)

    def intervals(
        self, begin: Stamp = "start", finish: Stamp = "end", until: float | None = None
    ) -> tuple[NDArray[np.intp], Seconds, Seconds]:
        """The rows that have the interval, its beginnings and its ends.

        Raises:
            ValueError: ``finish`` does not come after ``begin`` in a task instance's life.
        """
        if begin not in STAMPS or finish not in STAMPS or STAMPS.index(begin) >= STAMPS.index(finish):
            raise ValueError(
                f"no interval from {begin!r} to {finish!r}: stamps follow in the order {', '.join(STAMPS)}"
            )
        first, last = getattr(self, begin), getattr(self, finish)
        closers = [getattr(self, stamp) for stamp in STAMPS[STAMPS.index(finish) + 1 :]]
        for closer in [*closers, until]:
            missing = np.isnan(last)
            if closer is not None and missing.any():
                last = np.where(missing, closer, last)
        rows = np.flatnonzero(last >= first)
        return (rows, first, last) if len(rows) == len(first) else (rows, first[rows], last[rows])

    def concurrency(
        self, begin: Stamp = "start", finish: Stamp = "end", *, slots: bool = False, until: float | None = None
    ) -> Curve:
        """How many instances (or, with ``slots``, how many of their pool slots) are between two stamps.

        From start to end is running, from queued to end holds slots of the pool, from queued to start waits in the
        executor.
        """
        rows, first, last = self.intervals(begin, finish, until)
        return sweep(first, last, self.pool_slots[rows] if slots else None)

    def concurrency_by(
        self,
        column: str,
        begin: Stamp = "start",
        finish: Stamp = "end",
        *,
        slots: bool = False,
        until: float | None = None,
    ) -> dict[str, Curve]:
        """The same for each word of a column: ``concurrency_by("pool", slots=True)`` is slots in use per pool."""
        rows, first, last = self.intervals(begin, finish, until)
        weight = self.pool_slots[rows] if slots else None
        return {
            name: sweep(first[own], last[own], None if weight is None else weight[own])
            for name, own in self._labels(column)[rows].rows_of().items()
        }

    def overlapping(
        self, at: float, begin: Stamp = "start", finish: Stamp = "end", *, until: float | None = None
    ) -> NDArray[np.intp]:
        """The rows whose interval holds the instant."""
        rows, first, last = self.intervals(begin, finish, until)
        return rows[(first <= at) & (at < last)]

    def peak(
        self, begin: Stamp = "start", finish: Stamp = "end", *, slots: bool = False, until: float | None = None
    ) -> Peak | None:
        """The highest concurrency, its first instant and who overlapped there; None when nothing has the interval."""
        curve = self.concurrency(begin, finish, slots=slots, until=until)
        at = curve.peak_at
        return None if at is None else Peak(curve.peak, at, self.overlapping(at, begin, finish, until=until))

    def span(self, begin: Stamp = "start", finish: Stamp = "end", until: float | None = None) -> Window | None:
        """From the first beginning to the last end of the intervals; None when there are none."""
        _, first, last = self.intervals(begin, finish, until)
        return (float(first.min()), float(last.max())) if len(first) else None

    def makespan(self, begin: Stamp = "start", until: float | None = None) -> float:
        """Seconds from the first start (or another stamp) to the last end; NaN when nothing ran."""
        span = self.span(begin, "end", until)
        return span[1] - span[0] if span else float("nan")

    def busy(
        self,
        window: Window | None = None,
        *,
        begin: Stamp = "start",
        finish: Stamp = "end",
        until: float | None = None,
    ) -> float:
        """Slot-seconds: the time between two stamps times ``pool_slots``, summed, within the window if there is one."""
        rows, first, last = self.intervals(begin, finish, until)
        if window:
            first, last = np.clip(first, *window), np.clip(last, *window)
        return float(np.dot(last - first, self.pool_slots[rows]))

    def utilisation(
        self,
        slots: float,
        window: Window | None = None,
        *,
        begin: Stamp = "start",
        finish: Stamp = "end",
        until: float | None = None,
    ) -> float:
        """Slot-seconds in use ÷ (slots times window): a share, above 1 when more was in use than there are slots.

        Args:
            slots: how many there are.
            window: two instants; from the first beginning to the last end when left out.
            begin: from when a slot counts as in use.
            finish: until when.
            until: closes what has not finished.

        Raises:
            ValueError: ``slots`` is not positive, or the window is empty.
        """
        if not slots > 0:
            raise ValueError(f"slots must be positive, not {slots}: an unlimited pool has no utilisation")
        if window and not window[1] > window[0]:
            raise ValueError(f"window {window} is empty: give two instants in ascending order")
        span = window or self.span(begin, finish, until)
        if not span or span[1] <= span[0]:
            return float("nan")
        return self.busy(window, begin=begin, finish=finish, until=until) / (slots * (span[1] - span[0]))
