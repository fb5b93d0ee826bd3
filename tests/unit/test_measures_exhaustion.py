"""Measures of a role whose connections run out, on made-up readings."""

from __future__ import annotations

import math

from backpressure.measures.exhaustion import Exhaustion
from backpressure.timeline import Timeline

WORK = Timeline.from_arrays(start=[12.0], end=[15.0], task_id="query")
SEEN = Exhaustion(
    used=[{"sessions": 12, "sqlstate": "53300", "at": 5.0}],
    stalls=[
        {"stall": "lock", "seconds": 0.5, "ended": "LockNotAvailable", "at": 7.0},
        {"stall": "statement", "seconds": 2.0, "ended": "", "at": 9.0},
    ],
    samples=[{"at": 4.0, "total": 12}, {"at": 11.0, "total": 3}, {"at": 13.0, "total": 9}],
    since=10.0,
    alarms=[4.5, 13.0],
)
NOTHING = Exhaustion([], [], [], 10.0, [])


def test_the_rehearsal_says_what_a_refusal_looks_like() -> None:
    """As many as the server counted when it refused, and its own code for that."""
    assert (SEEN.granted().value, SEEN.refusal().value, SEEN.refusal().at) == (12, "53300", 5.0)
    assert NOTHING.granted().value is NOTHING.refusal().value is None


def test_only_samples_since_the_work_began_are_the_works() -> None:
    """The rehearsal reaches the limit on purpose, and must not count."""
    assert (SEEN.highest().value, SEEN.highest().at) == (9, 13.0)
    assert NOTHING.highest().value is None


def test_a_stall_that_nobody_gave_up_is_told_apart() -> None:
    """One of two ended in an error; the other took as long as what stalled it."""
    assert (SEEN.longest_stall().value, SEEN.longest_stall().unit, SEEN.gave_up().value) == (2.0, "s", 0.5)
    assert NOTHING.longest_stall().value is NOTHING.gave_up().value is None


def test_a_warning_is_early_or_late() -> None:
    """The first alarm counts; one after the refusal has a negative lead."""
    assert SEEN.warning().value == 0.5
    late = Exhaustion(SEEN.used, [], [], 10.0, [6.0])
    assert late.warning().value == -1.0
    assert Exhaustion(SEEN.used, [], [], 10.0, []).warning().value is None


def test_alarms_of_the_rehearsal_are_not_alarms_of_the_work() -> None:
    """Without work nobody can say that it was quiet."""
    assert (SEEN.alarms_in(WORK).value, SEEN.alarms_in(WORK).at) == (1, 13.0)
    assert Exhaustion([], [], [], math.inf, [4.0]).alarms_in(WORK).value == 0
    assert SEEN.alarms_in(Timeline.from_arrays()).value is None
