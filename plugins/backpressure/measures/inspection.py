"""Measures of an inspection of a queue: whether it saw what there was, and whether what it foretold came.

What was seen is a list as :func:`backpressure.inspection.waiting` makes it. Who really waited at that instant the task
instances' own stamps say, once they have them all; there is no value where nobody did.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure, figure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["ages_right", "drained", "in_order", "slots_seen"]

SOURCE = "inspection"
Seen = Sequence[Mapping[str, Any]]


def slots_seen(seen: Seen, pool: str, work: Timeline, label: str) -> Measure:
    """For how many slots of a pool work waits, as seen; no value when there was no work at all."""
    value = sum(one["slots"] for one in seen if one["pool"] == pool) if len(work) else None
    return Measure(value, f"slots that work waits for in {label}", source=SOURCE, samples=len(seen))


def ages_right(seen: Seen, at: float, work: Timeline, within: float = 0.5) -> Measure:
    """Which part of those that waited at an instant was seen, with its age right to within so many seconds."""
    ages = {one["name"]: one["age"] for one in seen}
    rows = _waited(work, at)
    names = work.labelled(rows)
    real = [at - float(work.scheduled[row]) for row in rows]
    right = [name in ages and abs(ages[name] - age) <= within for name, age in zip(names, real, strict=True)]
    found = share(right, "waiting tasks seen with their age", "inspection against task instances")
    if not right:
        return found
    oldest = max(range(len(rows)), key=real.__getitem__)
    told = figure(ages[names[oldest]], "s") if names[oldest] in ages else "not seen"
    detail = f"the oldest is {names[oldest]} with {figure(real[oldest], 's')}: {told}"
    return Measure(found.value, found.name, at=at, source=found.source, samples=len(rows), detail=detail)


def in_order(seen: Seen, at: float, work: Timeline) -> Measure:
    """Of all pairs that waited at an instant, which part got its slots in the order in which it was listed.

    A pair that the scheduler handed over in one pass, whose stamps are the same, is in any order; one that was not seen
    is in none.
    """
    places = {one["name"]: place for place, one in enumerate(seen)}
    rows = [row for row in _waited(work, at) if work.queued[row] > 0]
    known = list(zip(work.labelled(rows), (float(work.queued[row]) for row in rows), strict=True))
    right, wrong = [], ""
    for (one, first), (other, second) in combinations(known, 2):
        apart = places[one] - places[other] if one in places and other in places else None
        right.append(apart is not None and (first == second or (apart < 0) == (first < second)))
        if not right[-1] and not wrong:
            early, late = (one, other) if first < second else (other, one)
            wrong = f"{early} got its slots before {late}" + ("" if apart is not None else ", and was not foreseen")
    value = sum(right) / len(right) if right else None
    when = max((queued for _, queued in known), default=None)
    return Measure(value, "pairs in the order foretold", at=when, samples=len(right), detail=wrong)


def drained(work: Timeline, since: float, label: str) -> Measure:
    """Seconds from an instant until the last task instance got its slots: nothing waits from then on."""
    queued = work.queued[work.queued > 0]
    last = float(queued.max()) if len(queued) else None
    value = None if last is None else last - since
    return Measure(value, f"time until nothing waits for {label}", "s", last, samples=len(queued))


def _waited(work: Timeline, at: float) -> list[int]:
    """The rows that were ready and had no slot at an instant, those that never got one included."""
    ready = work.scheduled <= at
    return [row for row in range(len(work)) if ready[row] and not work.queued[row] <= at]
