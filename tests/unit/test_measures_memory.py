"""Measures of memory, on made-up samples of made-up processes."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.memory import MEGABYTE, Memory, Recycling, together


def sample(at: float, pid: int, megabytes: float, *, metered: bool = True) -> dict[str, Any]:
    """One process at one instant."""
    return {"at": at, "pid": pid, "bytes": megabytes * MEGABYTE, "metered": metered}


def job(pid: int, megabytes: int, *, refused: bool = False, digest: str = "d") -> dict[str, Any]:
    """A job in a process that had ten megabytes before."""
    return {"pid": pid, "base": 10 * MEGABYTE, "megabytes": megabytes, "refused": refused, "digest": digest}


JOBS = {"one": job(1, 100), "two": job(2, 50, refused=True), "three": job(3, 40, digest="e")}
SAMPLES = [
    sample(1.0, 1, 12),
    sample(2.0, 1, 110),
    sample(2.0, 2, 30),
    sample(3.0, 2, 60, metered=False),
    sample(3.0, 9, 500),
]
SEEN = Memory(JOBS, SAMPLES)
NOTHING = Memory({}, [])


def test_a_peak_is_what_a_process_took_beyond_its_base() -> None:
    """The process's own ten megabytes are not the job's; a process that nobody saw has no peak."""
    assert (SEEN.peak("one").value, SEEN.peak("one").at, SEEN.peak("one").unit) == (100, 2.0, "MB")
    assert SEEN.peak("three").value is SEEN.peak("nobody").value is None
    assert SEEN.peak("two", metered=True).value == 20


def test_jobs_are_added_up_instant_by_instant() -> None:
    """At two seconds one and two took 120 together; a process that is no job's does not count."""
    assert (SEEN.together().value, SEEN.together().at) == (120, 2.0)
    assert NOTHING.together().value is None


def test_a_monitor_sees_a_job_that_it_finds_as_large_as_it_is() -> None:
    """The second job was largest where the monitor did not look, and the third was never seen."""
    assert SEEN.seen("one").value == 1
    assert SEEN.seen("one", "two", "three").value == pytest.approx(1 / 3)
    assert NOTHING.seen("one").value is None


def test_refusals_and_results_are_the_jobs_own_words() -> None:
    """Two jobs agree, the third has another checksum; without a job's word there is none to compare."""
    assert SEEN.refused().value == ("two",)
    assert (SEEN.same("one", "two").value, SEEN.same("one", "three").value) == (1, 2)
    assert SEEN.same("one", "nobody").value is NOTHING.refused().value is None


def look(at: float, pids: list[int], megabytes: int) -> dict[str, Any]:
    """The processes of a worker."""
    return {"at": at, "pids": pids, "bytes": megabytes * MEGABYTE}


def test_a_leak_is_gone_with_its_process() -> None:
    """It grew by 150, and two new processes have less than the old ones had."""
    found = Recycling.of([look(1.0, [1, 2], 100), look(2.0, [1, 2], 250), look(3.0, [3, 4], 80)])
    assert (found.grew().value, found.left().value, found.replaced().value) == (150, -20, 1)
    kept = Recycling.of([look(1.0, [1, 2], 100), look(2.0, [1, 2], 250), look(3.0, [1, 4], 250)])
    assert (kept.left().value, kept.replaced().value) == (150, 0.5)


def test_without_three_looks_nothing_is_known() -> None:
    """A run that never leaked has recycled nothing."""
    found = Recycling.of([])
    assert found.grew().value is found.left().value is found.replaced().value is None


def test_what_tasks_say_is_added_up_while_they_have_slots() -> None:
    """From being queued to its end a task counts with what it took; without tasks there is no value."""

    def task(number: int, queued: int, end: int, megabytes: float) -> dict[str, Any]:
        stamps = {
            "queued_when": f"2026-01-01T00:00:{queued:02}Z",
            "start_date": None,
            "end_date": f"2026-01-01T00:00:{end:02}Z",
        }
        return {"task_id": "load", "map_index": number, "result": {"taken": megabytes}} | stamps

    found = together([task(0, 1, 5, 60.5), task(1, 4, 8, 10.25), task(2, 6, 9, 20)], "taken")
    assert (found.value, found.unit) == (70.75, "MB")
    assert together([], "taken").value is None
