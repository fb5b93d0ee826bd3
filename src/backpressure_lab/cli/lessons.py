"""``./lab list`` and ``./lab run``."""

from __future__ import annotations

import json
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import broken, session
from backpressure_lab.errors import LabError
from backpressure_lab.exercises.predictions import Predictions
from backpressure_lab.exercises.progress import Progress
from backpressure_lab.lessons import runner
from backpressure_lab.lessons.result import AS_EXPECTED, Result, kept
from backpressure_lab.manifest import Item
from backpressure_lab.stack import lab
from backpressure_lab.stack.layout import Layout


def list_items(*, as_json: bool) -> int:
    """The lessons, which of their scenarios were run here, and with what verdict."""
    layout, course = Layout.of(), manifest.load()
    if as_json:
        items = [item.as_json() | {"results": kept(layout, item)} for item in course.items]
        progress = Progress(layout.work)
        exercises = [exercise.as_json(progress[exercise.id].status) for exercise in course.exercises]
        print(json.dumps({"items": items, "exercises": exercises}, indent=1))
        return 0
    console = Console()
    for section in course.sections:
        items_here = [item for item in course.items if item.section == section.id]
        table = Table(
            box=None, show_header=False, padding=(0, 1), title=f"{section.id}  {section.title}", title_justify="left"
        )
        for item in items_here:
            table.add_row(item.id, escape(item.title), _progress(layout, item))
        if items_here:
            console.print(table)
    _exercises(console, layout, course)
    written = sum(item.written for item in course.items)
    console.print("\n○ not run here  ● as expected  ✗ not as expected", style="dim", highlight=False)
    console.print(f"{written} of {len(course.items)} lessons are written.  ./lab run ITEM runs one.", highlight=False)
    _broken_files(console, layout)
    return 0


def _exercises(console: Console, layout: Layout, course: manifest.Course) -> None:
    progress = Progress(layout.work)
    table = Table(box=None, show_header=False, padding=(0, 1), title="Exercises", title_justify="left")
    for exercise in course.exercises:
        status = progress[exercise.id].status
        mark, style = {"passed": ("●", "green"), "started": ("◐", "")}.get(status, ("○", "dim"))
        table.add_row(exercise.id, escape(exercise.title), Text(f"{mark} {status}", style=style))
    if course.exercises:
        console.print(table)


def _progress(layout: Layout, item: Item) -> Text:
    if not item.written:
        return Text("not written yet", style="dim")
    verdicts = kept(layout, item)
    line = Text()
    for scenario in item.scenarios:
        known = verdicts.get(scenario)
        mark, style = {None: ("○", "dim"), AS_EXPECTED: ("●", "green")}.get(known, ("✗", "red"))
        line.append(f"{mark} {scenario}  ", style=style)
    return line


def _broken_files(console: Console, layout: Layout) -> None:
    """DAG files that Airflow cannot load, when there is an Airflow to ask."""
    running = lab.current(layout)
    if running is None or running.phase != "ready":
        return
    with session.airflow(layout, quiet=True) as api:
        broken.show(console, api.pages("/importErrors", "import_errors"))


def choose(item: Item, scenario: str | None) -> str:
    """The scenario asked for, or the item's default one.

    Raises:
        LabError: the item has no such scenario, or is not written.
    """
    if not item.written or item.default_scenario is None:
        raise LabError(f"{item.id} {item.title} is not written yet.\nSee what is: ./lab list")
    if scenario is None:
        return item.default_scenario
    if scenario not in item.scenarios:
        from difflib import get_close_matches

        near = get_close_matches(scenario, item.scenarios, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise LabError(f"{item.id} has no scenario {scenario!r}.\n{hint}It has: {', '.join(item.scenarios)}")
    return scenario


def run(reference: str, *, scenario: str | None, as_json: bool, url: str | None = None) -> int:
    """Run one lesson and show its picture, its findings and its verdict."""
    layout, item = Layout.of(), manifest.load().item(reference)
    chosen = choose(item, scenario)
    console = Console(stderr=as_json)
    if url is not None and item.local:
        raise LabError(
            f"{item.id} needs {item.local}, which another deployment has not.\nRun it here: ./lab run {item.id}"
        )
    with session.opened(layout, url, quiet=as_json) as airflow:
        result = _run_showing(console, airflow, item, chosen, quiet=as_json)
    result.keep(layout)
    if as_json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        show(console, result)
    return result.code


def _run_showing(console: Console, airflow: session.Session, item: Item, scenario: str, *, quiet: bool) -> Result:
    if quiet or not console.is_terminal:
        if not quiet:
            console.print(f"{item.id} {item.title}: running scenario {scenario}", highlight=False)
        return runner.run(airflow.api, item, scenario, alive=airflow.alive)
    with console.status(f"{item.id} {scenario}") as line:

        def progress(phase: str, states: Counter[str]) -> None:
            counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            line.update(f"{item.id} {scenario}: {phase}  {counts}")

        return runner.run(airflow.api, item, scenario, progress, airflow.alive)


def show(console: Console, result: Result) -> None:
    """The picture of the run, its findings, the verdict, and what to try next."""
    from backpressure_lab.render import run_view

    console.print(run_view(result, console))
    for reason in result.reasons:
        console.print(Text(f"  {reason}", style="red"))
    signs = {finding.bullet: finding.holds for finding in result.evidence}
    predictions = Predictions(Layout.of().work)
    if said := predictions.reveal(f"{result.item.id} {result.scenario}", result.records, signs):
        console.print(said)
    others = [name for name in result.item.scenarios if name != result.scenario]
    if others:
        console.print(f"  compare: ./lab run {result.item.id} --scenario {others[0]}", style="dim", highlight=False)
