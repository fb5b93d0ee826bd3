"""Measures of samples: the highest, and what a number came to over time."""

from __future__ import annotations

from typing import Any

from backpressure.measures.samples import integral, most

SAMPLES: list[dict[str, Any]] = [
    {"at": 10.0, "running": 0},
    {"at": 11.0, "running": 2},
    {"at": 13.0, "running": 2},
    {"at": 13.5, "running": 0},
]


def test_the_most_is_that_of_the_first_sample_that_has_it() -> None:
    """The instant is where the highest value was seen first."""
    found = most(SAMPLES, "running", "calls at once")
    assert (found.value, found.at, found.samples) == (2, 11.0, 4)
    assert (found.name, found.source) == ("calls at once", "pool samples")


def test_an_integral_weighs_each_sample_with_its_time() -> None:
    """Slots times seconds, by trapezoids, however unevenly the samples lie."""
    found = integral(SAMPLES, "running", "slots held")
    assert (found.value, found.unit, found.samples) == (1 + 4 + 0.5, "slot-s", 4)


def test_too_few_samples_measure_nothing() -> None:
    """No sample has no highest, and a single one spans no time."""
    assert most([], "running", "calls at once").value is None
    assert integral([], "running", "slots held").value is None
    assert integral(SAMPLES[:1], "running", "slots held").value is None
