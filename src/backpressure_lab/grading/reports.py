"""The gradebook as CSV, as JSON (each grade in exercism's results format, version 3), as JUnit XML and as one page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from backpressure_lab.grading.grade import Grade
from backpressure_lab.grading.gradebook import Gradebook
from backpressure_lab.lessons.html import add, begin
from backpressure_lab.printable import printable

_KINDS = {"pass": "good", "fail": "bad"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(book: Gradebook) -> str:
    """A line for each student and exercise."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["student", "exercise", "verdict", "tier", "code", "message", "file"])
    for grade in book.grades:
        one = grade.submission
        text = grade.messages[0].text if grade.messages else ""
        cells = [one.student, one.exercise.exercise.id, grade.verdict, grade.tier, grade.code, text, one.name]
        writer.writerow([_cell(cell) for cell in cells])
    return stream.getvalue()


def _cell(text: str) -> str:
    """A text that a spreadsheet takes for a text, whoever wrote it."""
    plain = printable(text)
    return f"'{plain}" if plain.startswith(_FORMULA) else plain


def as_json(book: Gradebook) -> dict[str, Any]:
    """Everything."""
    return {
        "seed": book.seed,
        "trusted": book.trusted,
        "total": book.total,
        "grades": [_grade(grade) for grade in book.grades],
        "misconceptions": {
            files.exercise.id: [
                {"code": one.code, "count": len(one.students), "students": list(one.students), "example": one.example}
                for one in book.misconceptions(files)
            ]
            for files in book.exercises
        },
        "left_out": list(book.left_out),
    }


def _grade(grade: Grade) -> dict[str, Any]:
    one = grade.submission
    return {
        "student": one.student,
        "exercise": one.exercise.exercise.id,
        "file": one.name,
        "verdict": grade.verdict,
        "tier": grade.tier,
        "codes": [message.code for message in grade.messages],
        "figures": dict(grade.figures or {}),
        "results": _results(grade),
    }


def _results(grade: Grade) -> dict[str, Any]:
    """What exercism's website reads: https://exercism.org/docs/building/tooling/test-runners/interface, version 3."""
    said = "\n".join(f"{one.text}\n  {one.try_next}" if one.try_next else one.text for one in grade.messages) or None
    if grade.tier == "none" or grade.verdict not in _KINDS:
        return {"version": 3, "status": "error", "message": said, "tests": []}
    loaded = grade.tier == "live"
    tests = [_test("the file", said=None if loaded or grade.verdict == "pass" else said)]
    if loaded:
        tests.append(_test("the run", said=None if grade.verdict == "pass" else said))
    return {"version": 3, "status": grade.verdict, "message": None, "tests": tests}


def _test(name: str, said: str | None) -> dict[str, Any]:
    return {"name": name, "status": "fail" if said else "pass", "message": said, "output": None, "test_code": ""}


def as_junit(book: Gradebook) -> str:
    """A test suite for each student, a test case for each exercise."""
    root = ET.Element("testsuites", name="lab grade")
    for student, grades in book.students.items():
        suite = ET.SubElement(root, "testsuite", name=printable(student), tests=str(len(grades)))
        for exercise, grade in grades.items():
            case = ET.SubElement(suite, "testcase", classname=exercise, name=f"{exercise} {printable(student)}")
            said = printable("; ".join(f"{one.code}: {one.text}" for one in grade.messages))
            if grade.verdict == "not measured":
                ET.SubElement(case, "skipped", message=said)
            elif grade.verdict != "pass":
                ET.SubElement(case, "failure", message=said, type=grade.verdict)
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_html(book: Gradebook) -> str:
    """One page that needs no network; what students wrote is text in it, whatever it looks like."""
    how = "without a sandbox" if book.trusted else "in a sandbox"
    root, body = begin("Grades", f"{book.total}. Work drawn from seed {book.seed}; submissions ran {how}.")
    _overview(body, book)
    for part in (_exercises, _students, _left_out):
        part(body, book)
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _overview(body: ET.Element, book: Gradebook) -> None:
    table = add(body, "table")
    row = add(table, "tr")
    for name in ("Student", *(files.exercise.id for files in book.exercises)):
        add(row, "th", name)
    for number, (student, grades) in enumerate(book.students.items()):
        row = add(table, "tr")
        add(add(row, "td"), "a", printable(student), href=f"#student-{number}")
        for grade in grades.values():
            cell = add(row, "td")
            _verdict(cell, grade)
            add(cell, "span", f" {grade.code}", **{"class": "quiet"})


def _exercises(body: ET.Element, book: Gradebook) -> None:
    for files in book.exercises:
        add(body, "h2", f"{files.exercise.id} {files.exercise.title}")
        grades = book.of_exercise(files)
        passed = sum(grade.verdict == "pass" for grade in grades)
        add(body, "p", f"{passed} of {len(grades)} passed.", **{"class": "quiet"})
        found = book.misconceptions(files)
        if found:
            table = _table(body, "What went wrong first", "How often", "For example")
            for one in found:
                row = add(table, "tr")
                add(row, "td", one.code)
                add(row, "td", str(len(one.students)), **{"class": "number"})
                cell = add(row, "td", printable(one.example))
                add(cell, "p", one.hint, **{"class": "quiet"})


def _students(body: ET.Element, book: Gradebook) -> None:
    for number, (student, grades) in enumerate(book.students.items()):
        add(body, "h2", printable(student), id=f"student-{number}")
        for exercise, grade in grades.items():
            heading = add(body, "h3", f"{exercise} {grade.submission.exercise.exercise.title}: ")
            _verdict(heading, grade)
            add(body, "p", f"{printable(grade.submission.name)}; tier {grade.tier}", **{"class": "quiet"})
            for message in grade.messages:
                add(body, "p", f"{message.code}: {printable(message.text)}")
                if message.try_next:
                    add(body, "p", message.try_next, **{"class": "quiet"})
            if grade.figures:
                table = _table(body, "Measured", "")
                for name, value in grade.figures.items():
                    row = add(table, "tr")
                    add(row, "td", name)
                    add(row, "td", f"{value:g}", **{"class": "number"})


def _left_out(body: ET.Element, book: Gradebook) -> None:
    if book.left_out:
        add(body, "h2", "Files that are nobody's")
        for line in book.left_out:
            add(body, "p", printable(line))


def _table(body: ET.Element, *names: str) -> ET.Element:
    table = add(body, "table")
    row = add(table, "tr")
    for name in names:
        add(row, "th", name)
    return table


def _verdict(parent: ET.Element, grade: Grade) -> None:
    add(parent, "span", grade.verdict, **{"class": f"verdict {_KINDS.get(grade.verdict, 'none')}"})


WRITERS: dict[str, Callable[[Gradebook], str]] = {"csv": as_csv, "junit": as_junit, "html": as_html}
