"""What a picture of a timeline shows, before any drawing: rows, segments, time axis, limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backpressure.timeline import Curve, Timeline
    from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "Limit", "Load", "Picture", "Row", "Segment", "elapsed", "steps"]

Kind = Literal["deferred", "scheduled", "queued", "running"]
KINDS: tuple[Kind, ...] = ("scheduled", "queued", "running", "deferred")
_MINUTE = 60
_NICE = (1.0, 2.0, 5.0)
_NICE_SECONDS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True)
class Segment:
    """A task instance in one state, from one instant to another (seconds since the epoch)."""

    kind: Kind
    begin: float
    finish: float


@dataclass(frozen=True)
class Row:
    """One task instance: what it is called, what it went through, and the state it was last seen in."""

    name: str
    segments: tuple[Segment, ...]
    state: str


@dataclass(frozen=True)
class Limit:
    """A limit, and from when to when it was one (seconds since the epoch)."""

    value: float
    begin: float = -math.inf
    finish: float = math.inf


@dataclass(frozen=True)
class Load:
    """How many ran at once, or how many slots they took, and the limit on it.

    Attributes:
        curve: the load.
        limits: what it must not exceed; several, one after the other, where it changes.
        title: what the load is of.
    """

    curve: Curve
    limits: tuple[Limit, ...]
    title: str

    def limits_at(self, instants: NDArray[np.float64]) -> list[float | None]:
        """The limit at each instant; None where there is none."""
        return [
            next((limit.value for limit in self.limits if limit.begin <= when < limit.finish), None)
            for when in instants.tolist()
        ]

    @property
    def top(self) -> float:
        """The highest that load or limit gets."""
        return max(self.curve.peak, 1, *(limit.value for limit in self.limits))


@dataclass(frozen=True)
class Picture:
    """Rows over one time axis, from ``begin`` to ``finish`` in seconds since the epoch, and a load beneath them."""

    rows: tuple[Row, ...]
    begin: float
    finish: float
    load: Load | None = None

    @classmethod
    def of(
        cls,
        work: Timeline,
        *,
        names: Sequence[str] | None = None,
        load: Load | None = None,
        limit: float | None = None,
        slots: bool = False,
        now: float | None = None,
    ) -> Picture:
        """Picture task instances in the order in which they started, or would have.

        Args:
            work: what gets a row each.
            names: what to call the rows; their own names when left out.
            load: what is counted beneath; these task instances when left out.
            limit: on these.
            slots: count their pool slots.
            now: the instant at which the records were read; the last instant known when left out.
        """
        known = np.concatenate([getattr(work, stamp) for stamp in ("scheduled", "queued", "start", "end")])
        known = known[~np.isnan(known)]
        if not len(known):
            return cls((), 0.0, 1.0)
        begin, last = float(known.min()), float(known.max())
        finish = max(last if now is None else now, begin + 0.001)
        called = work.names() if names is None else list(names)
        rows = [_row(work, row, called[row], finish) for row in _order(work)]
        if load is None:
            words = "pool slots in use" if slots else "running at once"
            limits = () if limit is None else (Limit(limit),)
            load = Load(work.concurrency(slots=slots, now=finish), limits, words)
        elif len(load.curve):
            # What is counted may last longer than its rows: a run is active before its first task is scheduled.
            begin, finish = min(begin, float(load.curve.times[0])), max(finish, float(load.curve.times[-1]))
        return cls(tuple(row for row in rows if row.segments), begin, finish, load)

    def edges(self, columns: int) -> NDArray[np.float64]:
        """The ends of so many bins of equal length."""
        return np.linspace(self.begin, self.finish, columns + 1)


def _order(work: Timeline) -> list[int]:
    started = np.where(np.isnan(work.start), np.inf, work.start)
    queued = np.where(np.isnan(work.queued), np.inf, work.queued)
    scheduled = np.where(np.isnan(work.scheduled), np.inf, work.scheduled)
    order: list[int] = np.lexsort((scheduled, queued, started)).tolist()
    return order


def _row(work: Timeline, row: int, name: str, now: float) -> Row:
    scheduled, queued, start, end = (
        None if math.isnan(stamp) else stamp
        for stamp in (float(column[row]) for column in (work.scheduled, work.queued, work.start, work.end))
    )
    state = work.state.names[work.state.codes[row]]
    segments: list[Segment] = []

    def add(kind: Kind, begin: float | None, *until: float | None) -> None:
        finish = next((stamp for stamp in until if stamp is not None), now)
        if begin is not None and finish >= begin:
            segments.append(Segment(kind, begin, finish))

    again = min((stamp for stamp in (scheduled, queued) if stamp is not None), default=None)
    if start is not None and again is not None and start < again:
        # Resumed from deferral: its first running is not in the record, nor is when it came to a worker again.
        add("deferred", start, again)
        add("scheduled", scheduled, queued, end)
        add("running", queued, end)
    else:
        add("scheduled", scheduled, queued, start, end)
        add("queued", queued, start, end)
        add("deferred" if state == "deferred" else "running", start, end)
    return Row(name, tuple(segments), state)


def steps(span: float, most: int) -> float:
    """A round number of seconds that divides a span into at most so many parts."""
    least = span / max(most, 1)
    if least > _NICE[-1]:
        return float(next((nice for nice in _NICE_SECONDS if nice >= least), math.ceil(least / 86400) * 86400))
    scale = 10.0 ** math.floor(math.log10(least))
    return next((nice * scale for nice in _NICE if nice * scale >= least * (1 - 1e-9)), 10 * scale)


def elapsed(seconds: float) -> str:
    """Seconds since the beginning, short: 0.5s, 45s, 2m30s, 1h05m."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < 2 * _MINUTE:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    return f"{minutes // _MINUTE}h{minutes % _MINUTE:02d}m"
