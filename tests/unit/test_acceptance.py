"""The acceptance checks, each tried on a lesson made up to break it: a check that never fails proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow.replay import replay
from backpressure.airflow.run import Run
from backpressure.airflow.tape import Entry, Tape
from backpressure.findings import Evidence, Finding, finding
from backpressure.measures import count, peak
from backpressure.measures.samples import most, reading

from backpressure_lab import manifest
from backpressure_lab.lessons import acceptance, result
from backpressure_lab.lessons.acceptance import Check, accept, without_work
from backpressure_lab.lessons.result import Kept, Result
from backpressure_lab.manifest import Scenario
from backpressure_lab.stack.layout import Layout

BULLET = "calls are limited"
ITEM = replace(
    manifest.load().item("106.2.1"),
    checklist=(BULLET,),
    scenarios={"limited": Scenario("limited", "success", (BULLET,)), "free": Scenario("free", "success", ())},
)
SLOTS = {"limited": 2, "free": 4}


def record(number: int, at: int, **fields: Any) -> dict[str, Any]:
    """A task instance that runs for a second."""
    stamp = "2026-01-01T00:00:{:02d}Z".format
    stamps = {"scheduled_when": stamp(0), "queued_when": stamp(at), "start_date": stamp(at), "end_date": stamp(at + 1)}
    names = {"task_id": "work", "dag_id": ITEM.dag_id, "dag_run_id": "r", "map_index": number}
    return names | stamps | {"pool": "api", "pool_slots": 1, "state": "success", "priority_weight": 1} | fields


def records(scenario: str) -> list[dict[str, Any]]:
    """Four calls, two or four at a time, and a control task."""
    calls = [record(number, number // SLOTS[scenario]) for number in range(4)]
    return [*calls, record(-1, 0, task_id="probe", pool="lab_control")]


def tape_of(scenario: str) -> Tape:
    """What Airflow said of a run: its task instances, and what two tasks returned."""
    path = f"/dags/{ITEM.dag_id}/dagRuns/r/taskInstances"
    listing = {"task_instances": records(scenario), "total_entries": 5}
    samples = [{"at": 1.0, "occupied": SLOTS[scenario]}]
    entries = [Entry("airflow", ["GET", path, {"params": {"limit": 100, "offset": 0}}], {"told": listing})]
    for task_id, value in (("probe", {"slots": SLOTS[scenario], "samples": samples}), ("work", SLOTS[scenario])):
        question = [
            "GET",
            f"{path}/{task_id}/xcomEntries/return_value",
            {"params": {"deserialize": False, "map_index": -1}},
        ]
        entries.append(Entry("airflow", question, {"told": {"value": value}}))
    return Tape(ITEM.dag_id, "r", {"scenario": scenario}, entries)


Judge = Callable[[Run], Iterator[Finding]]


def kept(judge: Judge, runs: int = 3, **changes: Any) -> dict[str, Kept]:
    """Both scenarios as the lab keeps them."""
    found = {}
    for scenario in ITEM.scenarios:
        findings = replay(judge, tape_of(scenario)).findings
        one = Result(ITEM, scenario, "r", "success", Evidence(scenario, findings), 1.0, records(scenario))
        ran = [{"run_id": "r", "verdict": one.verdict, "holds": {f.bullet: f.holds for f in findings}}] * runs
        data = one.as_json() | {"records": records(scenario), "left": [], "runs": ran} | changes
        found[scenario] = Kept(data, tape_of(scenario))
    return found


def outcome(checks: list[Check], name: str) -> tuple[bool | None, str]:
    """One check's outcome and its details."""
    check = next(check for check in checks if check.name == name)
    return check.passed, "\n".join(check.details)


def honest(run: Run) -> Iterator[Finding]:
    """The peak of the calls against two slots."""
    yield finding(BULLET, "two at a time", peak(run.tasks("work")) == 2)


def by_name(run: Run) -> Iterator[Finding]:
    """A verdict that is the scenario's name and nothing else."""
    yield finding(BULLET, "says so", reading(run.scenario, "scenario", "params") == "limited")


