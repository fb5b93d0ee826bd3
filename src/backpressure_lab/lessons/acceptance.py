"""What makes a lesson's proof honest, checked on the results that the lab keeps, without a running lab.

Each lesson's judge is run again on what it was told (:mod:`backpressure.airflow.tape`): on its own scenario's tape, on
the other scenarios', and on one from which the workload was deleted.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backpressure.airflow.replay import Judgement, nothing, replay
from backpressure.airflow.run import CONTROL_POOL, Run
from backpressure.airflow.tape import Entry, Tape
from backpressure.findings import Finding, told
from backpressure.measures import Part

from backpressure_lab.lessons.result import AS_EXPECTED, Kept
from backpressure_lab.manifest import Course, Item

REPEATS = 3
CHECKS = ("sign", "replay", "swap", "sources", "no work", "repeats", "restored")
Judge = Callable[[Run], Iterable[Finding]]
_SETTINGS = ("REST", "configuration")
_XCOM = re.compile(r"/taskInstances/([^/]+)/xcomEntries/")


@dataclass(frozen=True)
class Check:
    """One check of one lesson: whether it passed, None when there is nothing to check it on; and the details."""

    item: str
    name: str
    passed: bool | None
    details: tuple[str, ...] = ()


def judge_of(course: Course, item: Item) -> Judge:
    """The function that the lesson's ``@evidence`` decorates; Airflow must be importable and configured.

    Raises:
        LookupError: the file has none.
    """
    path = course.root / item.file
    spec = importlib.util.spec_from_file_location(f"judged_{item.dag_id}", path)
    if spec is None or spec.loader is None:
        raise LookupError(f"{item.file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for value in vars(module).values():
        judge: Judge | None = getattr(value, "judge", None)
        if callable(judge):
            return judge
    raise LookupError(f"{item.file} has no function under @evidence")


def accept(item: Item, kept: Mapping[str, Kept], judge: Judge, old: Collection[str] = ()) -> list[Check]:
    """Every check of a lesson, on the kept result of each of its scenarios.

    Args:
        item: the lesson.
        kept: by scenario, results of the lesson's file as it is.
        judge: of that file.
        old: the scenarios whose results are of the file as it was before an edit, and tell nothing of it now.
    """
    missing = [scenario for scenario in item.scenarios if scenario not in kept]
    if missing:
        reasons = {
            f"not run since {item.file} was changed": [scenario for scenario in missing if scenario in old],
            "not run since the lab keeps what a judge was told": [one for one in missing if one not in old],
        }
        told_why = tuple(
            f"{why}: {', '.join(which)}; ./lab prove {item.id} --repeat {REPEATS}"
            for why, which in reasons.items()
            if which
        )
        return [Check(item.id, name, None, told_why) for name in CHECKS]
    found = (
        _signs(item, kept),
        _same_again(item, kept, judge),
        _swapped(item, kept, judge),
        _sources(kept),
        _without_work(item, kept, judge),
    )
    checks = [Check(item.id, name, not details, tuple(details)) for name, details in zip(CHECKS, found, strict=False)]
    return [*checks, _repeats(item, kept), Check(item.id, CHECKS[6], not (left := _left(kept)), tuple(left))]


def _signs(item: Item, kept: Mapping[str, Kept]) -> list[str]:
    """Each bullet has its finding in each scenario, and which hold is what the manifest says."""
    return [
        f"{scenario}: {reason}"
        for scenario in item.scenarios
        if kept[scenario].data["verdict"] != AS_EXPECTED
        for reason in kept[scenario].data["reasons"] or [kept[scenario].data["verdict"]]
    ]


def _same_again(item: Item, kept: Mapping[str, Kept], judge: Judge) -> list[str]:
    """On its own tape the judge finds what it found live; else the checks that follow would mean nothing."""
    wrong = []
    for scenario in item.scenarios:
        again = replay(judge, _tape(kept[scenario]))
        if again.trouble:
            wrong.append(f"{scenario}: the judge broke: {again.trouble}")
        live = {one.bullet: one for one in kept[scenario].evidence}
        wrong += [
            f"{scenario}: {one.bullet}: {told(one)}, but live {told(live[one.bullet])}"
            for one in again.findings
            if one.bullet in live and (one.holds, one.observed) != (live[one.bullet].holds, live[one.bullet].observed)
        ]
    return wrong


def _swapped(item: Item, kept: Mapping[str, Kept], judge: Judge) -> list[str]:
    """As one scenario on the records of another: a finding that the manifest wants otherwise there must not stay."""
    wrong = []
    for one, other in itertools.permutations(item.scenarios, 2):
        swapped = replay(judge, _tape(kept[other]), scenario=one, beside=_tape(kept[one]))
        for bullet in item.checklist:
            here, there = (bullet in item.scenarios[name].holds for name in (one, other))
            if here != there and _stays(kept[one], swapped, bullet) and bullet not in item.negative_controls:
                word = "holds" if here else "does not hold"
                wrong.append(f"as {one} on the records of {other}: {bullet}: still {word}; {_said(swapped, bullet)}")
    return wrong


def _stays(live: Kept, swapped: Judgement, bullet: str) -> bool:
    """Whether every part of a finding keeps its verdict; one that a setting refutes may yet follow the records."""
    before, after = (
        next((one for one in findings if one.bullet == bullet), None) for findings in (live.evidence, swapped.findings)
    )
    if before is None or after is None or after.holds is None:
        return False
    return [part.holds for part in before.comparison.parts] == [part.holds for part in after.comparison.parts]


def _sources(kept: Mapping[str, Kept]) -> list[str]:
    """What is observed and what it is compared with are not the same reading."""
    return list(
        dict.fromkeys(
            f"{finding.bullet}: {part.measure} and its limit {part.limit_name} are both read from {part.source}"
            for one in kept.values()
            for finding in one.evidence
            for part in finding.comparison.parts
            if _same_source(part)
        )
    )


def _same_source(part: Part) -> bool:
    """A measure against itself, or one setting against the same setting; two selections of records are two sources."""
    if not part.limit_source or part.limit_source != part.source:
        return False
    return part.measure == part.limit_name or any(word in part.source for word in _SETTINGS)


def _without_work(item: Item, kept: Mapping[str, Kept], judge: Judge) -> list[str]:
    """With the workload deleted nothing holds, and what held is not measured instead of refuted."""
    wrong = []
    for scenario, expected in item.scenarios.items():
        one = kept[scenario]
        idle = replay(judge, without_work(_tape(one), one.data["records"]))
        for finding in idle.findings:
            if finding.holds or (finding.holds is False and finding.bullet in expected.holds):
                word = "holds" if finding.holds else "does not hold"
                wrong.append(f"{scenario}: {finding.bullet}: {word} without any work: {told(finding)}")
    return wrong


def without_work(heard: Tape, records: Iterable[Mapping[str, Any]]) -> Tape:
    """The tape of a run in which nobody did anything: only its control tasks ran, and what they sampled is empty.

    Args:
        heard: the tape of the run.
        records: its task instances, helper runs included.
    """
    idle = {
        record["task_id"] for record in records if record["pool"] != CONTROL_POOL or record["dag_id"] != heard.dag_id
    }

    def change(entry: Entry) -> Any:
        if entry.witness != "airflow" or "told" not in entry.answer:
            return _silenced(entry)
        path, told_then = str(entry.question[1]), entry.answer["told"]
        if path.endswith("/dagRuns"):
            return nothing("airflow", entry.question)
        if path.endswith("/taskInstances"):
            left = [one for one in told_then["task_instances"] if one["task_id"] not in idle]
            return {"told": {"task_instances": left, "total_entries": len(left)}}
        if match := _XCOM.search(path):
            idly = {"refused": [404, "no work"]}
            return idly if match[1] in idle else {"told": {**told_then, "value": _without_lists(told_then["value"])}}
        return entry.answer

    return heard.altered(change)


def _silenced(entry: Entry) -> Any:
    """What the upstream or the receiver would say of a run without work."""
    if entry.witness == "metrics" and "series" in entry.answer:
        return {"series": [{**one, "at": [], "value": []} for one in entry.answer["series"]]}
    if entry.witness == "upstream" and entry.question[1][:1] in (["log"], ["notify"]):
        return {**entry.answer, **nothing("upstream", entry.question)}
    return entry.answer


def _without_lists(value: Any) -> Any:
    """A task's return value without what it sampled; figures that it read once stay."""
    if isinstance(value, list):
        return []
    return {key: _without_lists(one) for key, one in value.items()} if isinstance(value, dict) else value


