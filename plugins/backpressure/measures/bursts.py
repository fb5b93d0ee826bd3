"""A burst as its witnesses tell it: who came when, who was told of it, and what reached the upstream.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure
from backpressure.measures.upstream import arrivals

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["Burst"]

TASKS, NOTES = "task instances", "deliveries to /notify"


@dataclass(frozen=True)
class Burst:
    """Work that comes at once, among work that comes now and then.

    Attributes:
        work: all of it.
        burst: what comes at once.
        log: the upstream's requests.
        notes: what people were told: each with ``at`` (epoch s) and ``body``, which is ``{"alert": "raised"}`` or
            ``{"alert": "cleared"}``.
        calls: of the upstream that one piece of work makes.
    """

    work: Timeline
    burst: Timeline
    log: RequestLog
    notes: Sequence[Mapping[str, Any]]
    calls: int

    def told(self, alert: str) -> Measure:
        """How many alerts of a kind there were."""
        found = self._alerts(alert)
        value = len(found) if len(self.work) else None
        return Measure(value, f"alerts {alert}", at=found[0] if found else None, source=NOTES, samples=len(self.notes))

    def noticed(self) -> Measure:
        """Seconds from the first of the burst to the first alert; below 0 for a false alarm, none without an alert."""
        found, came = self._alerts("raised"), self._came
        value = found[0] - came if found and came is not None else None
        return Measure(value, "seconds until the alert", "s", found[0] if found else None, NOTES, len(self.burst))

    def unstarted(self) -> Measure:
        """How many of the burst had not started at the first alert; none without an alert."""
        found = self._alerts("raised")
        starts = self.burst.start.tolist()
        value = sum(not start <= found[0] for start in starts) if found and starts else None
        at, source = found[0] if found else None, f"{TASKS}, {NOTES}"
        return Measure(value, "of the burst, not started at the alert", at=at, source=source, samples=len(starts))

    def cleared(self) -> Measure:
        """Seconds from the start of the last work of the burst to the end of the alert; none without one."""
        found = self._alerts("cleared")
        starts = self.burst.start[self.burst.start > 0]
        value = found[-1] - float(starts.max()) if found and len(starts) else None
        return Measure(value, "seconds until it is cleared", "s", found[-1] if found else None, NOTES, len(self.burst))

    def peak(self, seconds: float) -> Measure:
        """The most calls that came up within so many seconds, when the work that makes them was there."""
        came = sorted(self.work.scheduled[self.work.scheduled > 0].tolist())
        counts = [sum(at <= other < at + seconds for other in came) for at in came]
        most = max(counts, default=None)
        value, at = (None, None) if most is None else (most * self.calls, came[counts.index(most)])
        return Measure(value, f"calls wanted within {seconds:g} s", at=at, source=TASKS, samples=len(came))

    def sent(self, seconds: float) -> Measure:
        """The most calls that reached the upstream within so many seconds."""
        return arrivals(self.log, seconds, f"calls sent within {seconds:g} s")

    def recovered(self) -> Measure:
        """Seconds from the first of the burst until its last work is done."""
        ends, came = self.burst.end[self.burst.end > 0], self._came
        last = float(ends.max()) if len(ends) and came is not None else None
        value = last - came if last is not None and came is not None else None
        return Measure(value, "seconds until the burst is done", "s", last, TASKS, len(self.burst))

    @property
    def _came(self) -> float | None:
        came = self.burst.scheduled[self.burst.scheduled > 0]
        return float(came.min()) if len(came) else None

    def _alerts(self, alert: str) -> list[float]:
        return sorted(float(note["at"]) for note in self.notes if note["body"] == {"alert": alert})
