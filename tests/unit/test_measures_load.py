"""What the steps of a load test met, what a meter counted, and whether rounds and runs agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from backpressure.measures.load import bracketed, change, counted, most_used, off_plan, refusals, spread, took
from backpressure.request_log import RequestLog


class Series(NamedTuple):
    """A counter."""

    increase: float
    complete: bool = True


class Meter:
    """A receiver that has heard of some counters."""

    def __init__(self, *series: Series) -> None:
        self.series = series

    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> tuple[Series, ...]:
        """All of them, whatever is asked for."""
        del pattern, since, until
        return self.series


def test_a_counter_tells_its_rise_if_it_was_heard() -> None:
    """Increases add up; no series, or one with points forgotten, tells nothing."""
    assert counted(Meter(Series(7.0), Series(5.0)), "ti.start.x", 0.0).value == 12
    assert counted(Meter(), "ti.start.x", 0.0).value is None
    assert counted(Meter(Series(7.0), Series(5.0, complete=False)), "ti.start.x", 0.0).value is None


def test_rounds_and_runs_are_compared() -> None:
    """Rounds differ by the highest less the lowest, runs by their means; without figures nothing is known."""
    assert spread([0.9, 1.0, 0.95], "apart", "pgbench").value == pytest.approx(0.1)
    assert change([0.9, 1.0], [0.9], "off", "pgbench").value == pytest.approx(0.05)
    assert spread([1.0], "apart", "pgbench").value is None
    assert [change([], [1.0], "off", "x").value, change([1.0], [], "off", "x").value] == [None, None]


def step(rate: float, began: float, refused: float = 0.0, error: str = "", p95: float | None = 0.5) -> dict[str, Any]:
    """A step of four seconds."""
    return {"rate": rate, "began": began, "ended": began + 4, "refused": refused, "error": error, "p95": p95}


def arrivals(*instants: float, complete: bool = True) -> RequestLog:
    """Requests that were served at once."""
    rows, done = len(instants), list(instants)
    columns: dict[str, Any] = dict.fromkeys(("lane", "key", "path", "request_id", "status"), ["200"] * rows)
    columns |= dict.fromkeys(("arrival", "start", "finish"), done) | {"id": range(rows), "bytes": [0] * rows}
    return RequestLog(columns | {"retry_after": [None] * rows}, now=99.0, complete=complete)


def test_the_step_furthest_off_the_plan_counts() -> None:
    """Too few and too many are both off; without the upstream's log nothing is known."""
    log = arrivals(*(10 + number / 2 for number in range(8)), *(20 + number / 2 for number in range(8)))
    assert off_plan(log, [step(2, 10), step(2, 20)], 4).value == 0
    found = off_plan(log, [step(2, 10), step(8, 20)], 4)
    assert (found.value, found.at, found.detail) == (0.75, 20, "at 8 a second 8 of 32 calls came")
    assert off_plan(log, [step(1, 10)], 4).value == 1
    assert [off_plan(log, [], 4).value, off_plan(arrivals(), [step(2, 10)], 4).value] == [None, None]
    assert off_plan(arrivals(10.0, complete=False), [step(2, 10)], 4).value is None


def test_what_ended_the_test_is_told_with_the_room() -> None:
    """The last step may have broken, or nothing did."""
    good, bad = step(4, 10), step(8, 20, 0.5, "TimeoutError")
    found = bracketed(6.0, [good], bad)
    assert (found.value, found.at) == (6, 20)
    assert found.detail == "4 a second held; at 8 a second 50 % were refused, most by TimeoutError"
    assert bracketed(6.0, [good], good).detail == "no rate broke it; at 4 a second none was refused"


def test_the_most_used_is_named_with_what_the_others_were() -> None:
    """Use and name are of the same resource, told at the same step."""
    use, culprit = most_used({"connections": 0.1, "upstream": 0.9}, step(8, 20, 0.5, "Full"))
    assert (use.value, use.name, culprit.value, culprit.at) == (0.9, "use of upstream, the most used", "upstream", 20)
    assert use.detail == "connections 0.1, upstream 0.9 at 8 a second; 50 % were refused, most by Full"


def test_refusals_and_latency_name_the_rate() -> None:
    """A step without an answer has no latency."""
    full = step(8, 20, 0.25, "Full", p95=0.7)
    found = refusals(full, "full")
    assert (found.value, found.at, found.detail) == (0.25, 20, "at 8 a second 25 % were refused, most by Full")
    assert (took(full, "then").value, took(full, "then").detail) == (0.7, "at 8 a second")
    assert took(step(8, 20, 1.0, "Full", p95=None), "then").value is None
