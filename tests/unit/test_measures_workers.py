"""Who ran what, by the processes that task instances descend from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.measures.workers import (
    at_home,
    processes_used,
    queues_used,
    ran_under,
    smallest_share,
    unserved,
    workers_at_work,
)

WORKERS = {
    "a@lab": {"pid": 10, "queues": ["fast", "shared"]},
    "b@lab": {"pid": 20, "queues": ["slow", "shared"]},
}


def record(queue: str, main: int, process: int = 11, second: int = 0, map_index: int = -1) -> dict[str, Any]:
    """A task instance that ran in a process below a worker's main process."""
    start = f"2026-11-25T12:00:{second:02d}Z"
    return {"task_id": "t", "map_index": map_index, "queue": queue, "start_date": start, "result": [process, main, 1]}


def test_the_worker_is_found_among_the_ancestors() -> None:
    """However deep below its main process a task ran; a task of LocalExecutor is under none of them."""
    assert ran_under(record("fast", 20), WORKERS) == "b@lab"
    assert ran_under(record("fast", 99), WORKERS) is None


def test_a_task_under_another_queues_worker_is_a_stray() -> None:
    """Both a worker that does not serve the queue and no worker at all count as strays, and one is named."""
    work = [record("fast", 10), record("slow", 20), record("slow", 10, map_index=3), record("fast", 99)]
    found = at_home(work, WORKERS, "tasks")
    assert found.value == 0.5
    assert found.detail == "t[3] ran under a@lab"


def test_shares_count_workers_that_did_nothing() -> None:
    """One of two workers that ran nothing has a share of 0, and is not at work."""
    alone = [record("shared", 10)] * 4
    assert smallest_share(alone, WORKERS, "tasks").value == 0
    assert workers_at_work(alone, WORKERS, "tasks").value == 1
    assert workers_at_work(alone, WORKERS, "tasks").detail == "a@lab ran 4, b@lab ran none"
    both = [*alone, record("shared", 20)]
    assert smallest_share(both, WORKERS, "tasks").value == 0.2
    assert workers_at_work(both, WORKERS, "tasks").value == 2


def test_queues_are_those_of_the_work_and_of_the_workers() -> None:
    """How many the work was in, and how many of some nobody serves."""
    assert queues_used([record("fast", 10), record("slow", 20), record("fast", 10)], "work").value == 2
    found = unserved(["fast", "gpu", "slow"], WORKERS)
    assert (found.value, found.detail) == (1, "nobody serves gpu")


@pytest.mark.parametrize(
    "measure",
    [
        at_home([], WORKERS, "tasks"),
        workers_at_work([record("fast", 99)], WORKERS, "tasks"),
        smallest_share([], WORKERS, "tasks"),
        queues_used([], "tasks"),
        unserved(["fast"], {"a@lab": {"pid": 1, "queues": []}}),
    ],
    ids=lambda measure: measure.name,
)
def test_nothing_is_measured_on_nothing(measure: Any) -> None:
    """Without work, or without a worker that serves anything, there is no value."""
    assert measure.value is None


def test_a_share_may_be_that_of_a_time() -> None:
    """Only what started between two instants counts, the first included and the second not."""
    work = [record("shared", 10, second=second) for second in (0, 5)] + [record("shared", 20, second=5)]
    at = datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC).timestamp()
    assert smallest_share(work, WORKERS, "later tasks", since=at).value == 0.5
    assert smallest_share(work, WORKERS, "earlier tasks", until=at).value == 0


def test_processes_in_use_are_those_of_the_busiest_worker() -> None:
    """From its first task to its last; what others did is told beside it."""
    workers = {"a@lab": {"processes": [11, 12]}, "b@lab": {"processes": [21]}}
    active = [(0, 0), (2, 0), (1, 1), (0, 0)]
    samples = [{"a@lab": a, "b@lab": b, "at": float(at)} for at, (a, b) in enumerate(active)]
    found = processes_used(samples, workers)
    assert (found.value, found.at) == (0.75, 2.0)
    assert found.detail == "a@lab had 0.75 at a time, b@lab had 0.25 at a time"
    assert processes_used(samples[:1], workers).value is processes_used([], workers).value is None
