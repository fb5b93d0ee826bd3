"""Measures of readings of the machine: by how much something grew under load, and what the cores did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backpressure.measures.measure import Measure

__all__ = ["cores_busy", "grown"]

Readings = Sequence[Mapping[str, Any]]


def grown(before: Readings, under: Readings, key: str, source: str, *, unit: str = "", least: float = 0) -> Measure:
    """By how much the highest reading under load exceeds the last one before it; no value without both.

    Args:
        before: readings before the load.
        under: readings under load.
        key: what of them, which also names the measure.
        source: what it was read from.
        unit: of the value.
        least: what counts as the least growth, where nothing grew and a ratio is asked for.
    """
    highest = max(under, key=lambda reading: float(reading[key]), default=None)
    if highest is None or not before:
        return Measure(None, f"growth of {key}", unit, source=source)
    growth = max(highest[key] - before[-1][key], least)
    return Measure(growth, f"growth of {key}", unit, highest["at"], source, samples=len(under))


def cores_busy(readings: Readings, label: str) -> Measure:
    """Which part of all cores' time was spent on anything at all, from the first reading to the last.

    No value with fewer than two readings.
    """
    name = f"share of all cores busy {label}"
    if len(readings) < 2 or not readings[-1]["total"] > readings[0]["total"]:  # noqa: PLR2004 - a share of time takes two
        return Measure(None, name, source="/proc/stat", samples=len(readings))
    share = (readings[-1]["busy"] - readings[0]["busy"]) / (readings[-1]["total"] - readings[0]["total"])
    return Measure(float(share), name, at=readings[-1]["at"], source="/proc/stat", samples=len(readings))
