"""The gradebook, in each of its forms: everybody is in it, and no text of a student's is anything but text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.messages import Message
from backpressure_lab.grading import reports
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.grade import Grade
from backpressure_lab.grading.gradebook import Gradebook

COURSE = manifest.load()
EXERCISES = [catalog.find(COURSE, name) for name in ("14.1", "14.2")]
SCRIPT = "<script>alert(1)</script>"


def grade(student: str, number: int, code: str = "", text: str = "seen", **fields: object) -> Grade:
    """A grade: a pass, unless there is a code."""
    messages = (Message(code, text, "Look again."),) if code else ()
    verdict = fields.pop("verdict", "fail" if code else "pass")
    given = {"tier": "live", "messages": messages, "figures": {"warehouse: requests": 20.0}, **fields}
    return Grade(Submission(student, EXERCISES[number], f"{student}/x.py"), verdict, **given)  # type: ignore[arg-type]  # made up of names


def book(grades: Sequence[Grade], left_out: Sequence[str] = ()) -> Gradebook:
    """All of it."""
    return Gradebook.of(EXERCISES, grades, left_out, 7, trusted=False)


CLASS = (
    grade("cleo", 1, "inherited"),
    grade("ben", 0, "too_light", "peak 6"),
    grade("ada", 0),
    grade("cleo", 0, "too_light", "peak 5"),
    grade("ada", 1),
    grade("ben", 1, "missing", "nothing was handed in", verdict="missing", tier="none", figures=None),
)


def test_the_order_of_grades_does_not_matter() -> None:
    """The reports of a class are the same to the last letter, whoever was first."""
    one, other = book(CLASS), book(tuple(reversed(CLASS)))
    for writer in (*reports.WRITERS.values(), lambda found: json.dumps(reports.as_json(found))):
        assert writer(one) == writer(other)


def test_misconceptions_are_counted_by_their_first_message() -> None:
    """The most frequent first, with who and an example; who handed in nothing has none."""
    first, second = EXERCISES
    (found,) = book(CLASS).misconceptions(first)
    assert (found.code, found.students, found.example) == ("too_light", ("ben", "cleo"), "peak 6")
    assert [one.code for one in book(CLASS).misconceptions(second)] == ["inherited"]


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["pass", "pass"], 0),
        (["pass", "fail"], 1),
        (["pass", "missing"], 1),
        (["pass", "not gradable"], 1),
        (["pass", "not measured"], 4),
        (["fail", "not measured"], 1),
    ],
)
def test_exit_codes_are_the_contracts(verdicts: list[str], code: int) -> None:
    """0 as expected, 1 not as expected, 4 not measured."""
    assert book([grade("ada", number, verdict=verdict) for number, verdict in enumerate(verdicts)]).code == code


def test_csv_has_a_line_for_each_and_no_formula() -> None:
    """A spreadsheet takes a name or a message for text."""
    lines = list(csv.reader(io.StringIO(reports.as_csv(book((*CLASS, grade("=cmd()", 0, "x", "@SUM(A1)\nb")))))))
    assert lines[0][:5] == ["student", "exercise", "verdict", "tier", "code"]
    assert [line[0] for line in lines[1:]] == ["'=cmd()", "ada", "ada", "ben", "ben", "cleo", "cleo"]
    assert lines[1][5].startswith("'@SUM")


def test_json_holds_exercisms_results() -> None:
    """Version 3: pass, fail or error, with tests, or a message in their place."""
    found = reports.as_json(book(CLASS))
    results = {(one["student"], one["exercise"]): one["results"] for one in found["grades"]}
    assert {one["version"] for one in results.values()} == {3}
    assert results["ada", "14.1"]["status"] == "pass"
    assert [test["status"] for test in results["ben", "14.1"]["tests"]] == ["pass", "fail"]
    assert "peak 6" in results["ben", "14.1"]["tests"][1]["message"]
    assert (results["ben", "14.2"]["status"], results["ben", "14.2"]["tests"]) == ("error", [])
    assert "nothing was handed in" in results["ben", "14.2"]["message"]
    assert found["misconceptions"]["14.1"][0]["count"] == 2
    assert found["total"] == "3 students, 2 exercises: 2 pass, 3 fail, 1 missing"


def test_junit_counts_what_failed() -> None:
    """A suite for each student, a case for each exercise."""
    root = ET.fromstring(reports.as_junit(book((*CLASS, grade("dan", 0, "not_measured", verdict="not measured")))))  # noqa: S314 - our own text
    suites = {suite.get("name"): suite for suite in root}
    assert (suites["ben"].get("tests"), suites["ben"].get("failures")) == ("2", "2")
    assert (suites["ada"].get("failures"), suites["dan"].get("skipped")) == ("0", "1")


def test_html_shows_what_students_wrote_as_text() -> None:
    """Names, messages and file names, none of which becomes a part of the page."""
    nasty = grade(SCRIPT, 0, "x", f"{SCRIPT}\x00\x1b[31m")
    page = reports.as_html(book((*CLASS, nasty), [f"{SCRIPT}: nobody's"]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert "\x00" not in page
    assert "\x1b" not in page
    for part in ("too_light", "peak 6", "warehouse: requests", "1 of 4 passed", "seed 7"):
        assert part in page
