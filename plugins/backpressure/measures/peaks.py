"""Measures of a peak that comes every day: when and how much it was, and what a pool had for it, before and after.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backpressure.capacity import busiest
from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["crowding", "lowered", "peak_began", "peak_size", "slots_at"]

_POOL = "pool samples"
Samples = Sequence[Mapping[str, Any]]


def peak_began(work: Timeline, width: float, label: str) -> Measure:
    """The instant (epoch s) at which the busiest stretch of arrivals began; no value without any."""
    return _peak(work, width, label, 0)


def peak_size(work: Timeline, width: float, label: str) -> Measure:
    """How many came in the busiest stretch of such a width (s); no value without any."""
    return _peak(work, width, label, 1)


def crowding(work: Timeline, width: float, label: str) -> Measure:
    """Which share of all arrivals came in the busiest stretch of such a width (s), from 0 to 1."""
    size = peak_size(work, width, label)
    value = size.value / size.samples if isinstance(size.value, int) else None
    return Measure(value, f"share of {label} in their busiest {width:g} s", at=size.at, samples=size.samples)


def slots_at(samples: Samples, instant: float | None, label: str) -> Measure:
    """How many slots the pool had at an instant, by the last sample before it; no value without one."""
    before = [one for one in samples if instant is not None and one["at"] <= instant]
    value = before[-1]["slots"] if before else None
    return Measure(value, f"slots {label}", at=instant, source=_POOL, samples=len(before))


def lowered(samples: Samples) -> Measure:
    """In how many steps the pool was made smaller; no value with fewer than two samples."""
    steps = [later["at"] for earlier, later in pairwise(samples) if later["slots"] < earlier["slots"]]
    value = len(steps) if len(samples) > 1 else None
    return Measure(value, "steps down", at=next(iter(steps), None), source=_POOL, samples=len(samples))


def _peak(work: Timeline, width: float, label: str, which: int) -> Measure:
    came = [at for at in work.scheduled.tolist() if at > 0]
    name = f"{'arrivals of' if which else 'begin of'} {label} in their busiest {width:g} s"
    if not came:
        return Measure(None, name)
    found = busiest(came, width)
    return Measure(found[which], name, "" if which else "s", found[0], samples=len(came))
