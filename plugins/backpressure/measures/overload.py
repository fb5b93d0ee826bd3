"""Measures of a scheduler's load before a cure and after it, and of who took part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backpressure.request_log import RequestLog

__all__ = ["LOOP", "before_and_after", "least_share", "loop_time"]

LOOP = "scheduler.scheduler_loop_duration"
"""The timer that a scheduler sends with each turn of its loop."""
Records = Sequence[Mapping[str, Any]]


def before_and_after(records: Records, key: str, name: str, source: str, unit: str = "") -> tuple[Measure, Measure]:
    """A figure before a cure and after it; neither has a value unless both were measured."""
    whole = len(records) == 2  # noqa: PLR2004 - before and after
    values = [(one[key], one["at"]) for one in records] if whole else [(None, None)] * 2
    labels = (f"{name}, before", f"{name}, after")
    before, after = (
        Measure(value, label, unit, at, source, samples=int(whole))
        for (value, at), label in zip(values, labels, strict=True)
    )
    return before, after


class Told(Protocol):
    """Values of one metric over time."""

    @property
    def values(self) -> Sequence[float]:
        """In the order of time."""


class Witness(Protocol):
    """What this module needs of a client of the StatsD receiver: see ``backpressure.airflow.metrics.Metrics``."""

    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> Iterable[Told]:
        """The metrics whose names match, within a window."""


def loop_time(records: Records, metrics: Witness) -> tuple[Measure, Measure]:
    """The median turn of the scheduler's loop in two windows, from ``since`` to ``at``, as it says itself in StatsD."""
    told = []
    for one in records:
        found = metrics.matching(f"{LOOP}*", one["since"], one["at"])
        values = [value for series in found for value in series.values]
        told.append({"at": one["at"], "ms": median(values) if values else None})
    return before_and_after(told, "ms", "median turn of the scheduler", "StatsD", "ms")


def least_share(log: RequestLog, keys: Sequence[str], label: str) -> Measure:
    """The share of the one of some keys that made fewest of the requests; 0 when one made none."""
    counts = {key: log.count(key=key) for key in keys}
    value = min(counts.values()) / len(log) if len(log) and log.complete else None
    detail = ", ".join(f"{key} {count}" for key, count in counts.items())
    return Measure(value, label, source="upstream log", samples=len(log), detail=detail if len(log) else "")
