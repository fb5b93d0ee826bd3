"""Measures of an upstream's own log of requests: how much came when, what was refused, and who came back too soon.

None has a value on an empty log, nor on one from which requests may be missing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

from backpressure.measures.measure import Measure, Points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backpressure.request_log import RequestLog

__all__ = [
    "arrivals",
    "arrivals_above",
    "booked",
    "growing",
    "honoured",
    "in_progress",
    "noticed",
    "past_quota",
    "proportion",
    "requests",
    "served",
    "span",
    "throughput",
]

SOURCE = "upstream log"
OK = 200
REFUSED = (429, 503)
_MOST_POINTS = 1000  # evidence is kept as JSON, and a picture has no more columns than that


def requests(log: RequestLog, label: str, *, status: int | str | Iterable[int | str] | None = None) -> Measure:
    """How many requests there were, or ended in such a status, at the instant of the first."""
    chosen = log if status is None else log.select(status=status)
    return _measure(log, len(chosen), label, float(chosen.arrival[0]) if len(chosen) else None)


def proportion(log: RequestLog, at: float, label: str) -> Measure:
    """Requests from an instant on, for each one before it; no value when there was none before."""
    before, after = log.count(until=at), log.count(since=at)
    return _measure(log, after / before if before else None, label, at)


def served(log: RequestLog, label: str) -> Measure:
    """How many different request ids were served: whoever is served twice counts once."""
    done = log.select(status=OK)
    return _measure(log, len(set(done.request_id.tolist())), label)


def arrivals(log: RequestLog, window: float, label: str) -> Measure:
    """The most requests that arrived in any such many seconds, and where that began."""
    most = log.arrivals(window)
    found = _measure(log, int(most.value), label, most.at)
    return replace(found, curve=_recent(log, window)) if found.value is not None else found


def arrivals_above(log: RequestLog, rate: float, burst: float, label: str) -> Measure:
    """By how many requests the worst interval of all exceeds burst + rate * length; below 0 where none does."""
    worst = log.excess(rate, burst)
    if worst is None:
        return _measure(log, None, label)
    detail = f"{worst.arrivals} requests in {worst.end - worst.start:.2f} s"
    return _measure(log, worst.value, label, worst.start, detail)


def in_progress(log: RequestLog, since: float, until: float, label: str) -> Measure:
    """The most requests that the upstream had on its hands at once in a window, waiting ones included."""
    curve = log.inflight()
    inside = (curve.at > since) & (curve.at < until)
    times = [since, *curve.at[inside].tolist()]
    values = [curve.value(since), *curve.values[inside].tolist()]
    most = max(values)
    found = _measure(log, int(most), label, times[values.index(most)])
    drawn = len(times) <= _MOST_POINTS and found.value is not None
    return replace(found, curve=tuple(zip([*times, until], [*values, 0.0], strict=True))) if drawn else found


def span(log: RequestLog, label: str) -> Measure:
    """Seconds from the first arrival to the last; no value with fewer than two."""
    found = log.arrival.tolist()
    known = len(found) > 1
    return _measure(log, found[-1] - found[0] if known else None, label, found[-1] if known else None, unit="s")


def honoured(
    log: RequestLog,
    label: str,
    *,
    by: Literal["key", "request_id"] = "request_id",
    status: int | Iterable[int] = 429,
) -> Measure:
    """Which part of the refusals was followed by the same key's, or request's, next try no sooner than told.

    A refusal after which nobody came again counts for nothing.
    """
    statuses = [status] if isinstance(status, int) else status
    followed = (gap for one in statuses for gap in log.gaps_after(one, by))
    gaps = [gap for gap in followed if gap.gap is not None and gap.retry_after is not None]
    early = next((gap for gap in gaps if not gap.honoured), None)
    detail = f"{early.group} was told {early.retry_after:g} s and came after {early.gap:.2f} s" if early else ""
    share = sum(gap.honoured for gap in gaps) / len(gaps) if gaps else None
    return _measure(log, share, label, early.refused_at if early else None, detail, samples=len(gaps))


def noticed(log: RequestLog, noted: Iterable[Sequence[Any]], label: str) -> Measure:
    """Which part of the refusals (429 or 503) somebody has noted: each as request id and seconds that it told to wait.

    No value when nobody was refused.
    """
    refused = log.select(status=REFUSED)
    there = Counter(zip(refused.request_id.tolist(), refused.retry_after.tolist(), strict=True))
    found = Counter((name, seconds) for name, seconds in noted)
    unseen = next(iter((there - found).elements()), None)
    detail = f"nobody noted that {unseen[0]} was told {unseen[1]:g} s" if unseen else ""
    share = (there & found).total() / there.total() if there else None
    return _measure(log, share, label, detail=detail, samples=there.total())


def growing(log: RequestLog, label: str) -> Measure:
    """Which part of the requests that were refused twice in a row waited longer after the second time.

    No value when none was.
    """
    gaps = {
        name: [later - earlier for earlier, later in pairwise(one.arrival.tolist())]
        for name, one in log.by("request_id").items()
        if one.count(status=REFUSED) > 1
    }
    pairs = [(first, second) for first, second, *_ in (found for found in gaps.values() if len(found) > 1)]
    share = sum(second > first for first, second in pairs) / len(pairs) if pairs else None
    return _measure(log, share, label, samples=len(pairs))


def past_quota(log: RequestLog, quota: int, label: str) -> Measure:
    """How many requests came although as many as the quota had been served to their key."""
    late = 0
    for one in log.by("key").values():
        done = sorted(one.select(status=OK).finish.tolist())
        late += int((one.arrival > done[quota - 1]).sum()) if len(done) >= quota else 0
    return _measure(log, late, label)


def booked(log: RequestLog, books: Iterable[str], label: str) -> Measure:
    """By how many the requests that were served to each key differ from those that somebody booked for it."""
    ours, theirs = Counter(books), Counter(log.select(status=OK).key.tolist())
    apart = {key: theirs[key] - ours[key] for key in sorted({*ours, *theirs})}
    detail = ", ".join(f"{key}: {theirs[key]} served, {ours[key]} booked" for key in apart)
    return _measure(log, sum(map(abs, apart.values())), label, detail=detail)


def throughput(log: RequestLog, label: str) -> Measure:
    """Requests served a second, from the first arrival to the last; no value with fewer than two."""
    done = log.select(status=OK)
    rate = done.rate() if len(done) > 1 else None
    return _measure(log, rate, label, unit="/s", samples=len(done))


def _recent(log: RequestLog, window: float) -> Points:
    """At each instant the requests that arrived in the ``window`` seconds before it; nothing where it is too long."""
    came = log.arrival.tolist()
    steps = sorted([(at, 1) for at in came] + [(at + window, -1) for at in came])
    if len(steps) > _MOST_POINTS:
        return ()
    counts = accumulate(step for _, step in steps)
    # Of several steps at one instant the last one stands.
    return tuple({at: float(count) for (at, _), count in zip(steps, counts, strict=True)}.items())


def _measure(
    log: RequestLog,
    value: float | None,
    label: str,
    at: float | None = None,
    detail: str = "",
    *,
    unit: str = "",
    samples: int | None = None,
) -> Measure:
    usable = log.complete and len(log) > 0
    rests_on = len(log) if samples is None else samples
    return Measure(value if usable else None, label, unit, at, SOURCE, rests_on, detail if usable else "")
