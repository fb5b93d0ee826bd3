"""Measures of what was read or sampled while a run went on: a pool's slots, a figure that a task wrote down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.timeline import Curve

__all__ = ["agreement", "integral", "most", "reading", "share"]


def reading(value: Any, name: str, source: str, *, unit: str = "", at: float | None = None) -> Measure:
    """A figure that a task read somewhere; None when there was nothing to read."""
    return Measure(value, name, unit, at, source, samples=int(value is not None))


def share(those: Iterable[Any], name: str, source: str = "task instances") -> Measure:
    """Which part of them is true, from 0 to 1; no value when there are none."""
    seen = [bool(one) for one in those]
    return Measure(sum(seen) / len(seen) if seen else None, name, source=source, samples=len(seen))


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
    close = [abs(sample[key] - value) <= tolerance for sample, value in zip(samples, expected, strict=True)]
    return share(close, name, source)


def most(samples: Sequence[Mapping[str, Any]], key: str, name: str, source: str = "pool samples") -> Measure:
    """The highest value among samples, at the instant of the first that has it; no value without samples."""
    highest = max(samples, key=lambda sample: float(sample[key]), default=None)
    if highest is None:
        return Measure(None, name, source=source)
    return Measure(highest[key], name, at=highest["at"], source=source, samples=len(samples))


def integral(samples: Sequence[Mapping[str, Any]], key: str, name: str, source: str = "pool samples") -> Measure:
    """A sampled number times the seconds for which it stood, from the first sample to the last (trapezoids).

    Of a pool's slots by state, these are slot-seconds. There is no value with fewer than two samples.
    """
    pairs = list(pairwise(samples))
    area = sum((one[key] + other[key]) / 2 * (other["at"] - one["at"]) for one, other in pairs)
    return Measure(area if pairs else None, name, "slot-s", source=source, samples=len(samples))
