"""Cases are told without their truth, and a desk's log is judged by it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from backpressure.request_log import COLUMNS, RequestLog

from backpressure_lab.exercises import cases
from backpressure_lab.exercises.cases import Case
from backpressure_lab.exercises.facts import DagFacts, Facts
from backpressure_lab.exercises.seen import Seen

CASES = (Case({"rows": [1]}, "good", "plain", "all is well"), Case({"rows": [2]}, "bad", "trap", "all is lost"))
FACTS = Facts(DagFacts("x", 1, 1, ()), ())


def seen(*reports: tuple[str, str]) -> Seen:
    """A check whose desk got these reports: truth or name of a case, and what was said of it."""
    load = cases.load(random.Random(7), CASES)  # noqa: S311 - made-up work
    numbers = {case.truth: number for number, case in load.sealed.items()}
    rows = [(f"case {numbers.get(case, case)}", path) for case, path in reports]
    columns: dict[str, list[Any]] = {name: [0] * len(rows) for name in COLUMNS}
    columns |= {"request_id": [name for name, _ in rows], "path": [path for _, path in rows]}
    return Seen(FACTS, load, [], [], {cases.DESK: RequestLog(columns, now=1.0)}, 1.0)


def test_a_run_is_told_the_records_and_not_the_truth() -> None:
    """In any order, under numbers that nobody knows beforehand."""
    load = cases.load(random.Random(7), CASES)  # noqa: S311 - made-up work
    told = load.conf["cases"]
    assert sorted(one["rows"][0] for one in told) == [1, 2]
    assert all(one.keys() == {"case", "rows"} for one in told)
    assert {one["case"] for one in told} == set(load.sealed)


@pytest.mark.parametrize(
    ("reports", "codes"),
    [
        ([("good", "good"), ("bad", "bad")], []),
        ([("good", "good"), ("bad", "good")], ["trap"]),
        ([("good", "bad"), ("bad", "good")], ["plain", "trap"]),
        ([("good", "good")], ["not_reported"]),
        ([], ["not_reported"]),
        ([("good", "good"), ("good", "bad"), ("bad", "bad")], ["reported_twice"]),
        ([("good", "good"), ("bad", "bad"), ("1", "bad")], []),
    ],
)
def test_each_case_is_reported_once_and_right(reports: list[tuple[str, str]], codes: list[str]) -> None:
    """What is said of a case that is none counts for nothing."""
    assert [message.code for message in cases.judge(seen(*reports))] == codes