def _repeats(item: Item, kept: Mapping[str, Kept]) -> Check:
    """The last three runs of each scenario, of the file as it is, agree on every finding."""
    wrong, few = [], []
    for scenario in item.scenarios:
        runs = kept[scenario].data["runs"][-REPEATS:]
        if len(runs) < REPEATS:
            few.append(
                f"{scenario}: {len(runs)} of {REPEATS} runs of this file; ./lab prove {item.id} --repeat {REPEATS}"
            )
        for bullet in item.checklist:
            seen = {run["holds"].get(bullet) for run in runs}
            if len(seen) > 1:
                wrong.append(f"{scenario}: {bullet}: the last {len(runs)} runs disagree")
    return Check(item.id, "repeats", False if wrong else None if few else True, (*wrong, *few))


def _left(kept: Mapping[str, Kept]) -> list[str]:
    return [f"{scenario}: {change}" for scenario, one in kept.items() for change in one.data["left"]]


def _said(judgement: Judgement, bullet: str) -> str:
    return next((told(one) for one in judgement.findings if one.bullet == bullet), judgement.trouble)


def _tape(one: Kept) -> Tape:
    if one.heard is None:
        raise LookupError("no tape was kept")
    return one.heard


def listed(items: Iterable[Item]) -> Iterator[str]:
    """The findings that may keep their verdict on another scenario's records, and why."""
    for item in items:
        for bullet, reason in item.negative_controls.items():
            yield f"{item.id}: {bullet}: {reason}"
