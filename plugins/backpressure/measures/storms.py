"""Measures of a retry storm: how long callers wait before they try again, and whether they come back together.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from backpressure.measures.measure import Measure
from backpressure.measures.upstream import arrivals, requests

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["herd", "retry_growth", "retry_span", "retry_wait"]


class _Retry(NamedTuple):
    """One retry: whose, the how manieth, and when it was scheduled, how long after the failure before."""

    caller: str
    number: int
    at: float
    wait: float


def retry_wait(tries: Timeline, label: str) -> Measure:
    """The median seconds from a failure until the next try was scheduled; no value without a retry."""
    found = _retries(tries)
    value = median(one.wait for one in found) if found else None
    return Measure(value, f"median wait of {label} before a retry", "s", samples=len(found))


def retry_growth(tries: Timeline, label: str) -> Measure:
    """How many times as long the wait before the last retry was as that before the first: the median of all callers.

    A back-off that doubles makes 2 of a second retry, and 4 of a third. There is no value where nobody retried twice.
    """
    own: dict[str, list[_Retry]] = {}
    for one in _retries(tries):
        own.setdefault(one.caller, []).append(one)
    ratios = [waits[-1].wait / waits[0].wait for waits in own.values() if len(waits) > 1 and waits[0].wait > 0]
    return Measure(median(ratios) if ratios else None, f"last wait of {label} by its first", samples=len(ratios))


def retry_span(tries: Timeline, number: int, label: str) -> Measure:
    """Seconds within which all callers' n-th retries were scheduled; no value with fewer than two."""
    found = sorted((one.at, one.caller) for one in _retries(tries) if one.number == number)
    name = f"time within which all {label} try again"
    if len(found) < 2:  # noqa: PLR2004 - a span takes two
        return Measure(None, name, "s", samples=len(found))
    (first, early), (last, late) = found[0], found[-1]
    return Measure(last - first, name, "s", first, samples=len(found), detail=f"{early} first, {late} last")


def herd(log: RequestLog, again: RequestLog, window: float, label: str) -> Measure:
    """The most calls of those that came ``again`` in any so many seconds; 0 where nobody did, of callers in the log."""
    return arrivals(again, window, label) if len(again) else replace(requests(again, label), value=_none_of(log))


def _none_of(log: RequestLog) -> int | None:
    return 0 if len(log) and log.complete else None


def _retries(tries: Timeline) -> list[_Retry]:
    """Every retry whose failure before is known, of each caller in the order of its tries."""
    rows = zip(tries.names(), tries.try_number.tolist(), tries.scheduled.tolist(), tries.end.tolist(), strict=True)
    stamps = {(name, number): (scheduled, end) for name, number, scheduled, end in rows}
    found = (
        _Retry(name, number - 1, scheduled, scheduled - stamps[name, number - 1][1])
        for (name, number), (scheduled, _) in sorted(stamps.items())
        if (name, number - 1) in stamps
    )
    return [one for one in found if one.wait >= 0]
