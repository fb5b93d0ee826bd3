"""Measures of a daily peak, on made-up arrivals and samples."""

from __future__ import annotations

import math

import pytest
from backpressure.measures.peaks import crowding, lowered, peak_began, peak_size, slots_at
from backpressure.timeline import Timeline

WORK = Timeline.from_arrays(
    scheduled=[10.0, 15.0, 15.5, 16.9, 20.0], end=[11.0, 17.0, 18.0, 19.0, math.nan], task_id="order"
)
NOTHING = Timeline.from_arrays()
SAMPLES = [{"at": 1.0, "slots": 10}, {"at": 2.0, "slots": 5}, {"at": 3.0, "slots": 5}, {"at": 4.0, "slots": 2}]


def test_the_peak_is_the_busiest_stretch() -> None:
    """Three of five came within two seconds; it begins with the first of them."""
    size, began = peak_size(WORK, 2.0, "orders"), peak_began(WORK, 2.0, "orders")
    assert (size.value, size.at, began.value, began.unit) == (3, 15.0, 15.0, "s")
    assert crowding(WORK, 2.0, "orders").value == pytest.approx(3 / 5)


def test_without_arrivals_there_is_no_peak() -> None:
    """Nothing is said of a day on which nothing came."""
    assert peak_size(NOTHING, 2.0, "orders").value is None
    assert peak_began(NOTHING, 2.0, "orders").value is None
    assert crowding(NOTHING, 2.0, "orders").value is None


def test_slots_are_those_of_the_last_sample() -> None:
    """What was read before the instant holds at it; before the first reading nothing is known."""
    assert slots_at(SAMPLES, 2.5, "then").value == 5
    assert slots_at(SAMPLES, math.inf, "in the end").value == 2
    assert slots_at(SAMPLES, 0.5, "then").value is None
    assert slots_at(SAMPLES, None, "then").value is None


def test_steps_down_are_counted() -> None:
    """Ten to five and five to two; one sample shows no step at all."""
    assert (lowered(SAMPLES).value, lowered(SAMPLES).at) == (2, 2.0)
    assert lowered(SAMPLES[:1]).value is None