def on_a_word(run: Run) -> Iterator[Finding]:
    """What a control task says, without a look at the work."""
    yield finding(BULLET, "it says two", reading(run.result("probe")["slots"], "slots", "pools") == 2)


def twice_the_same(run: Run) -> Iterator[Finding]:
    """A setting against itself, read over REST both times, and the work beside it."""
    limit = reading(run.result("probe")["slots"], "slots", "pools over REST")
    yield finding(BULLET, "as set", (limit.named("slots read back") == limit) & (peak(run.tasks("work")) == 2))


def refuted_when_idle(run: Run) -> Iterator[Finding]:
    """A count that takes nothing for a refutation."""
    yield finding(BULLET, "four calls", (reading(len(run.tasks("work")), "calls", "t") == 4) & (peak(run.tasks()) == 2))


def test_an_honest_lesson_passes_every_check() -> None:
    """Its finding follows the records, rests on the work, and three runs agree."""
    assert [(check.name, check.passed, check.details) for check in accept(ITEM, kept(honest), honest)] == [
        (name, True, ()) for name in acceptance.CHECKS
    ]


def test_a_verdict_that_only_follows_the_scenarios_name_fails_the_swap() -> None:
    """On the other scenario's records it stays what it was; unless a control in the same run is stated."""
    checks = accept(ITEM, kept(by_name), by_name)
    passed, details = outcome(checks, "swap")
    assert passed is False
    assert "as limited on the records of free: calls are limited: still holds" in details
    assert "as free on the records of limited" in details
    controlled = replace(ITEM, negative_controls={BULLET: "an unlimited sibling"})
    assert outcome(accept(controlled, kept(by_name), by_name), "swap") == (True, "")
    assert list(acceptance.listed([controlled])) == ["106.2.1: calls are limited: an unlimited sibling"]


@pytest.mark.parametrize("judge", [by_name, on_a_word])
def test_what_holds_without_work_is_found_out(judge: Judge) -> None:
    """A word that is there although nobody worked is no measurement."""
    passed, details = outcome(accept(ITEM, kept(judge), judge), "no work")
    assert passed is False
    assert "limited: calls are limited: holds without any work" in details


def test_idleness_is_no_refutation() -> None:
    """Where the finding held, the deleted workload must make it not measured, not false."""
    passed, details = outcome(accept(ITEM, kept(refuted_when_idle), refuted_when_idle), "no work")
    assert passed is False
    assert "limited: calls are limited: does not hold without any work" in details


def test_a_setting_compared_with_itself_is_found_out() -> None:
    """Observed and limit from one reading are equal whatever the lab does."""
    passed, details = outcome(accept(ITEM, kept(twice_the_same), twice_the_same), "sources")
    assert passed is False
    assert "slots read back and its limit slots are both read from pools over REST" in details


@pytest.mark.slow
def test_repeats_must_agree_and_be_three() -> None:
    """Fewer runs of the same file are not enough to tell; a finding that changes is a failure."""
    assert outcome(accept(ITEM, kept(honest, runs=2), honest), "repeats")[0] is None
    wavering = kept(honest)
    wavering["limited"].data["runs"] = [
        {"holds": {BULLET: True}},
        {"holds": {BULLET: False}},
        {"holds": {BULLET: True}},
    ]
    passed, details = outcome(accept(ITEM, wavering, honest), "repeats")
    assert passed is False
    assert "the last 3 runs disagree" in details


def test_what_was_left_changed_is_told() -> None:
    """A run that did not give back by itself has not restored everything."""
    checks = accept(ITEM, kept(honest, left=["pool api was left changed"]), honest)
    assert outcome(checks, "restored") == (
        False,
        "limited: pool api was left changed\nfree: pool api was left changed",
    )


def test_a_wrong_sign_is_told_with_its_reason() -> None:
    """The kept verdict is the first thing that must be right."""
    checks = accept(ITEM, kept(honest, verdict="not as expected", reasons=["the run ended failed"]), honest)
    assert outcome(checks, "sign") == (False, "limited: the run ended failed\nfree: the run ended failed")


