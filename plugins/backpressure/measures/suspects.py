"""Measures of tasks that differ from the others of their kind: who is slow, what he took, and what his log says of it.

Here a record is a task instance as Airflow lists it; its ``result`` holds what the task itself measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from backpressure.inspection import name
from backpressure.measures.measure import Measure, figure

__all__ = ["explained", "named", "outliers", "own", "spread_of"]

Record = Mapping[str, Any]
_MODIFIED_Z, _OUTLIER = 0.6745, 3.5  # B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993
_TIMES = 3.0  # the median: tasks that are alike differ by twice as much, where a machine has other things to do too
_FEWEST = 4


def outliers(values: Mapping[str, float]) -> list[str]:
    """Whose value is far above the others', by the median absolute deviation, and a multiple of their median.

    The highest come first. Far from the others is not enough: of tasks that take nearly the same, one that waited for
    the processor for a moment is far from the others too. The mean and the standard deviation would be moved by the
    very values that are looked for: of eight values none can lie more than 2.5 standard deviations from their mean.
    Fewer than four values have no outliers.
    """
    if len(values) < _FEWEST:
        return []
    middle = median(values.values())
    spread = median(abs(value - middle) for value in values.values())
    least = max(middle + _OUTLIER * spread / _MODIFIED_Z, _TIMES * middle)
    far = [one for one, value in values.items() if value > least]
    return sorted(far, key=lambda one: -values[one])


def own(records: Iterable[Record], key: str) -> dict[str, float]:
    """What the tasks measured of themselves, by their names."""
    return {name(record): float(record["result"][key]) for record in records}


def spread_of(records: Sequence[Record], key: str, label: str, source: str) -> Measure:
    """How many times the median the highest of the tasks' own figures is; no value with fewer than four."""
    values = own(records, key)
    middle = median(values.values()) if len(values) >= _FEWEST else 0.0
    if not middle:
        return Measure(None, label, source=source, samples=len(values))
    highest = max(values, key=values.__getitem__)
    detail = f"{highest} has {figure(values[highest])}, the median is {figure(middle)}"
    return Measure(values[highest] / middle, label, source=source, samples=len(values), detail=detail)


def named(records: Sequence[Record], key: str, label: str, source: str) -> Measure:
    """The names of the tasks whose own figure is far above the others', in the order of their names."""
    values = own(records, key)
    found = tuple(sorted(outliers(values))) if len(values) >= _FEWEST else None
    return Measure(found, label, source=source, samples=len(values))


def explained(logs: Mapping[str, Sequence[Mapping[str, Any]]], whose: Sequence[str]) -> Measure:
    """For each of some tasks the phase of its log that took more than half of the time of all its phases.

    Args:
        logs: the phases of each task's log, as :func:`backpressure.phases.phases` finds them.
        whose: the names of the tasks that are looked at.
    """
    found = []
    for task in sorted(whose):
        took = {one["phase"]: float(one["seconds"]) for one in logs.get(task, ())}
        longest = max(took, key=took.__getitem__, default="")
        if longest and took[longest] > sum(took.values()) / 2:
            found.append(f"{task}: {longest}")
    value = tuple(found) if any(logs.values()) else None
    return Measure(value, "what the slow tasks' logs name", source="task logs", samples=len(logs))
