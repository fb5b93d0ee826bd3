"""What a dashboard's panels are drawn of: StatsD's metrics as points in time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from backpressure.airflow.metrics import Metrics

__all__ = ["changes", "points"]

Points = list[tuple[float, float]]


def points(names: Sequence[str], since: float, metrics: Metrics | None = None) -> Points:
    """Metrics added up, at each instant from ``since`` on at which the first of them was received.

    Name the one first that Airflow sends last: then the others' figures are of the same moment. A metric that was never
    received counts as 0; when it is the first, there are no points.
    """
    receiver = metrics or Metrics()
    first, *others = [receiver.series(name, since) for name in names]
    if first is None:
        return []
    added = [other for other in others if other is not None]
    return [
        (at, value + sum(other.value_at(at) or 0.0 for other in added))
        for at, value in zip(first.at, first.values, strict=True)
    ]


def changes(seen: Points) -> Points:
    """How fast a figure changed up to each point but the first, per second."""
    return [(at, (value - before) / (at - since)) for (since, before), (at, value) in pairwise(seen) if at > since]
