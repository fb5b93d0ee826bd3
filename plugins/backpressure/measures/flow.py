"""How items flow through stages: how many are between them, how fast they come and go, how old they get.

Everything is told by the instants of each item's steps, as :class:`backpressure.airflow.line.Line` keeps them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog

__all__ = ["Flow", "in_service"]

Window = tuple[float, float]

SOURCE = "items' steps"
_FEW = 3


@dataclass(frozen=True)
class Flow:
    """Items and the instants of their steps, in order.

    Attributes:
        steps: of each item; the first is when it came.
    """

    steps: Sequence[Sequence[float]]

    def between(self, first: int, last: int, label: str) -> Measure:
        """The most items that were past one step and not yet past another at once, at the first instant of it."""
        came = [(item[first], 1) for item in self.steps if len(item) > first]
        went = [(item[last], -1) for item in self.steps if len(item) > last]
        level, most, at = 0, 0, None
        for instant, change in sorted([*came, *went], key=lambda one: (one[0], one[1])):
            level += change
            if level > most:
                most, at = level, instant
        return Measure(most if came else None, f"most {label}", at=at, source=SOURCE, samples=len(came))

    def rate(self, step: int, window: Window, label: str) -> Measure:
        """Items a second that took a step in a window; no value on a line without items."""
        found = self._taken(step, window)
        value = len(found) / (window[1] - window[0]) if self.steps else None
        return Measure(value, f"{label} a second", "/s", window[1], SOURCE, len(found))

    def pace(self, step: int, window: Window, label: str) -> Measure:
        """Items a second from the first to the last that took a step in a window; no value with fewer than three."""
        found = self._taken(step, window)
        enough = len(found) >= _FEW and found[-1] > found[0]
        value = (len(found) - 1) / (found[-1] - found[0]) if enough else None
        return Measure(value, f"{label} a second", "/s", window[1], SOURCE, len(found))

    def age(self, share: float, step: int, window: Window) -> Measure:
        """How old items were when they took a step in a window: so large a share of them was no older."""
        ages = sorted(
            item[step] - item[0] for item in self.steps if len(item) > step and window[0] <= item[step] < window[1]
        )
        value = ages[max(0, math.ceil(share * len(ages)) - 1)] if ages else None
        return Measure(value, f"p{100 * share:g} age of items", "s", window[1], SOURCE, len(ages))

    def held(self, step: int, window: Window, label: str) -> Measure:
        """Seconds from a step to the next, the median of the items for which that came in a window."""
        spans = [item[step + 1] - item[step] for item in self.steps if len(item) > step + 1]
        ended = [item[step + 1] for item in self.steps if len(item) > step + 1]
        inside = [span for span, at in zip(spans, ended, strict=True) if window[0] <= at < window[1]]
        value = statistics.median(inside) if inside else None
        return Measure(value, f"median time in {label}'s hands", "s", window[1], SOURCE, len(inside))

    def _taken(self, step: int, window: Window) -> list[float]:
        return sorted(item[step] for item in self.steps if len(item) > step and window[0] <= item[step] < window[1])


def in_service(log: RequestLog, window: Window, label: str) -> Measure:
    """How many requests the upstream served at once on average over a window; of one that serves one, its use."""
    value = log.inflight("start").mean(*window) if len(log) and log.complete else None
    return Measure(value, label, at=window[0], source="upstream log", samples=len(log))
