"""``./lab grade``: a folder of students' files, and a gradebook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import session
from backpressure_lab.errors import NOT_RUNNING, LabError, NotRunningError
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.staging import Lab, sweep
from backpressure_lab.files import check_targets, write_text
from backpressure_lab.grading import cohort, reports
from backpressure_lab.grading.grade import Grade
from backpressure_lab.grading.gradebook import Gradebook
from backpressure_lab.grading.grader import AT_ONCE, Grader
from backpressure_lab.grading.store import Store
from backpressure_lab.grading.template import TEMPLATE
from backpressure_lab.sandbox import warden
from backpressure_lab.stack import lab
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

# An API server that was started again answers within this time.
_PATIENCE = 45.0
_MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red")}


@dataclass(frozen=True)
class Asked:
    """What of the folder is graded, and how."""

    exercises: tuple[str, ...] = ()
    template: str = TEMPLATE
    students: Path | None = None
    at_once: int = AT_ONCE
    seed: int | None = None
    trusted: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Outputs:
    """Where the gradebook is written; ``json`` may be ``-``, which is standard output."""

    csv: Path | None = None
    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None

    @property
    def to_stdout(self) -> bool:
        """Whether standard output holds the JSON and nothing else."""
        return self.json == Path("-")


def grade(folder: Path, asked: Asked, outputs: Outputs) -> int:
    """Grade what the folder holds, tell it as it comes, and write the gradebook, also when the lab goes down."""
    check_targets(vars(outputs))
    layout, course = Layout.of(), manifest.load()
    wanted = dict.fromkeys(asked.exercises or [exercise.id for exercise in course.exercises])
    exercises = list(dict.fromkeys(catalog.find(course, name) for name in wanted))
    found = cohort.gather(folder, exercises, asked.template, asked.students)
    why = None if asked.trusted else warden.missing()
    if why:
        raise LabError(f"{why}\nSubmissions run with your rights only if you say that you have read them: --trusted")
    store = Store(layout.home / "grading", folder, seed=asked.seed, trusted=asked.trusted)
    console = Console(stderr=outputs.to_stdout)
    done: list[Grade] = []
    trouble: NotRunningError | None = None
    with store.locked():
        if asked.fresh:
            store.forget()
        grader = Grader(store, _Door(layout), at_once=asked.at_once, trusted=asked.trusted)
        try:
            for one in grader.grades(found.submissions):
                done.append(one)
                _tell(console, one, len(done), len(found.submissions))
        except NotRunningError as error:
            trouble = error
    rest = {(one.student, one.exercise.dag_id) for one in found.submissions}
    rest -= {(one.submission.student, one.submission.exercise.dag_id) for one in done}
    done += [Grade(one, "not measured") for one in found.submissions if (one.student, one.exercise.dag_id) in rest]
    book = Gradebook.of(exercises, done, found.left_out, store.seed, trusted=asked.trusted)
    _write(book, outputs)
    _sum_up(console, book)
    if trouble is not None:
        words = f"lab: {trouble}\n{len(rest)} are not graded yet; what is graded is kept, and the same command goes on."
        console.print(Text(words, style="red"))
        return NOT_RUNNING
    return book.code


class _Door:
    """The way into the lab, which is started when somebody first comes, and not once more when it is gone."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._first = threading.Lock()
        self._started = False

    @contextmanager
    def __call__(self) -> Iterator[Lab]:
        """A client of one's own."""
        with self._first:
            if not self._started:
                with session.airflow(self._layout, quiet=True) as api:
                    sweep(Place.here(Context.load(self._layout)), api)
                    self._started = True
        with session.reach(self._layout, _PATIENCE) as api:
            yield Lab(Place.here(Context.load(self._layout)), api, lambda: lab.is_staying(self._layout))


def _tell(console: Console, one: Grade, number: int, of: int) -> None:
    mark, style = _MARKS.get(one.verdict, ("○", "yellow"))
    who = f"{one.submission.student:<20} {one.submission.exercise.exercise.id:<7}"
    how = "kept" if one.kept else f"{one.seconds:4.1f} s"
    words = f"{number:>3}/{of} {who} {one.verdict} {one.code}  {how}"
    console.print(Text(f"{mark} ", style=style).append(words, style="default"), soft_wrap=True)


def _sum_up(console: Console, book: Gradebook) -> None:
    for line in book.left_out:
        console.print(Text(f"left out: {line}", style="yellow"), soft_wrap=True)
    for files in book.exercises:
        grades = book.of_exercise(files)
        passed = sum(one.verdict == "pass" for one in grades)
        console.print(f"\n{files.exercise.id} {files.exercise.title}: {passed} of {len(grades)}", highlight=False)
        for found in book.misconceptions(files):
            console.print(Text(f"  {len(found.students):>3} × {found.code}"))
    console.print(f"\n{book.total}.", highlight=False)


def _write(book: Gradebook, outputs: Outputs) -> None:
    if outputs.json:
        document = json.dumps(reports.as_json(book), indent=1)
        if outputs.to_stdout:
            print(document)
        else:
            write_text(outputs.json, document + "\n")
    for name, writer in reports.WRITERS.items():
        path: Path | None = getattr(outputs, name)
        if path is not None:
            write_text(path, writer(book))
