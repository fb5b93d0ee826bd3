"""Measures of what was read or sampled while a run went on: a pool's slots, a figure that a task wrote down."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from backpressure.measures.measure import Measure, figure

if TYPE_CHECKING:
    from backpressure.timeline import Curve, Timeline

__all__ = ["agreement", "fall", "integral", "middle", "most", "reading", "share", "stretch"]

_NAMED = 6
# A watcher starts and stops about when the work does: so much of the work's time may be without samples.
_UNSEEN = 0.05


class _Gauge(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def at(self) -> Sequence[float]: ...
    @property
    def values(self) -> Sequence[float]: ...
    @property
    def before(self) -> float | None: ...


def reading(value: Any, name: str, source: str, *, unit: str = "", at: float | None = None) -> Measure:
    """A figure that a task read somewhere; None when there was nothing to read."""
    return Measure(value, name, unit, at, source, samples=int(value is not None))


def share(those: Iterable[Any], name: str, source: str = "task instances", *, of: Timeline | None = None) -> Measure:
    """Which part of them is true, from 0 to 1; no value when there are none.

    With ``of``, the task instances that they are told of row by row, the detail names those of which it is true, or not
    true, whichever are fewer; and the instant is when the first of these was queued.
    """
    seen = [bool(one) for one in those]
    if not seen:
        return Measure(None, name, source=source)
    true, value = sum(seen), sum(seen) / len(seen)
    if of is None:
        return Measure(value, name, source=source, samples=len(seen))
    named = true * 2 <= len(seen) if 0 < true < len(seen) else bool(true)
    rows = [row for row, one in enumerate(seen) if one is named]
    word = "all of" if true == len(seen) else "none of" if not true else "only" if named else "all but"
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    queued = (float(of.queued[row]) for row in rows)
    at = min((instant for instant in queued if not math.isnan(instant)), default=None)
    detail = f"{word} {', '.join(of.labelled(rows[:_NAMED]))}{more}"
    return Measure(value, name, at=at, source=source, samples=len(seen), detail=detail)


def agreement(
    samples: Sequence[Mapping[str, Any]],
    key: str,
    curve: Curve,
    tolerance: float = 1,
    source: str = "pool samples",
) -> Measure:
    """Which part of the samples (each with its instant ``at``) differs from the curve by no more than the tolerance."""
    name = f"samples of {key} that agree"
    if not samples:
        return Measure(None, name, source=source)
    expected = curve.at([sample["at"] for sample in samples])
    apart = [abs(sample[key] - value) for sample, value in zip(samples, expected, strict=True)]
    worst = max(range(len(apart)), key=apart.__getitem__)
    return replace(
        share((one <= tolerance for one in apart), name, source),
        at=samples[worst]["at"],
        detail=f"furthest apart: {figure(samples[worst][key])} sampled, {figure(float(expected[worst]))} by timestamps",
    )


def most(
    samples: Sequence[Mapping[str, Any]], key: str, name: str, source: str = "pool samples", *, unit: str = ""
) -> Measure:
    """The highest value among samples, at the instant of the first that has it; no value without samples."""
    highest = max(samples, key=lambda sample: float(sample[key]), default=None)
    if highest is None:
        return Measure(None, name, unit, source=source)
    return Measure(highest[key], name, unit, highest["at"], source, samples=len(samples))


def middle(
    samples: Sequence[Mapping[str, Any]], key: str, name: str, source: str = "pool samples", *, unit: str = ""
) -> Measure:
    """The median among samples (of an even number the lower one), at the instant of the sample that has it."""
    ordered = sorted(samples, key=lambda sample: float(sample[key]))
    if not ordered:
        return Measure(None, name, unit, source=source)
    found = ordered[(len(ordered) - 1) // 2]
    return Measure(found[key], name, unit, found["at"], source, samples=len(samples))


def fall(gauges: Iterable[_Gauge], name: str, source: str = "StatsD") -> Measure:
    """How far the gauge that fell furthest went below what it was before, at the instant of its lowest value.

    There is no value when none was received, before and since.
    """
    known = [
        (one.before - min(one.values), one.before, one) for one in gauges if one.before is not None and len(one.values)
    ]
    if not known:
        return Measure(None, name, source=source)
    fell, before, gauge = max(known, key=lambda one: one[0])
    lowest = min(gauge.values)
    at = gauge.at[list(gauge.values).index(lowest)]
    detail = f"{gauge.name} was {figure(before)} before and {figure(lowest)} at least"
    return Measure(fell, name, at=at, source=source, samples=len(gauge.values), detail=detail)


def integral(
    samples: Sequence[Mapping[str, Any]],
    key: str,
    name: str,
    source: str = "pool samples",
    *,
    over: Timeline | None = None,
) -> Measure:
    """A sampled number times the seconds for which it stood, from the first sample to the last (trapezoids).

    Of a pool's slots by state, these are slot-seconds. There is no value with fewer than two samples, nor when the
    samples do not reach from about the first start to the last end of the task instances that they are taken ``over``.
    """
    pairs = list(pairwise(samples))
    span = over.intervals().span() if over is not None else None
    missed = over is not None and (not pairs or span is None or _unseen(samples, span) > _UNSEEN)
    area = sum((one[key] + other[key]) / 2 * (other["at"] - one["at"]) for one, other in pairs)
    at = samples[-1]["at"] if samples else None
    return Measure(area if pairs and not missed else None, name, "slot-s", at, source, len(samples))


def stretch(samples: Sequence[Mapping[str, Any]], key: str, value: float, name: str, source: str) -> Measure:
    """The longest time, in seconds, in which every sample of a number was at most so much; no value without samples."""
    longest, since, begun = 0.0, None, None
    for sample in samples:
        begun = (sample["at"] if begun is None else begun) if sample[key] <= value else None
        if begun is not None and sample["at"] - begun > longest:
            longest, since = sample["at"] - begun, begun
    return Measure(longest if samples else None, name, "s", since, source, samples=len(samples))


def _unseen(samples: Sequence[Mapping[str, Any]], span: tuple[float, float]) -> float:
    """Which share of a span lies before the first sample or after the last."""
    begin, end = span
    return float((max(samples[0]["at"] - begin, 0) + max(end - samples[-1]["at"], 0)) / (end - begin or 1))
