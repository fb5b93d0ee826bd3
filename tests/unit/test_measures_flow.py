"""The flow of items through stages, told from made-up steps."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.flow import Flow, in_service
from backpressure.request_log import RequestLog


def log(*rows: tuple[float, float, float]) -> RequestLog:
    """Requests given as (arrival, start, finish)."""
    columns: dict[str, Any] = {name: [row[n] for row in rows] for n, name in enumerate(("arrival", "start", "finish"))}
    columns |= {name: [""] * len(rows) for name in ("lane", "key", "path", "request_id", "status")}
    columns |= {"retry_after": [0.0] * len(rows), "id": [0] * len(rows), "bytes": [0] * len(rows)}
    return RequestLog(columns, now=10.0)


FLOW = Flow([[0.0, 1.0, 2.0], [1.0, 2.0, 4.0], [3.0, 5.0, 6.0], [7.0, 8.0]])


def test_items_between_two_steps_are_counted() -> None:
    """Two are there from 1 to 2; an item that leaves as another comes makes room first."""
    assert (FLOW.between(0, 2, "items").value, FLOW.between(0, 2, "items").at) == (2, 1.0)
    assert FLOW.between(1, 2, "items").value == 1
    assert Flow([]).between(0, 1, "items").value is None


def test_rates_are_those_of_a_window() -> None:
    """Two came in the first two seconds; none is a rate of 0, and no item at all is none."""
    assert FLOW.rate(0, (0.0, 2.0), "items").value == 1
    assert FLOW.rate(0, (10.0, 12.0), "items").value == 0
    assert Flow([]).rate(0, (0.0, 2.0), "items").value is None


def test_a_pace_needs_three() -> None:
    """Three left in four seconds: one every two seconds."""
    assert FLOW.pace(2, (0.0, 10.0), "items").value == pytest.approx(0.5)
    assert FLOW.pace(2, (0.0, 5.0), "items").value is None


def test_ages_are_taken_where_a_step_is() -> None:
    """Of three that left the oldest was 3 s old, and the youngest 2 s."""
    assert FLOW.age(1.0, 2, (0.0, 10.0)).value == 3
    assert FLOW.age(0.3, 2, (0.0, 10.0)).value == 2
    assert FLOW.age(0.5, 2, (20.0, 30.0)).value is None


def test_a_stage_holds_an_item_from_one_step_to_the_next() -> None:
    """Three were held for 1, 2 and 1 s; what is held still does not count, nor what is outside the window."""
    assert FLOW.held(1, (0.0, 10.0), "stage").value == 1
    assert FLOW.held(1, (3.0, 5.0), "stage").value == 2
    assert Flow([]).held(1, (0.0, 1.0), "stage").value is None


def test_service_is_a_mean_over_the_window() -> None:
    """One request is served for two of four seconds; an empty log tells nothing."""
    assert in_service(log((1.0, 1.0, 3.0)), (0.0, 4.0), "use").value == pytest.approx(0.5)
    assert in_service(log(), (0.0, 4.0), "use").value is None
