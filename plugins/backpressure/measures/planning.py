"""Measures for plans: what work holds of a pool, how it comes, how figures grow, when a queue gets too deep.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backpressure.timeline import Stamp, Timeline

__all__ = ["arrival_rate", "crossing", "held", "hold", "relative_wait", "slope", "slot_load"]

_FEWEST = 3


def held(work: Timeline, label: str) -> Measure:
    """Slot-seconds that the work held of its pool: from ``queued``, when a slot is taken, to the end."""
    found = work.intervals("queued", "end")
    span = found.span()
    seconds, at = (found.slot_seconds(), span[1]) if span else (None, None)
    return Measure(seconds, f"slot-seconds held by {label}", "slot-s", at, samples=len(found))


def hold(work: Timeline, label: str) -> Measure:
    """Mean seconds for which an instance that has ended held its slots, from ``queued`` on."""
    total = held(work, label)
    return replace(total / total.samples, name=f"mean time of {label} in a slot", unit="s")


def arrival_rate(work: Timeline, label: str) -> Measure:
    """Instances that became ready per second, from the first to the last; those that came with the first do not count.

    There is no value unless they came at two different instants.
    """
    came = sorted(work.scheduled[work.scheduled > 0].tolist())
    later = [at for at in came if at > came[0]]
    rate = len(later) / (later[-1] - came[0]) if later else None
    return Measure(rate, f"arrivals of {label}", "/s", later[-1] if later else None, samples=len(came))


def slot_load(work: Timeline, slots: int, seconds: float, label: str) -> Measure:
    """The load on each slot: slot-seconds that the work held, by the seconds in which it came and the slots."""
    return (held(work, label) / (seconds * slots)).named(f"load of a slot, {label}")


def relative_wait(work: Timeline, slots: int, label: str) -> Measure:
    """The mean wait for a slot while none of so many was free, as a share of the time for which an instance holds one.

    What waits beside a free slot waits for the scheduler, and no more slots would help it: that does not count.
    """
    held_at_once = work.concurrency("queued", "end", slots=True)
    full = replace(held_at_once, values=(held_at_once.values >= slots).astype(int))
    waits = work.intervals("scheduled", "queued")
    seconds = sum(full.integral(begin, end) for begin, end in zip(waits.begin, waits.finish, strict=True))
    mean = Measure(seconds / len(waits) if len(waits) else None, f"wait for a slot of {label}", "s", samples=len(waits))
    return (mean / hold(work, label)).named(f"wait for a slot in a job's own time, {label}")


def slope(values: Sequence[float], name: str, unit: str = "", source: str = "task instances") -> Measure:
    """How much figures grow from one to the next (Theil-Sen): as much as they do at least, with 95 % confidence.

    Up to five figures that all grow have the smallest of their pairwise slopes; any that fall make it 0 or less. There
    is no value for fewer than three.
    """
    from backpressure.timeline import theil_sen  # noqa: PLC0415 - numpy, not while a DAG file is parsed

    least = theil_sen(range(len(values)), values).low if len(values) >= _FEWEST else None
    return Measure(least, name, unit, source=source, samples=len(values))


def crossing(
    work: Timeline, number: int, since: float, label: str, *, begin: Stamp = "scheduled", finish: Stamp = "start"
) -> Measure:
    """Seconds from an instant until in one pool so many are between two stamps: waiting, unless others are given.

    The first time counts, also when it lies before the instant: then the seconds are negative. There is no value when
    there are never so many.
    """
    curves = work.concurrency_by("pool", begin, finish).values()
    reached = [float(times[0]) for curve in curves if len(times := curve.times[curve.values >= number])]
    at = min(reached, default=None)
    doing = {"scheduled": "wait", "queued": "hold slots"}.get(begin, "run")
    name = f"time until {number} of {label} {doing}"
    return Measure(None if at is None else at - since, name, "s", at, samples=len(work))
