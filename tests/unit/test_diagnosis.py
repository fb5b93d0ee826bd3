"""Where time is lost and since when, and what a diagnosis is worth against what was sealed; on made-up records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.diagnosis import Diagnosis, lost, onset, profile, report, verdicts
from backpressure.measures.diagnoses import bracketed, isolated, joined, named_in, placed
from backpressure.timeline import Timeline

WHERE = {"pool": "slot", "partner": "partner"}
SEALED = [
    {"case": "a", "fault": "partner", "at": 9.0},
    {"case": "b", "fault": "pool", "at": 9.0},
    {"case": "c", "fault": "none", "at": 9.0},
]
FOUND = [
    Diagnosis("a", "partner", "partner", 4.0, 5.0, 10.6),
    Diagnosis("b", "pool", "slot", 9.0, 5.0, 9.1),
    Diagnosis("c", "none", "slot", 0.2, 5.0, None),
]
ROWS = [one.to_dict() for one in FOUND]


def record(run: str, *stamps: float | None) -> dict[str, Any]:
    """A task instance with its four stamps, those that it has."""
    names = ("scheduled_when", "queued_when", "start_date", "end_date")
    shown = [None if one is None else datetime.fromtimestamp(one, UTC).isoformat() for one in stamps]
    return {"dag_run_id": run} | dict(zip(names, shown, strict=True))


def test_a_profile_says_where_the_seconds_of_a_task_are() -> None:
    """What no phase names is the task's own; what hits one task of two does not count."""
    logs = {run: [{"phase": "partner", "began": at, "seconds": 2.0}] for run, at in (("one", 2.0), ("two", 4.0))}
    one, two = record("one", 0, 1, 1.5, 5), record("two", 0, 3, 3.5, 9)
    assert profile([one], logs, now=9) == pytest.approx({"slot": 1.0, "worker": 1.0, "task": 1.0, "partner": 2.0})
    assert profile([one, two], logs, now=9) == profile([one], logs, now=9)


def test_what_waits_or_runs_has_done_so_until_now() -> None:
    """One that is not ready yet counts for nothing."""
    assert profile([record("one", 0, None, None, None)], {}, now=9) == {"slot": 9, "worker": 0, "task": 0}
    assert profile([record("one", 0, 1, 2, None)], {}, now=9) == {"slot": 1, "worker": 1, "task": 7}
    assert profile([record("one", None, None, None, None)], {}, now=9) == {}


def test_what_all_cases_lose_alike_is_no_cases_own() -> None:
    """A machine that is slow for all makes nobody ill; nor does a worker that is slow for some."""
    usual = {case: {"slot": 1.0, "worker": 0.5, "partner": 0.5} for case in "abc"}
    now = {case: {"slot": 4.0, "worker": 9.0, "partner": 0.5} for case in "bc"} | {"a": {"slot": 4.0, "partner": 5.0}}
    assert lost(usual, now) == {
        "a": {"slot": 0, "partner": 4.5},
        "b": {"slot": 0, "partner": 0},
        "c": {"slot": 0, "partner": 0},
    }


def test_an_onset_is_the_beginning_of_the_first_slow_step() -> None:
    """Of that component, and only if it is slow enough."""
    steps = [{"phase": "code", "began": began, "seconds": seconds} for began, seconds in ((1, 0.1), (7, 4), (5, 4))]
    assert onset(steps, "code", usual=0.1, worth=1.5) == 5
    assert onset(steps, "database", usual=0.1, worth=1.5) is onset(steps, "code", 3.0, 1.5) is None


def test_a_report_can_be_read_back() -> None:
    """By people and by programs."""
    assert verdicts(report(FOUND)) == {"a": "partner", "b": "pool", "c": "none"}
    assert "| a | partner | partner | 4.0 s | 0.0 to 5.6 s |" in report(FOUND)
    assert verdicts("nothing") == {}


def test_a_right_diagnosis_holds_in_every_respect() -> None:
    """Place, time and name."""
    assert (
        placed(SEALED, ROWS, WHERE, 1.5).value == bracketed(SEALED, ROWS).value == named_in(SEALED, report(FOUND)).value
    )
    assert placed(SEALED, ROWS, WHERE, 1.5).value == 1


def test_a_wrong_diagnosis_says_what_is_wrong() -> None:
    """A fault in the dark, a false alarm, and a sign from before the fault."""
    dark = [Diagnosis("a", "task", "task", 4.0, 5.0, None), FOUND[1], Diagnosis("c", "task", "task", 2.0, 5.0, 8.0)]
    rows = [one.to_dict() for one in dark]
    assert placed(SEALED, rows, WHERE, 1.5).value == pytest.approx(1 / 3)
    assert placed(SEALED, rows, WHERE, 1.5).detail == (
        "a (partner) loses most in task: 4 s; c (none) loses most in task: 2 s"
    )
    assert (bracketed(SEALED, rows).value, bracketed(SEALED, rows).detail) == (0.5, "a (partner): no sign found")
    assert named_in(SEALED, report(dark)).detail == "a: task instead of partner; c: task instead of none"
    early = [FOUND[0], Diagnosis("b", "pool", "slot", 9.0, 5.0, 7.0)]
    assert bracketed(SEALED, [one.to_dict() for one in early]).detail == "b (pool): -4 s to -2 s after it"


def test_requests_are_joined_by_their_ids() -> None:
    """Those without one are not; without any request there is no value."""
    assert joined(["x", "y", ""], ["x", "y", "z"]).value == pytest.approx(2 / 3)
    assert joined([], ["x"]).value is None


def test_a_suspect_is_isolated_if_only_the_way_round_it_is_quick() -> None:
    """A case in which nothing could be gone round counts as not isolated."""
    work = Timeline.from_arrays(scheduled=[0, 0], end=[1, 6], run_id=["x", "y"], task_id=["order", "order"])
    tried = [{"run": "x", "case": "a", "round": True}, {"run": "y", "case": "a", "round": False}]
    found = isolated(SEALED, tried, work, 1.5)
    assert (found.value, found.detail) == (0.5, "b (pool): nothing to go round")
    swapped = [one | {"round": not one["round"]} for one in tried]
    assert isolated(SEALED, swapped, work, 1.5).value == 0


def test_a_fault_that_passes_is_not_compared() -> None:
    """What may be over when somebody goes round it speaks neither for nor against the others."""
    work = Timeline.from_arrays(scheduled=[0, 0], end=[1, 6], run_id=["x", "y"], task_id=["order", "order"])
    tried = [{"run": "x", "case": "a", "round": True}, {"run": "y", "case": "a", "round": False}]
    found = isolated(SEALED, tried, work, 1.5, passing=["pool"])
    assert (found.value, found.detail) == (1, "a (partner): 1 s, 6 s")
    assert isolated(SEALED, tried, work, 1.5, passing=["partner"]).value == 0
    assert isolated(SEALED, tried, work, 1.5, passing=["pool", "partner"]).value is None


def test_nothing_is_measured_of_no_cases() -> None:
    """Nothing was sealed, so nothing can be right."""
    work = Timeline.from_arrays(scheduled=[], end=[])
    values = (placed([], [], WHERE, 1), bracketed([], []), isolated([], [], work, 1), named_in([], ""))
    assert [one.value for one in values] == [None] * 4
