"""``./lab start``, ``check``, ``hint``, ``next``, ``reset`` and ``solution``."""

from __future__ import annotations

import json
from pathlib import Path

from backpressure.airflow.client import AirflowClient
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import session
from backpressure_lab.exercises import authoring, catalog, verdict, workspace
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.predictions import Predictions
from backpressure_lab.exercises.progress import Progress
from backpressure_lab.exercises.staging import Lab, sweep
from backpressure_lab.files import write_text
from backpressure_lab.render.seen import page
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout


def start(ref: str) -> int:
    """Put the starter into work/, and say what the exercise is about."""
    layout, files, progress = _open(ref)
    target, new = workspace.start(layout.work, files)
    if progress[files.exercise.id].status == "not started":
        progress.change(files.exercise.id, status="started")
    console = Console()
    console.print(Markdown((files.folder / "README.md").read_text(encoding="utf-8")))
    state = "Your file" if new else "Your file is there already"
    console.print(f"\n{state}: {near(target)}\n  check  ./lab check {files.exercise.id}", highlight=False)
    return 0


def check(ref: str, *, file: Path | None, as_json: bool, url: str | None = None) -> int:
    """Check the learner's file, or another, and say what is wrong with it."""
    layout, files, progress = _open(ref)
    path = file or workspace.path(layout.work, files)
    console = Console(stderr=as_json)
    facts, found = verdict.first_tier(files, path)
    if facts is not None and not found.messages:
        with session.opened(layout, url, quiet=as_json) as airflow:
            place = _place(layout, url, airflow.api)
            running = Lab(place, airflow.api, airflow.alive)
            with console.status(f"{files.exercise.id}: your DAG runs on a live scheduler"):
                found = verdict.second_tier(files, path, facts, running)
    if file is None:
        step = progress[files.exercise.id]
        status = "passed" if found.passed or step.status == "passed" else "started"
        progress.change(files.exercise.id, status=status, checks=step.checks + 1)
    if found.seen:
        write_text(workspace.records(layout.work, files), page(found.seen, files.exercise.title))
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        _show(console, files, found, near(workspace.records(layout.work, files)))
        if found.seen and (said := Predictions(layout.work).reveal(files.exercise.id, found.seen.records)):
            console.print(said)
    return found.code


def _place(layout: Layout, url: str | None, api: AirflowClient) -> Place:
    """Where to check; in this checkout's lab without what checks have left that were killed."""
    if url is not None:
        return Place.elsewhere(layout)  # others may check there, whose processes are not on this machine
    place = Place.here(Context.load(layout))
    sweep(place, api)
    return place


def _show(console: Console, files: catalog.Files, found: verdict.Verdict, records: Path) -> None:
    tiers = [("the file", found.tier == "live" or not found.messages), ("the run", found.passed)]
    for name, good in tiers[: 2 if found.tier == "live" else 1]:
        console.print(Text(f"{'✓' if good else '✗'} {name}", style="green" if good else "red"))
    for message in found.messages:
        console.print(Text(f"  {message.text}"))
        if message.try_next:
            console.print(Text(f"    {message.try_next}", style="dim"))
    number = files.exercise.id
    if found.passed:
        again = f"./lab solution {number}"
        console.print(f"\nPassed, {found.seconds:.0f} s.  Compare: {again}   Go on: ./lab next", highlight=False)
    else:
        look = f"  What was seen: {records}" if found.seen else ""
        console.print(f"\nNot yet.{look}  Stuck? ./lab hint {number}", highlight=False)


def hint(ref: str) -> int:
    """Show one hint more."""
    _layout, files, progress = _open(ref)
    step = progress[files.exercise.id]
    shown = min(step.hints + 1, len(files.hints))
    progress.change(files.exercise.id, hints=shown)
    console = Console()
    console.print(f"Hint {shown} of {len(files.hints)}", style="bold", highlight=False)
    console.print(Markdown(files.hints[shown - 1]))
    if step.hints >= len(files.hints):
        console.print(f"That was the last one.  ./lab solution {files.exercise.id}", style="dim", highlight=False)
    return 0


def following() -> int:
    """The first exercise that is not passed, started."""
    layout, course = Layout.of(), manifest.load()
    progress = Progress(layout.work)
    for exercise in course.exercises:
        if progress[exercise.id].status != "passed":
            return start(exercise.id)
    print("All exercises are passed.")
    return 0


def reset(ref: str) -> int:
    """The starter again; the learner's file is kept beside it."""
    layout, files, progress = _open(ref)
    target, kept = workspace.reset(layout.work, files)
    progress.change(files.exercise.id, status="started")
    print(f"{near(target)} is the starter again." + (f" Yours is kept as {near(kept)}" if kept else ""))
    return 0


def solution(ref: str) -> int:
    """Show the solution after a pass, or when it is asked for twice."""
    _layout, files, progress = _open(ref)
    step = progress[files.exercise.id]
    if step.status != "passed" and not step.asked:
        progress.change(files.exercise.id, asked=1)
        number = files.exercise.id
        print(f"You have not passed {number} yet.  Ask once more to see the solution, or try: ./lab hint {number}")
        return 0
    print(files.solution.read_text(encoding="utf-8"), end="")
    return 0


def new(number: str, title: str, like: str) -> int:
    """Begin an exercise as a copy of another."""
    course = manifest.load()
    folder = authoring.new(course, number, title, catalog.find(course, like))
    manifest.load()
    print(
        f"{near(folder)} is a copy of {like} that works, and stands in course.toml.\n"
        f"  change  all of its parts: CONTRIBUTING.md says what each is for\n"
        f"  see     ./lab dev check --fix\n"
        f"  try     ./lab check {number} --file {near(folder)}/solution.py"
    )
    return 0


def _open(ref: str) -> tuple[Layout, catalog.Files, Progress]:
    layout = Layout.of()
    return layout, catalog.find(manifest.load(), ref), Progress(layout.work)


def near(path: Path) -> Path:
    """The path as one would type it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
