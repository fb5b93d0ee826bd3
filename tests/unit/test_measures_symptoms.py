"""Measures of how overload shows, on made-up runs, turns and requests."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.symptoms import download_rate, exhausted, lateness, served_in, turn
from backpressure.request_log import RequestLog
from backpressure.timeline import Timeline

CHAIN = ("extract", "transform", "load")


def chains(waits: list[list[float]]) -> Timeline:
    """Runs of a chain, one each ten seconds; each stage takes two seconds and waits so long before it starts."""
    rows: list[dict[str, Any]] = []
    for number, run in enumerate(waits):
        ready = 10.0 * number
        for stage, seconds in zip(CHAIN, run, strict=True):
            rows.append({"scheduled": ready, "start": ready + seconds, "end": ready + seconds + 2,
                         "task_id": stage, "run_id": f"run-{number}"})  # fmt: skip
            ready += seconds + 2
    return Timeline.from_arrays(**{name: [row[name] for row in rows] for name in rows[0]})


def test_lateness_adds_up_along_the_chain() -> None:
    """What a stage waited is late for all that follow, and the time that work takes is not lateness."""
    work = chains([[1, 2, 3], [2, 3, 4], [3, 4, 5]])
    assert [lateness(work, CHAIN, stage).value for stage in CHAIN] == [2, 5, 9]
    assert lateness(work, CHAIN, "load").samples == 3
    assert lateness(work, CHAIN, "load").detail == "load of run-2 was latest, by 12.0 s"
    assert [lateness(chains([[0, 0, 0]] * 3), CHAIN, stage).value for stage in CHAIN] == [0, 0, 0]


def test_a_run_without_a_stage_is_left_out() -> None:
    """A stage that has not started, or is not there, has no lateness; too few runs have no median."""
    work = chains([[1, 2, 3]] * 3)
    started = work.select(lambda all_: ~(all_.task_id.isin("load") & all_.run_id.isin("run-0")))
    assert lateness(started, CHAIN, "load").value is None
    assert lateness(started, CHAIN, "load", least=2).value == 6
    assert lateness(started, CHAIN, "transform").value == 3
    assert lateness(work.select(task_id="nothing"), CHAIN, "load").value is None


def test_an_unknown_stage_is_refused() -> None:
    """A stage that is not of the chain is an error of the lesson."""
    with pytest.raises(ValueError, match="stage is 'publish'"):
        lateness(chains([[0, 0, 0]]), CHAIN, "publish")


def pool(at: float, slots: int, taken: int, waiting: int) -> dict[str, float]:
    """A pool's sample."""
    return {"at": at, "slots": slots, "occupied": taken, "open": slots - taken, "scheduled": waiting}


def test_a_pool_is_exhausted_where_work_waits_and_no_slot_is_open() -> None:
    """Full without work that waits is a pool of the right size; samples before and after the work do not count."""
    idle, right, full, worse = pool(1, 2, 0, 0), pool(2, 2, 2, 0), pool(3, 2, 2, 3), pool(4, 2, 2, 7)
    found = exhausted([idle, right, full, worse, idle])
    assert (found.value, found.at, found.samples) == (2 / 3, 4, 3)
    assert found.detail == "at worst 7 waited with 0 of 2 slots open"
    roomy = exhausted([idle, pool(2, 16, 3, 1), pool(3, 16, 5, 0)])
    assert (roomy.value, roomy.at, roomy.detail) == (0, 3, "at worst 0 waited with 11 of 16 slots open")
    assert exhausted([idle]).value is exhausted([]).value is None


def test_a_turn_is_the_mean_time_between_two_samples() -> None:
    """Idle time between loops counts; one sample alone tells nothing."""
    assert (turn([10.0, 10.5, 11.0, 12.5]).value, turn([10.0, 11.0]).samples) == (2.5 / 3, 2)
    assert turn([]).value is turn([10.0]).value is None


def requests(seconds: list[float], *, complete: bool = True) -> RequestLog:
    """Requests that were served for so long."""
    rows = len(seconds)
    columns: dict[str, Any] = dict.fromkeys(("lane", "key", "path", "request_id", "status"), ["x"] * rows)
    columns |= {"id": range(rows), "bytes": [100] * rows, "arrival": [0.0] * rows, "retry_after": [None] * rows}
    return RequestLog(columns | {"start": [1.0] * rows, "finish": [1 + one for one in seconds]}, now=99.0,
                      complete=complete)  # fmt: skip


def test_service_is_what_the_upstream_says() -> None:
    """The mean over requests; a log that has forgotten some, or has none, measures nothing."""
    assert served_in(requests([1.0, 2.0]), "calls").value == 1.5
    assert served_in(requests([]), "calls").value is None
    assert served_in(requests([1.0], complete=False), "calls").value is None


def test_a_download_has_a_rate_of_its_own_and_a_share_of_all() -> None:
    """Hundred bytes in one, two and four seconds: the median is fifty a second, all together are 300 in four."""
    log = requests([1.0, 2.0, 4.0])
    assert download_rate(log, "together").value == 50
    assert download_rate(log, "in all", total=True).value == 75
    assert download_rate(requests([]), "together").value is None
    assert download_rate(requests([1.0], complete=False), "in all", total=True).value is None
