"""Measures of a daily peak, on made-up arrivals, samples and sizes."""

from __future__ import annotations

import math

import pytest
from backpressure.measures.peaks import crowding, lowered, peak_began, peak_size, rested, slots_at

CAME = [10.0, 15.0, 15.5, 16.9, 20.0]
SAMPLES = [{"at": 1.0, "slots": 10}, {"at": 2.0, "slots": 5}, {"at": 3.0, "slots": 5}, {"at": 4.0, "slots": 2}]


def test_the_peak_is_the_busiest_stretch() -> None:
    """Three of five came within two seconds; it begins with the first of them."""
    size, began = peak_size(CAME, 2.0, "orders"), peak_began(CAME, 2.0, "orders")
    assert (size.value, size.at, began.value, began.unit) == (3, 15.0, 15.0, "s")
    assert crowding(CAME, 2.0, "orders").value == pytest.approx(3 / 5)


def test_without_arrivals_there_is_no_peak() -> None:
    """Nothing is said of a day on which nothing came."""
    assert peak_size([], 2.0, "orders").value is None
    assert peak_began([], 2.0, "orders").value is None
    assert crowding([], 2.0, "orders").value is None


def test_slots_are_those_of_the_last_sample() -> None:
    """What was read before the instant holds at it; before the first reading nothing is known."""
    assert slots_at(SAMPLES, 2.5, "then").value == 5
    assert slots_at(SAMPLES, math.inf, "in the end").value == 2
    assert slots_at(SAMPLES, 0.5, "then").value is None
    assert slots_at(SAMPLES, None, "then").value is None


def test_steps_down_are_those_since_it_was_last_made_larger() -> None:
    """Ten to five and five to two, a second and a half apart; what was before the peak is no step down from it."""
    sizes = [(0.0, 16), (1.0, 2), (5.0, 10), (8.0, 10), (9.0, 5), (10.5, 2)]
    assert (lowered(sizes).value, lowered(sizes).at) == (2, 9.0)
    assert (rested(sizes).value, rested(sizes).at) == (1.5, 10.5)


def test_one_step_has_no_rest_and_no_size_no_step() -> None:
    """A pool that was made small at once has one step down; of a pool that nobody resized nothing is said."""
    assert lowered([(5.0, 10), (9.0, 2)]).value == 1
    assert rested([(5.0, 10), (9.0, 2)]).value is None
    assert lowered([(5.0, 10)]).value == 0
    assert lowered([]).value is None
