"""Measures of a retry storm: waits, whether callers come back together, and how many do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from backpressure.measures.storms import herd, retry_growth, retry_span, retry_wait
from backpressure.request_log import COLUMNS, RequestLog
from backpressure.timeline import Timeline


def tries(*rows: tuple[int, int, float, float]) -> Timeline:
    """Tries given as (map index, try number, scheduled, ended)."""
    columns = dict(
        zip(("map_index", "try_number", "scheduled", "end"), map(list, zip(*rows, strict=True)), strict=True)
    )
    return Timeline.from_arrays(**columns, task_id="call", run_id="r")


# Two callers, both refused at 10: one comes back after one second each time, the other after 2 and 4.
STORM = tries((0, 1, 5, 10), (0, 2, 11, 12), (0, 3, 13, 14), (1, 1, 5, 10), (1, 2, 12, 13), (1, 3, 17, 18))
NOTHING = Timeline.from_arrays()


def log(*arrivals: float) -> RequestLog:
    """Refusals at these instants."""
    columns: dict[str, Any] = {name: [0.0] * len(arrivals) for name in COLUMNS}
    columns |= {"arrival": list(arrivals), "status": ["503"] * len(arrivals)}
    return RequestLog(columns, now=100.0)


def test_a_wait_runs_from_a_failure_to_the_next_tries_scheduling() -> None:
    """The median over all retries of all callers."""
    found = retry_wait(STORM, "callers")
    assert (found.value, found.unit, found.samples) == (1.5, "s", 4)


def test_growth_compares_each_callers_last_wait_with_its_first() -> None:
    """1 and 2 in the middle; callers that retried once tell nothing."""
    assert retry_growth(STORM, "callers").value == 1.5
    assert retry_growth(tries((0, 1, 5, 10), (0, 2, 11, 12)), "callers").value is None


def test_a_span_is_from_the_first_callers_retry_to_the_last() -> None:
    """The first retries are a second apart, the second ones four; it says whose they are."""
    found = retry_span(STORM, 1, "callers")
    assert (found.value, found.at, found.detail) == (1.0, 11.0, "call[0] first, call[1] last")
    assert retry_span(STORM, 2, "callers").value == 4.0
    assert retry_span(STORM, 3, "callers").value is None


def test_a_try_that_never_was_scheduled_or_ended_is_no_retry() -> None:
    """Stamps that are missing make no wait."""
    assert retry_wait(tries((0, 1, 5, math.nan), (0, 2, 11, 12)), "callers").value is None
    assert retry_wait(tries((0, 1, 5, 10), (0, 2, math.nan, math.nan)), "callers").value is None


@pytest.mark.parametrize("measure", [retry_wait, retry_growth])
def test_no_tries_measure_nothing(measure: Any) -> None:
    """A run without its work has no waits."""
    assert measure(NOTHING, "callers").value is None


def test_a_herd_of_nobody_is_none_at_all_where_callers_called() -> None:
    """Retries are counted within the window; without any it is 0, and without any call it is not known."""
    assert herd(log(1, 2, 3, 9), log(2, 3, 9), 5.0, "retries").value == 2
    assert herd(log(1, 2), log(), 5.0, "retries").value == 0
    assert herd(log(), log(), 5.0, "retries").value is None
