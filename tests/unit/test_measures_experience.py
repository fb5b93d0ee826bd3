"""What users saw in each phase, told from made-up notes of theirs."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.dashboard import read
from backpressure.measures.experience import Experience


def call(name: str, asked: float, took: float, answer: str | None, error: str = "") -> dict[str, Any]:
    """A user's note: a fresh answer, a stale one, or none."""
    told = None if answer is None else {"value": "v", "stale": answer == "stale", "age": 0.0}
    return {"name": name, "asked": asked, "took": took, "probe": False, "answer": told, "error": error}


# An outage from 10 to 20.
CALLS = [
    call("order-1", 8.0, 0.1, "fresh"),
    call("offer-1", 9.0, 0.1, "fresh"),
    call("order-2", 10.5, 0.5, "stale"),
    call("offer-2", 11.0, 0.0, None, "ShedError"),
    call("order-3", 12.0, 0.1, "stale"),
    call("order-4", 13.0, 0.1, None, "UpstreamTimeoutError"),
    call("order-5", 20.5, 0.1, "fresh"),
]
SEEN = Experience.of(CALLS, before=(0.0, 10.0), during=(10.0, 20.0), after=(20.0, 99.0))


def test_shares_are_of_one_class_in_one_phase() -> None:
    """Of three orders in the outage two were answered, with old values; all before and after were answered afresh."""
    assert SEEN.answered("order", "during").value == pytest.approx(2 / 3)
    assert SEEN.stale("order", "during").value == pytest.approx(2 / 3)
    assert [SEEN.fresh("order", phase).value for phase in SEEN.phases] == [1, 0, 1]
    assert SEEN.fresh(None, "before").value == 1


def test_an_error_is_counted_by_its_class() -> None:
    """Shed is not timed out."""
    assert SEEN.error("offer", "during", "ShedError").value == 1
    assert SEEN.error("order", "during", "ShedError").value == 0
    assert SEEN.error("order", "during", "UpstreamTimeoutError").at == 13.0


def test_time_counts_whether_or_not_there_was_an_answer() -> None:
    """The median of three orders, and the first stale answer from the phase's beginning until it came."""
    assert SEEN.latency("order", "during").value == 0.1
    assert SEEN.first_stale("order").value == 1.0


def test_nobody_came_means_nothing_is_known() -> None:
    """A class without requests in a phase has no share, no time and no first stale answer."""
    assert SEEN.answered("offer", "after").value is None
    assert SEEN.latency("offer", "after").value is None
    assert SEEN.first_stale("offer").value is None
    assert Experience.of([], during=(0.0, 1.0)).answered(None, "during").value is None


def test_the_picture_shows_times_and_ages() -> None:
    """Of five orders one had no answer, which is drawn below zero."""
    panels = read(SEEN.picture("Orders", "order", [(10.0, "outage")]))
    assert [round(value, 2) for _, value in panels["Time of an order"].points] == [0.1, 0.5, 0.1, 0.1, 0.1]
    assert [round(value) for _, value in panels["Age of its answer (-1: no answer)"].points] == [0, 0, 0, -1, 0]
    assert SEEN.picture("Gifts", "gift", []) == ""


def test_the_table_has_a_row_for_each_class_and_phase() -> None:
    """People read it: requests, shares, errors and times."""
    lines = SEEN.table().splitlines()
    assert len(lines) == 2 + 2 * 3
    assert "| order | during | 3 | 0.667 | 0.667 | UpstreamTimeoutError | 0.1 s | 0.5 s |" in lines
