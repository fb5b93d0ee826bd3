"""Measures of a monitor: whether what it sampled and sent is what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.timeline import Curve

__all__ = ["alerts_sent", "last", "rises", "samples_until_alert"]

ALERTS = "upstream log"
Samples = Sequence[Mapping[str, Any]]


def alerts_sent(alerts: Sequence[float], samples: Samples) -> Measure:
    """How many alerts there were; no value when nobody was looking."""
    value = len(alerts) if samples else None
    return Measure(value, "alerts", at=min(alerts, default=None), source=ALERTS, samples=len(samples))


def samples_until_alert(samples: Samples, curve: Curve, threshold: float, alerts: Sequence[float]) -> Measure:
    """How many samples were taken from the instant at which a curve passed a threshold until the first alert.

    What passes for less than two samples' time no monitor has to see, but it may. An alert of nothing, before the first
    passing that it had to see, counts as -1.
    There is no value without alert, or without passing.

    Args:
        samples: each with its instant ``at``, in order.
        curve: what really was.
        threshold: passed when the curve is above it.
        alerts: their instants.
    """
    name = "samples from passing the threshold to the alert"
    if not alerts or (passed := _passed(samples, curve, threshold, min(alerts))) is None:
        most = f"the most was {curve.peak}, the threshold {threshold:g}" if len(curve) else ""
        return Measure(None, name, "", curve.peak_at, ALERTS, detail=most)
    alert = min(alerts)
    taken = sum(passed <= sample["at"] <= alert for sample in samples)
    return Measure(taken if alert >= passed else -1, name, at=alert, source=ALERTS, samples=len(samples))


def rises(samples: Samples, key: str, name: str, source: str) -> Measure:
    """How many times a sampled number was higher than the time before; no value with fewer than two samples."""
    higher = [later["at"] for earlier, later in pairwise(samples) if later[key] > earlier[key]]
    value = len(higher) if len(samples) > 1 else None
    return Measure(value, name, at=higher[0] if higher else None, source=source, samples=len(samples))


def last(samples: Samples, key: str, name: str, source: str) -> Measure:
    """The number that was sampled last; no value without samples."""
    if not samples:
        return Measure(None, name, source=source)
    return Measure(samples[-1][key], name, at=samples[-1]["at"], source=source, samples=len(samples))


def _passed(samples: Samples, curve: Curve, threshold: float, alert: float) -> float | None:
    """Since when the curve was above the threshold, the first time that lasted or that the alert fell into."""
    gaps = [later["at"] - earlier["at"] for earlier, later in pairwise(samples)]
    if not gaps:
        return None
    since = None
    for at, value in zip(curve.times.tolist(), curve.values.tolist(), strict=True):
        if since is not None and (at - since >= 2 * median(gaps) or since <= alert < at):
            return float(since)
        since = (at if since is None else since) if value > threshold else None
    return since
