"""Measures of queues: who waited for whom, what came and went, and whether a meter's readings agree with that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure
from backpressure.measures.samples import integral, share

if TYPE_CHECKING:
    from backpressure.timeline import Curve, Timeline

__all__ = [
    "batch",
    "flow",
    "given_at_once",
    "in_index_order",
    "in_line",
    "last_end",
    "metered_depth",
    "metered_rise",
    "queued_after",
    "spent",
    "tracks",
    "waited_in_line",
]

_NAMED = 6
SLACK = 0.5
"""Seconds by which a reading may be behind: Airflow stamps a change before it commits it."""

Samples = Sequence[Mapping[str, Any]]


def tracks(
    samples: Samples, key: str, curve: Curve, *, least: int, tolerance: int = 1, slack: float = SLACK
) -> Measure:
    """Which part of the readings is right, of those taken while the curve was at ``least`` or more.

    A reading takes time, and what it counts changes meanwhile: it is right if it differs by no more than the tolerance
    from any value that the curve had between its instants ``since`` and ``at``.
    """
    apart = []
    for sample in samples:
        since, until = sample["since"] - slack, sample["at"]
        inside = curve.times[(curve.times > since) & (curve.times <= until)]
        values = [int(value) for value in curve.at([since, *inside.tolist()])]
        if max(values) >= least:
            off, real = min((abs(value - sample[key]), value) for value in values)
            apart.append((off, sample, real))
    found = share(
        (off <= tolerance for off, _, _ in apart), f"readings of {key} that agree", "readings against task instances"
    )
    if not apart:
        return found
    _, worst, real = max(apart, key=lambda one: one[0])
    return replace(found, at=worst["at"], detail=f"furthest apart: {worst[key]} read, {real} by timestamps")


def metered_depth(samples: Samples, key: str, label: str) -> Measure:
    """The mean of a metered number over time, from the first reading to the last; no value with fewer than two."""
    seconds = samples[-1]["at"] - samples[0]["at"] if len(samples) > 1 else 0.0
    name = f"mean depth of {label}, as metered"
    area = integral(samples, key, name, "readings").value
    mean = area / seconds if isinstance(area, int | float) and seconds > 0 else None
    at = samples[-1]["at"] if samples else None
    return Measure(mean, name, at=at, source="readings", samples=len(samples))


def metered_rise(samples: Samples, key: str, label: str) -> Measure:
    """How much a metered number rose a second, from the first reading to the last; no value with fewer than two."""
    name = f"rise of {label}, as metered"
    if len(samples) < 2 or samples[-1]["at"] <= samples[0]["at"]:  # noqa: PLR2004 - a rise takes two
        return Measure(None, name, "/s", source="readings", samples=len(samples))
    rise = (samples[-1][key] - samples[0][key]) / (samples[-1]["at"] - samples[0]["at"])
    return Measure(rise, name, "/s", samples[-1]["at"], "readings", len(samples))


def flow(work: Timeline, window: tuple[float, float], label: str) -> Measure:
    """Arrivals less starts, per second of a window: how fast a queue grows, by what goes in and what comes out."""
    since, until = window
    if not len(work) or not since < until:
        return Measure(None, f"arrivals less starts of {label}", "/s")
    came = int(((work.scheduled > since) & (work.scheduled <= until)).sum())
    went = int(((work.start > since) & (work.start <= until)).sum())
    rate = (came - went) / (until - since)
    return Measure(rate, f"arrivals less starts of {label}", "/s", until, samples=len(work))


def spent(work: Timeline, state: str, label: str) -> Measure:
    """Which part of all waiting was spent in one state: ``"scheduled"``, before a slot, or ``"queued"``, after it.

    Raises:
        ValueError: another state.
    """
    waits = {"scheduled": work.gate, "queued": work.executor_wait}
    if state not in waits:
        raise ValueError(f"state is {state!r}: task instances wait in 'scheduled' or 'queued'")
    known = {name: seconds[seconds >= 0] for name, seconds in waits.items()}
    total = sum(float(seconds.sum()) for seconds in known.values())
    value = float(known[state].sum()) / total if total > 0 else None
    return Measure(value, f"share of the waiting of {label} in {state}", samples=len(known[state]))


def queued_after(work: Timeline, others: Timeline, label: str) -> Measure:
    """Which part was given a slot only after the last of some others had ended; no value without both."""
    ends = others.end[others.end > 0]
    waited = work.queued >= ends.max() if len(ends) else []
    return share(waited, f"{label} that got a slot only after the others", of=work)


def waited_in_line(work: Timeline, label: str) -> Measure:
    """Which part was given a slot only after the first of them had ended: it waited for one of its own kind."""
    ends = work.end[work.end > 0]
    waited = work.queued >= ends.min() if len(ends) else []
    return share(waited, f"{label} that waited for each other", of=work)


def batch(work: Timeline, label: str) -> Measure:
    """The most task instances that the scheduler handed over in one pass, which gives them one stamp."""
    stamps = Counter(work.queued[work.queued > 0].tolist())
    at, most = max(stamps.items(), key=lambda one: one[1], default=(None, None))
    passes = ", ".join(str(number) for _, number in sorted(stamps.items())[:_NAMED])
    more = f" and {len(stamps) - _NAMED} more" if len(stamps) > _NAMED else ""
    detail = f"pass by pass: {passes}{more}" if stamps else ""
    return Measure(most, f"most {label} handed over in one pass", at=at, samples=sum(stamps.values()), detail=detail)


def in_line(work: Timeline, slots: int, label: str) -> Measure:
    """Which part of what came after the first so many was given a slot only when another had ended for it.

    The n-th to get a slot, counted from ``slots`` on, may do so when n - slots have ended. There is no value when no
    more than ``slots`` were given one.
    """
    given, ends = sorted(work.queued[work.queued > 0].tolist()), sorted(work.end[work.end > 0].tolist())
    ends += [float("inf")] * len(given)
    waited = [at >= end for at, end in zip(given[slots:], ends, strict=False)]
    return share(waited, label)


def given_at_once(work: Timeline, window: tuple[float, float] | None, label: str) -> Measure:
    """The most that held slots (from ``queued`` to the end) at an instant of a window at which one was given a slot.

    What was given its slot before the window counts as long as it goes on, but does not make an instant of its own: so
    this is what the limit of the window let through, not what an earlier one has left. There is no value without a
    window, nor when nothing was given a slot in it.
    """
    name = f"slots held when one was given to {label}"
    if window is None:
        return Measure(None, name)
    since, until = window
    given = work.queued[(work.queued > since) & (work.queued < until)]
    if not len(given):
        return Measure(None, name)
    held = work.concurrency("queued", "end").at(given)
    at = float(given[int(held.argmax())])
    return Measure(int(held.max()), name, at=at, samples=len(given))


def in_index_order(work: Timeline, label: str) -> Measure:
    """Which part of the mapped instances was given a slot no sooner than the one with the index before."""
    pairs = sorted(zip(work.map_index.tolist(), work.queued.tolist(), strict=True))
    given = [at for _, at in pairs if at == at]  # noqa: PLR0124 - NaN where it was never given one
    return share((later >= one for one, later in pairwise(given)), label)


def last_end(work: Timeline, at: float) -> float | None:
    """When the last of those that hold a slot at an instant, from ``queued`` on, ends; None when none does."""
    holding = work.intervals("queued").at(at)
    return float(work.end[holding].max()) if len(holding) else None
