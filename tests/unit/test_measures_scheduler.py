"""What keeps a scheduler from its work, on made-up hand-overs, locks, statements and files."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.scheduler import lock_holder, longest_parse, slowest_statement, stall, stalled
from backpressure.timeline import Timeline


def jobs(*stamps: tuple[float, float]) -> Timeline:
    """Jobs that were ready, and handed over, at these instants."""
    return Timeline.from_arrays(scheduled=[ready for ready, _ in stamps], queued=[queued for _, queued in stamps])


def test_a_stall_is_the_longest_wait_without_a_hand_over() -> None:
    """It counts from when work waits, or from the last hand-over, whichever is later."""
    assert stalled(jobs((1, 1.1), (2, 2.1), (3, 8), (4, 8))) == (3, 8)
    assert stall(jobs((1, 5), (2, 6), (2, 9)), "jobs").value == 4
    assert stall(jobs((1, 1.25), (20, 20.5)), "jobs").value == pytest.approx(0.5)


def test_without_hand_overs_there_is_no_stall() -> None:
    """Nothing is measured of no work."""
    assert stalled(jobs()) is stall(jobs(), "jobs").value is None


def test_the_holder_of_a_lock_is_who_is_seen_with_it_most_often() -> None:
    """A scheduler has it for moments only; nobody is 0, and no look at all is no value."""
    samples = [{"pid": pid, "at": float(at)} for at, pid in enumerate((0, 7, 3, 7, 7))]
    assert (lock_holder(samples).value, lock_holder(samples).at) == (7, 1.0)
    assert lock_holder(samples[:1]).value == 0
    assert lock_holder([]).value is None


def test_the_slowest_statement_is_told_by_any_of_its_figures() -> None:
    """A log without slow statements says 0 if there was work, and nothing if there was none."""
    quick: dict[str, Any] = {"seconds": 0.3, "pid": 4, "role": "a", "database": "b", "text": "SELECT 1", "at": 1.0}
    slow = quick | {"seconds": 5.0, "pid": 9}
    work = jobs((1, 2))
    assert slowest_statement([quick, slow], "pid", "its process", work).value == 9
    assert slowest_statement([], "seconds", "longest", work).value == 0
    assert slowest_statement([], "seconds", "longest", jobs()).value is None


def test_a_slow_file_is_slower_than_any_other() -> None:
    """One file alone has nothing to be compared with."""
    files = [{"name": name, "seconds": seconds} for name, seconds in (("a", 0.2), ("b", 0.25), ("c", 2.0))]
    assert longest_parse(files, "c").value == 8
    assert longest_parse(files, "c").detail == "it took 2 s, b 0.25 s"
    assert longest_parse(files, "b").value == 0.125
    assert longest_parse(files[:1], "a").value is longest_parse(files, "d").value is None
