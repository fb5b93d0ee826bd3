"""The author's command that brings the lesson pages' figures and tables in step with the results that the lab kept.

``python -m backpressure_lab.docs.figures [ITEM…]``. A page says what it shows in comments of its own::

    <!-- figure: DAG_ID SCENARIO -->          docs/figures/DAG_ID.SCENARIO.svg is drawn
    <!-- findings: DAG_ID SCENARIO -->        a table is written between this line …
    <!-- /findings -->                        … and this one

A figure may say ``of RUN`` after the scenario, the label of a helper run or the beginning of several, and then has rows
for these alone. What is drawn is the last run of that scenario, as ``./lab run`` or ``./lab prove`` kept it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backpressure.findings import VERSION, Evidence

from backpressure_lab import manifest
from backpressure_lab.errors import LabError
from backpressure_lab.files import write_text
from backpressure_lab.lessons.result import AS_EXPECTED
from backpressure_lab.render import lesson_picture, svg
from backpressure_lab.stack.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backpressure.findings import Finding

    from backpressure_lab.manifest import Course, Item

__all__ = ["Shown", "draw", "findings_table", "load_shown", "main", "rewritten", "wanted"]

_FIGURE = re.compile(r"<!-- figure: (?P<dag_id>\w+) (?P<scenario>\w+)(?: of (?P<run>[\w-]+))? -->")
_FINDINGS = re.compile(
    r"(?P<open><!-- findings: (?P<dag>\w+) (?P<scenario>\w+) -->\n).*?(?P<close><!-- /findings -->)", re.DOTALL
)
_FOLDER = "docs/figures"
_MARGIN = 0.05  # seconds before the first of what is counted, so that it is seen to begin at 0
_HOLDS = {True: "yes", False: "no", None: "not measured"}


@dataclass(frozen=True)
class Shown:
    """A kept result: what the scenario's last run found, and the task instances that it was found on."""

    item: Item
    scenario: str
    evidence: Evidence
    records: Sequence[dict[str, Any]]


def load_shown(course: Course, results: Path, dag_id: str, scenario: str) -> Shown:
    """The kept result of a scenario.

    Raises:
        LabError: there is none, it cannot be read, or the run was not as expected and must not illustrate a lesson.
    """
    item = course.item(dag_id)
    path = results / f"{dag_id}.{scenario}.json"
    again = f"Run it: ./lab run {item.id} --scenario {scenario}"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = {"version": VERSION, "scenario": scenario, "findings": kept["findings"]}
        shown = Shown(item, scenario, Evidence.from_dict(found), kept["records"])
        verdict = kept["verdict"]
    except FileNotFoundError as error:
        raise LabError(f"there is no result of {dag_id}, scenario {scenario}.\n{again}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} cannot be read: {error}.\n{again}") from error
    if verdict != AS_EXPECTED:
        raise LabError(f"the last run of {dag_id}, scenario {scenario}, was {verdict}.\n{again}")
    return shown


def draw(shown: Shown, run: str | None = None) -> str:
    """The run as SVG, over the peak that a finding limits, if one does.

    With ``run``, only those helper runs get rows whose label begins so.

    Raises:
        LabError: there is no such helper run.
    """
    title = f"{shown.item.title}: scenario {shown.scenario}" + (f", {run}" if run else "")
    chosen = [record for record in shown.records if run is None or _label(record).startswith(run)]
    if not chosen:
        labels = ", ".join(sorted({_label(record) for record in shown.records} - {""})) or "none"
        name = f"{shown.item.id}, scenario {shown.scenario}"
        raise LabError(f"{name}: no helper run begins with {run!r}; there are {labels}")
    picture = lesson_picture(chosen, shown.evidence)
    if picture.load is not None and not picture.load.limits:
        picture = replace(picture, load=None)  # how many run at once is drawn where a finding is about it
    elif picture.load is not None:
        # A run is active before its first task is scheduled; the picture is wide enough for all that is counted.
        times = picture.load.curve.times
        begin, finish = min(picture.begin, float(times[0]) - _MARGIN), max(picture.finish, float(times[-1]))
        picture = replace(picture, begin=begin, finish=finish)
    return svg(picture, title=title, zone=UTC)


