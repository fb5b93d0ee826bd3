"""Measures of a load test: what a meter counted, and whether rounds and runs agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backpressure.measures.measure import Measure

__all__ = ["change", "counted", "spread"]


class _Series(Protocol):
    @property
    def increase(self) -> float: ...
    @property
    def complete(self) -> bool: ...


class _Metrics(Protocol):
    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> Sequence[_Series]: ...


def counted(metrics: _Metrics, counter: str, since: float) -> Measure:
    """By how much a StatsD counter rose since an instant; no value if it was not received, or points were forgotten."""
    found = metrics.matching(counter, since)
    known = bool(found) and all(one.complete for one in found)
    value = round(sum(one.increase for one in found)) if known else None
    return Measure(value or None, "starts counted", source="StatsD", samples=len(found))


def spread(figures: Sequence[float], name: str, source: str) -> Measure:
    """The highest of some figures less the lowest; no value with fewer than two."""
    value = max(figures) - min(figures) if len(figures) > 1 else None
    return Measure(value, name, source=source, samples=len(figures))


def change(figures: Sequence[float], kept: Sequence[float] | None, name: str, source: str) -> Measure:
    """How far the mean of some figures is from a figure that was kept before; no value without both."""
    value = abs(sum(figures) / len(figures) - kept[0]) if figures and kept else None
    return Measure(value, name, source=source, samples=len(figures))
