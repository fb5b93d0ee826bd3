"""Measures of what a dashboard's panels show, for comparison with what the scheduler's timestamps say.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure, figure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backpressure.dashboard import Panel
    from backpressure.timeline import Curve, Timeline

    Points = Sequence[tuple[float, float]]

__all__ = ["agrees", "followed", "panel_mean", "panel_quantile", "real_mean", "spacing"]

_SOURCE = "the drawn panels"
_CLEAR = 2  # fewer more or less may have come or started between a gauge and its receipt


def agrees(points: Points, curve: Curve, label: str, tolerance: float = 1) -> Measure:
    """Which part of what was shown differs from the curve by no more than the tolerance.

    Only instants at which one of the two says something count: that nothing waits before and after proves little.
    """
    told = points if len(curve) else ()  # without any work there is nothing to be right or wrong about
    real = curve.at([at for at, _ in told]).tolist() if told else []
    pairs = [(at, shown, value) for (at, shown), value in zip(told, real, strict=True) if value or shown > tolerance]
    right = (abs(shown - value) <= tolerance for _, shown, value in pairs)
    found = share(right, f"points of {label} that agree", _SOURCE)
    if not pairs:
        return found
    at, shown, value = max(pairs, key=lambda one: abs(one[1] - one[2]))
    return replace(found, at=at, detail=f"furthest apart: {figure(shown)} shown, {figure(value)} by timestamps")


def followed(trend: Panel, work: Timeline, every: float = 4.0) -> Measure:
    """Which part of what the queue really grew and shrank by a trend panel shows.

    A time reaches from one point to the next that lies at least ``every`` seconds later, so that of two panels with
    points of different density neither counts the blinks of a moment. In each, what is shown counts up to what really
    changed, and nothing when its sign is the other: a figure that moves by chance seldom moves as far.

    Args:
        trend: how fast the queue changed up to each point, per second.
        work: the task instances that arrive in the queue and leave it for a slot; times in which about as many came
            as left have no clear direction and are left out.
        every: how long a time is at least, in seconds.
    """
    shown, since = 0.0, trend.points[0][0] if trend.points else 0.0
    changes: list[tuple[float, float, float, int]] = []  # what is not shown, when, what is, and what really changed
    for (before, _), (at, slope) in pairwise(trend.points):
        shown += slope * (at - before)
        if at - since >= every:
            came = int(((work.scheduled > since) & (work.scheduled <= at)).sum())
            change = came - int(((work.queued > since) & (work.queued <= at)).sum())
            if abs(change) >= _CLEAR:
                seen = min(abs(change), abs(shown)) if shown * change > 0 else 0.0
                changes.append((abs(change) - seen, at, shown, change))
            shown, since = 0.0, at
    name = f"part of the changes that {trend.title} shows"
    if not changes:
        return Measure(None, name, source=_SOURCE)
    value = 1 - sum(missed for missed, *_ in changes) / sum(abs(change) for *_, change in changes)
    missed, at, shown, change = max(changes)
    detail = f"{figure(shown)} shown where the queue changed by {change}" if missed > _CLEAR / 2 else ""
    return Measure(value, name, at=at, source=_SOURCE, samples=len(changes), detail=detail)


def panel_mean(panel: Panel, curve: Curve) -> Measure:
    """The mean of a panel's points from the curve's beginning to its end; no value when there are none."""
    inside = [(at, value) for at, value in panel.points if _within(at, curve)]
    mean = sum(value for _, value in inside) / len(inside) if inside else None
    at = inside[-1][0] if inside else None
    return Measure(mean, f"mean of {panel.title}", at=at, source=_SOURCE, samples=len(inside))


def real_mean(panel: Panel, curve: Curve, whole: float) -> Measure:
    """The curve's mean at these very points, as a share of a whole: what the panel should have shown."""
    inside = [at for at, _ in panel.points if _within(at, curve)]
    mean = float(curve.at(inside).mean()) / whole if inside else None
    return Measure(mean, "the same by timestamps", samples=len(inside))


def _within(at: float, curve: Curve) -> bool:
    return len(curve) > 0 and float(curve.times[0]) <= at < float(curve.times[-1])


def panel_quantile(panel: Panel, part: float) -> Measure:
    """A quantile of a panel's points, each counted once; no value when there are none."""
    import numpy as np  # noqa: PLC0415 - not while a DAG file is parsed

    from backpressure.timeline import quantiles  # noqa: PLC0415 - numpy, not while a DAG file is parsed

    values = np.array([value for _, value in panel.points], np.float64)
    found = quantiles(values, part)[0]
    return Measure(found, f"p{100 * part:g} of {panel.title}", panel.unit, source=_SOURCE, samples=len(values))


def spacing(panel: Panel) -> Measure:
    """The longest time between two points of a panel, in seconds; no value with fewer than two."""
    gaps = [later - at for (at, _), (later, _) in pairwise(panel.points)]
    return Measure(max(gaps, default=None), f"longest time between two points of {panel.title}", "s", source=_SOURCE)