def findings_table(findings: Sequence[Finding]) -> str:
    """The findings as a Markdown table: bullet, what was measured against which limit, and whether it held."""
    lines = ["| Finding | Measured | Required | Holds |", "|---|---|---|---|"]
    for finding in findings:
        parts = finding.comparison.parts
        measured = "<br>".join(f"{part.measure}: {part.seen}" for part in parts)
        required = "<br>".join(part.limited for part in parts)
        cells = (finding.bullet, measured, required, _HOLDS[finding.holds])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def wanted(text: str) -> list[tuple[str, str, str | None]]:
    """The dag_id, the scenario and the run of each figure that a page shows."""
    return [(match["dag_id"], match["scenario"], match["run"]) for match in _FIGURE.finditer(text)]


def rewritten(text: str, course: Course, results: Path, dag_ids: Sequence[str] = ()) -> str:
    """The page with its tables of findings brought in step; with ``dag_ids``, theirs alone.

    Raises:
        LabError: a table is of a run that was not kept.
    """

    def fresh(match: re.Match[str]) -> str:
        if dag_ids and match["dag"] not in dag_ids:
            return match[0]
        table = findings_table(load_shown(course, results, match["dag"], match["scenario"]).evidence.findings)
        return f"{match['open']}\n{table}\n{match['close']}"

    return _FINDINGS.sub(fresh, text)


def main(arguments: Sequence[str] | None = None, layout: Layout | None = None) -> int:
    """Draw and rewrite what the pages name, and say what could not be done; 1 if there was any of that."""
    parser = argparse.ArgumentParser(prog="python -m backpressure_lab.docs.figures", description=__doc__)
    parser.add_argument("items", nargs="*", metavar="ITEM", help="ids or dag_ids; all when left out")
    layout = layout or Layout.of()
    course = manifest.load(layout.root / "course.toml")
    troubles: list[str] = []
    try:
        dag_ids = [course.item(item).dag_id for item in parser.parse_args(arguments).items]
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        return error.code
    results = layout.home / "results"
    for page in sorted({layout.root / "README.md", *(layout.root / section.page for section in course.sections)}):
        if page.is_file():
            troubles += _refresh(page, course, layout.root, results, dag_ids)
    for trouble in dict.fromkeys(troubles):
        print(f"lab: {trouble}", file=sys.stderr)  # noqa: T201 - a command's message
    return 1 if troubles else 0


def _refresh(page: Path, course: Course, root: Path, results: Path, dag_ids: Sequence[str]) -> Iterator[str]:
    """Bring one page's tables and figures in step; yields what could not be."""
    text = page.read_text(encoding="utf-8")
    for dag_id, scenario, run in wanted(text):
        if not dag_ids or dag_id in dag_ids:
            try:
                picture = draw(load_shown(course, results, dag_id, scenario), run)
                write_text(root / _FOLDER / f"{dag_id}.{scenario}.svg", picture)
            except LabError as error:
                yield str(error)
    named = dict.fromkeys(match["dag"] for match in _FINDINGS.finditer(text))
    for dag_id in named:
        if not dag_ids or dag_id in dag_ids:
            try:
                text = rewritten(text, course, results, [dag_id])
            except LabError as error:
                yield str(error)
    if text != page.read_text(encoding="utf-8"):
        write_text(page, text)


def _label(record: dict[str, Any]) -> str:
    """A helper run's own label; empty for the lesson's run."""
    return str(record["dag_run_id"]).rpartition("__")[2] if "__" in str(record["dag_run_id"]) else ""


if __name__ == "__main__":
    sys.exit(main())
