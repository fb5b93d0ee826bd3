"""Measures of how overload shows: lateness along a chain of tasks, the scheduler's turns, an upstream's service."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["download_rate", "exhausted", "lateness", "served_in", "turn"]

_LEAST = 3


def exhausted(samples: Sequence[Mapping[str, Any]], source: str = "pool samples") -> Measure:
    """Which part of a pool's samples shows no open slot while tasks wait, of those that show it in use at all.

    The instant and the detail are those of the worst: where fewest slots were open, and of these where most waited.
    There is no value when the pool was never in use.
    """
    name, used = "samples of a full pool", [one for one in samples if one["occupied"] or one["scheduled"]]
    if not used:
        return Measure(None, name, source=source, samples=len(samples))
    full = sum(one["open"] <= 0 and one["scheduled"] > 0 for one in used)
    worst = min(used, key=lambda one: (one["open"], -one["scheduled"]))
    detail = f"at worst {worst['scheduled']} waited with {worst['open']} of {worst['slots']} slots open"
    return Measure(full / len(used), name, at=worst["at"], source=source, samples=len(used), detail=detail)


def lateness(work: Timeline, chain: Sequence[str], stage: str, *, least: int = _LEAST) -> Measure:
    """The median seconds by which a stage starts later than its run's first arrival and the work before it explain.

    A run that never waits starts each stage when the durations of the stages before it are over, counted from the
    instant at which its first stage was scheduled. What comes on top is lateness; it adds up along the chain.

    Args:
        work: the task instances of all runs.
        chain: the task ids of the stages, in their order.
        stage: whose lateness; one of the chain.
        least: with fewer runs there is no value.

    Raises:
        ValueError: ``stage`` is not one of the chain.
    """
    if stage not in chain:
        raise ValueError(f"stage is {stage!r}, which is not in the chain {', '.join(chain)}")
    before = chain[: list(chain).index(stage)]
    late, rows = [], work.select(task_id=chain)
    for run in rows.by("run_id").values():
        stages = run.by("task_id")
        if all(name in stages for name in (chain[0], *before, stage)):
            ideal = float(stages[chain[0]].scheduled[0]) + sum(float(stages[name].duration[0]) for name in before)
            begun = float(stages[stage].start[0])
            late.append((begun - ideal, begun, run.run_id.tolist()[0].rpartition("__")[2]))
    known = [one for one in late if not math.isnan(one[0])]  # NaN where a stamp is missing
    name = f"median lateness of {stage}"
    if len(known) < least:
        return Measure(None, name, "s", samples=len(known))
    latest, at, run_label = max(known)
    detail = f"{stage} of {run_label} was latest, by {latest:.1f} s"
    return Measure(median(seconds for seconds, _, _ in known), name, "s", at, samples=len(known), detail=detail)


def turn(at: Sequence[float]) -> Measure:
    """Seconds that the scheduler takes for one turn of its loop, idle time included: from the instants of its samples.

    No value with fewer than two instants.
    """
    seconds = (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else None
    return Measure(seconds, "one turn of the scheduler", "s", source="StatsD", samples=len(at))


def served_in(log: RequestLog, label: str) -> Measure:
    """The mean seconds that an upstream took to serve a request; no value where it served none to the end."""
    service = log.service()
    mean = float(service.mean()) if len(service) and log.complete else None
    return Measure(mean, f"mean service of {label}", "s", source="upstream log", samples=len(service))


def download_rate(log: RequestLog, label: str, *, total: bool = False) -> Measure:
    """Bytes a second of the median download, or of all together from the first byte to the last (``total``)."""
    name = f"rate of a download {label}" if not total else f"rate of the downloads {label}"
    rates = sorted(log.download_rates().tolist())
    if not rates or not log.complete:
        return Measure(None, name, "B/s", source="upstream log")
    began, ended = log.start[log.start > 0].min(), log.finish[log.finish > 0].max()
    detail = f"{len(rates)} downloads, the slowest at {rates[0]:.0f} B/s"
    if not total:
        return Measure(median(rates), name, "B/s", float(ended), "upstream log", len(rates), detail)
    value = float(log.bytes.sum() / (ended - began)) if ended > began else None
    return Measure(value, name, "B/s", float(ended), "upstream log", len(rates))
