"""A queue that nobody serves, told from what runs and starts in it."""

from __future__ import annotations

from typing import Any

import pytest

from backpressure_lab.errors import NotRunningError
from backpressure_lab.lessons import runner
from backpressure_lab.lessons.queues import Queues

RUN = "pooled-1"


class Airflow:
    """Task instances, filtered as Airflow does it: a filter by start lets through what has not started."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = list(records)

    def task_instances(self, **filters: str) -> list[dict[str, Any]]:
        def wanted(record: dict[str, Any]) -> bool:
            return (
                filters.get("state", record["state"]) == record["state"]
                and filters.get("queue", record["queue"]) == record["queue"]
                and record["dag_run_id"].startswith(filters.get("run_id_prefix_pattern", ""))
                and (record["start_date"] or "9999") >= filters.get("start_date_gte", "")
            )

        return [record for record in self.records if wanted(record)]


def _record(
    state: str, queue: str = "gpu", *, run_id: str = RUN, start: str | None = None, executor: str | None = None
) -> dict[str, Any]:
    return {
        "dag_run_id": run_id,
        "state": state,
        "queue": queue,
        "executor": executor,
        "queued_when": "2026-01-01T00:00:10Z",
        "start_date": start,
    }


def _queues(api: Airflow, times: list[float]) -> Queues:
    return Queues(api, RUN, clock=lambda: times.pop(0))  # type: ignore[arg-type]


def test_a_queue_in_which_nothing_runs_or_starts_is_named() -> None:
    """Since it was first seen so, for each queue; tasks of other runs do not count as waiting."""
    api = Airflow(_record("queued"), _record("queued", "default", run_id="another"))
    queues = _queues(api, [100.0, 115.0])
    assert queues.unserved() == {"gpu": 0.0}
    assert queues.unserved() == {"gpu": 15.0}


@pytest.mark.parametrize(
    "other",
    [
        _record("running", run_id="another", start="2026-01-01T00:00:00Z"),
        _record("success", start="2026-01-01T00:00:12Z"),
    ],
)
def test_a_queue_that_is_worked_on_is_served(other: dict[str, Any]) -> None:
    """By whichever run: its workers are busy, or took something after this task had come."""
    assert _queues(Airflow(_record("queued"), other), [100.0]).unserved() == {}


@pytest.mark.parametrize(
    "other",
    [
        _record("success", start="2026-01-01T00:00:08Z"),
        _record("running", "default", start="2026-01-01T00:00:12Z"),
        _record("running", executor="LocalExecutor", start="2026-01-01T00:00:12Z"),
    ],
)
def test_work_of_other_times_queues_or_executors_does_not_serve_it(other: dict[str, Any]) -> None:
    """A worker that has gone, one of another queue, and LocalExecutor, which knows no queues."""
    assert _queues(Airflow(_record("queued"), other), [100.0]).unserved() == {"gpu": 0.0}


def test_the_time_begins_anew_when_a_worker_has_come_and_gone() -> None:
    """Only an unbroken time counts."""
    api = Airflow(_record("queued"))
    queues = _queues(api, [0.0, 100.0, 110.0])
    assert queues.unserved() == {"gpu": 0.0}
    api.records.append(_record("running", start="2026-01-01T00:00:12Z"))
    assert queues.unserved() == {}
    api.records.pop()
    assert queues.unserved() == {"gpu": 0.0}


def test_a_run_waits_for_a_while_and_then_says_what_to_start() -> None:
    """First the progress line tells; at last the run is ended, with the queue, the time and the command."""
    assert runner._unserved({}) == ""
    assert runner._unserved({"gpu": 30.0}) == "no worker takes from queue 'gpu'"
    with pytest.raises(
        NotRunningError, match=r"(?s)No worker takes from queue 'high_memory'.*120 s.*worker-high-memory"
    ) as raised:
        runner._unserved({"gpu": 30.0, "high_memory": 120.0})
    assert "./lab status" in str(raised.value)
    with pytest.raises(NotRunningError, match="queue 'GPU'"):
        runner._unserved({"GPU": 500.0})
    assert raised.value.code == 3