def test_a_tape_that_does_not_tell_the_same_story_is_found_out() -> None:
    """What was found live is found again; a judge that was edited since, or asks elsewhere, is not."""
    passed, details = outcome(accept(ITEM, kept(honest), on_a_word), "replay")
    assert passed is True
    assert details == ""
    other = kept(honest)
    other["free"].data["findings"] = other["limited"].data["findings"]
    passed, details = outcome(accept(ITEM, other, honest), "replay")
    assert passed is False
    assert "free: calls are limited" in details


def test_a_lesson_that_was_not_run_is_not_measured() -> None:
    """Without a kept result of each scenario nothing is passed."""
    some = kept(honest)
    del some["free"]
    checks = accept(ITEM, some, honest)
    assert {check.passed for check in checks} == {None}
    assert "free" in checks[0].details[0]


def test_a_result_of_the_file_before_an_edit_is_not_judged() -> None:
    """It counts as missing, and the reason is the edit."""
    some = kept(honest)
    del some["free"]
    checks = accept(ITEM, some, honest, old={"free"})
    assert {check.passed for check in checks} == {None}
    assert checks[0].details == (f"not run since {ITEM.file} was changed: free; ./lab prove 106.2.1 --repeat 3",)


def test_without_work_only_control_tasks_and_what_they_read_once_are_left() -> None:
    """Task instances, XComs of the work and samples go; a figure that a control task read stays."""

    def judge(run: Run) -> Iterator[Finding]:
        yield finding("work", "c", count(run.tasks("work")) == 0)
        yield finding("control", "c", count(run.tasks("probe")) == 1)
        yield finding("returned", "c", reading(run.result("work"), "n", "s") == 0)
        yield finding("read", "c", reading(run.result("probe")["slots"], "n", "s") == 2)
        yield finding("sampled", "c", most(run.result("probe")["samples"], "occupied", "n") == 0)

    idle = replay(judge, without_work(tape_of("limited"), records("limited")))
    assert [one.holds for one in idle.findings] == [None, True, None, True, None]


def test_a_lessons_judge_is_found_in_its_file() -> None:
    """Whatever it is called there, it is what ``@evidence`` decorates."""
    course = manifest.load()
    judge = acceptance.judge_of(course, course.item("106.2.1"))
    assert judge.__name__ == "judge"


def test_a_result_is_kept_with_its_tape_and_its_repeats(tmp_path: Path) -> None:
    """Earlier runs of the same file are remembered; the tape is the last run's."""
    layout = Layout(Layout.of().root, tmp_path)
    lesson = manifest.load().item("106.2.1")
    for run_id in ("one", "two"):
        heard = Tape(lesson.dag_id, run_id, {"scenario": "pooled"})
        Result(lesson, "pooled", run_id, "success", Evidence("pooled", ()), 1.5, heard=heard).keep(layout)
    found = result.load_kept(layout, lesson, "pooled")
    assert found is not None
    assert [run["run_id"] for run in found.data["runs"]] == ["one", "two"]
    assert found.heard is not None
    assert found.heard.run_id == "two"
    path = result.path_of(layout, lesson, "pooled")
    path.write_text(path.read_text(encoding="utf-8").replace(found.data["digest"], "edited"), encoding="utf-8")
    Result(lesson, "pooled", "three", "success", Evidence("pooled", ()), 1.5).keep(layout)
    found = result.load_kept(layout, lesson, "pooled")
    assert found is not None
    assert [run["run_id"] for run in found.data["runs"]] == ["three"]
    assert found.heard is None


def test_a_kept_result_whose_findings_cannot_be_read_counts_as_not_run(tmp_path: Path) -> None:
    """One damaged file is its own scenario's trouble, not that of every lesson that is looked at."""
    layout = Layout(Layout.of().root, tmp_path)
    lesson = manifest.load().item("106.2.1")
    Result(lesson, "pooled", "r", "success", Evidence("pooled", ()), 1.5).keep(layout)
    assert result.load_kept(layout, lesson, "pooled") is not None
    path = result.path_of(layout, lesson, "pooled")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"findings": [{"bullet": "b"}]}))
    assert result.load_kept(layout, lesson, "pooled") is None
