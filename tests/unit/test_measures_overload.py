"""Measures of a scheduler before and after a cure, on made-up readings."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow.metrics import Series
from backpressure.measures.overload import before_and_after, least_share, loop_time
from backpressure.request_log import COLUMNS, RequestLog

NAN = float("nan")


def test_a_figure_is_told_before_and_after() -> None:
    """Two measures of two names, so that one can be compared with the other."""
    before, after = before_and_after([{"at": 1.0, "cpu": 4.0}, {"at": 2.0, "cpu": 1.0}], "cpu", "core", "/proc")
    assert (before.value, before.name, after.value, after.name) == (4.0, "core, before", 1.0, "core, after")
    assert (before >= 2 * after).holds


@pytest.mark.parametrize("records", [[], [{"at": 1.0, "cpu": 4.0}]])
def test_one_of_two_is_none_at_all(records: list[dict[str, float]]) -> None:
    """What was measured once shows no effect."""
    before, after = before_and_after(records, "cpu", "core", "/proc")
    assert before.value is after.value is None


class FakeMetrics:
    """Two schedulers' turns in the first window, one's in the second."""

    def matching(self, pattern: str, since: float, until: float) -> list[Series]:
        """What was received."""
        assert pattern == "scheduler.scheduler_loop_duration*"
        told: dict[tuple[float, float], list[tuple[float, ...]]]
        told = {(0.0, 3.0): [(200.0, 300.0), (400.0,)], (5.0, 8.0): [(20.0,)]}
        values = told.get((since, until), [])
        return [Series("loop", {}, "timer", (1.0,) * len(one), one, None, True) for one in values]  # noqa: FBT003 - as it comes


def test_a_turn_is_the_median_of_all_that_were_told() -> None:
    """Of every series with that name; a window in which nothing came has none."""
    metrics: Any = FakeMetrics()
    before, after = loop_time([{"since": 0.0, "at": 3.0}, {"since": 5.0, "at": 8.0}], metrics)
    assert (before.value, after.value, before.unit) == (300.0, 20.0, "ms")
    none, _ = loop_time([{"since": 1.0, "at": 2.0}, {"since": 5.0, "at": 8.0}], metrics)
    assert none.value is None


def log(*keys: str) -> RequestLog:
    """Requests with these keys."""
    columns: dict[str, Any] = {name: [0.0] * len(keys) for name in COLUMNS}
    texts = {name: ["x"] * len(keys) for name in ("lane", "path", "request_id", "status")}
    return RequestLog(columns | texts | {"key": list(keys)}, now=1.0, complete=True)


def test_the_least_share_is_of_who_did_least() -> None:
    """Whoever did nothing at all makes it 0; without requests it is unknown."""
    assert least_share(log("a", "a", "a", "b"), ["a", "b"], "share").value == 0.25
    assert least_share(log("a"), ["a", "b"], "share").value == 0
    assert least_share(log(), ["a", "b"], "share").value is None
