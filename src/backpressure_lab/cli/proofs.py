"""``./lab prove``: every scenario of each lesson, compared with the manifest."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import session
from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_MEASURED, LabError
from backpressure_lab.files import write_text
from backpressure_lab.lessons import junit as junit_report
from backpressure_lab.lessons import prover
from backpressure_lab.lessons.result import AS_EXPECTED, Result
from backpressure_lab.manifest import Item
from backpressure_lab.stack import lab
from backpressure_lab.stack.layout import Layout


def prove(references: list[str], *, everything: bool, json_file: Path | None, junit: Path | None) -> int:
    """Run every scenario of the items and show verdict by verdict, then the total."""
    layout, course = Layout.of(), manifest.load()
    items = _chosen(course, references, everything=everything)
    to_stdout = json_file == Path("-")
    console = Console(stderr=to_stdout)
    results: list[Result] = []
    with session.airflow(layout, quiet=to_stdout) as api:
        for result in prover.prove(api, items, alive=lambda: lab.is_up(layout)):
            results.append(result)
            result.keep(layout)
            _tell(console, result)
    document = json.dumps([result.as_json() for result in results], indent=1)
    if to_stdout:
        print(document)
    elif json_file:
        write_text(json_file, document + "\n")
    if junit:
        write_text(junit, junit_report.document(results))
    good = sum(result.verdict == AS_EXPECTED for result in results)
    held = sum(finding.holds is True for result in results for finding in result.evidence.findings)
    console.print(f"\n{good} of {len(results)} scenarios as expected; {held} findings held.", highlight=False)
    return _code(results)


def _chosen(course: manifest.Course, references: list[str], *, everything: bool) -> list[Item]:
    if everything:
        return [item for item in course.items if item.written]
    if not references:
        raise LabError("Say what to prove: ./lab prove 106.2.1, or ./lab prove --all")
    items = [course.item(reference) for reference in references]
    for item in items:
        if not item.written:
            raise LabError(f"{item.id} {item.title} is not written yet.\nSee what is: ./lab list")
    return items


def _tell(console: Console, result: Result) -> None:
    mark, style = ("✓", "green") if result.verdict == AS_EXPECTED else ("✗", "red")
    words = f"{result.item.id:<18} {result.scenario:<14} {result.verdict:<16} {result.seconds:5.1f} s"
    console.print(Text(f"{mark} ", style=style).append(words, style="default"), highlight=False)
    for reason in result.reasons:
        console.print(Text(f"    {reason}", style="red"))


def _code(results: list[Result]) -> int:
    codes = {result.code for result in results}
    return next((code for code in (NOT_AS_EXPECTED, NOT_MEASURED) if code in codes), 0)
