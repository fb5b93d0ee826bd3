"""Measures of a peak that comes every day: when and how much it was, and what a pool had for it, before and after.

Arrivals are instants (epoch s) in any order; sizes of a pool are pairs of an instant and the slots from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from backpressure.capacity import busiest
from backpressure.measures.measure import Measure

__all__ = ["crowding", "lowered", "peak_began", "peak_size", "rested", "slots_at"]

_POOL, _RUNS, _LOG = "pool samples", "DAG runs", "audit log"
Samples = Sequence[Mapping[str, Any]]
Sizes = Sequence[tuple[float, int]]


def peak_began(came: Sequence[float], width: float, label: str) -> Measure:
    """The instant (epoch s) at which the busiest stretch of arrivals began; no value without any."""
    began = busiest(came, width)[0] if came else None
    name = f"begin of {label} in their busiest {width:g} s"
    return Measure(began, name, "s", began, _RUNS, samples=len(came))


def peak_size(came: Sequence[float], width: float, label: str) -> Measure:
    """How many came in the busiest stretch of such a width (s); no value without any."""
    began, size = busiest(came, width) if came else (None, None)
    return Measure(size, f"arrivals of {label} in their busiest {width:g} s", at=began, source=_RUNS, samples=len(came))


def crowding(came: Sequence[float], width: float, label: str) -> Measure:
    """Which share of all arrivals came in the busiest stretch of such a width (s), from 0 to 1."""
    began, size = busiest(came, width) if came else (None, 0)
    value = size / len(came) if came else None
    return Measure(value, f"share of {label} in its busiest {width:g} s", at=began, source=_RUNS, samples=len(came))


def slots_at(samples: Samples, instant: float | None, label: str) -> Measure:
    """How many slots the pool had at an instant, by the last sample before it; no value without one."""
    before = [one for one in samples if instant is not None and one["at"] <= instant]
    value = before[-1]["slots"] if before else None
    return Measure(value, f"slots {label}", at=instant, source=_POOL, samples=len(before))


def lowered(sizes: Sizes) -> Measure:
    """In how many steps, one after the other, the pool was made smaller in the end; no value without any size."""
    steps = _descent(sizes)
    value = len(steps) if sizes else None
    return Measure(value, "steps down", at=next(iter(steps), None), source=_LOG, samples=len(sizes))


def rested(sizes: Sizes) -> Measure:
    """The shortest time between two of these steps; no value with fewer than two."""
    gaps = [(later - earlier, later) for earlier, later in pairwise(_descent(sizes))]
    gap, at = min(gaps, default=(None, None))
    return Measure(gap, "shortest rest between two steps", "s", at, _LOG, samples=len(gaps))


def _descent(sizes: Sizes) -> list[float]:
    """When the pool was made smaller, since it was made larger for the last time."""
    steps: list[float] = []
    for (_, before), (at, after) in pairwise(sizes):
        steps = [*steps, at] if after < before else [] if after > before else steps
    return steps
