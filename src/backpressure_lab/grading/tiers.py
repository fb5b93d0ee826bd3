"""Both tiers of a check, for a submission that nobody has read: its code runs in cells, ours in Airflow."""

from __future__ import annotations

import atexit
import functools
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backpressure_lab.errors import LabError
from backpressure_lab.exercises import live, seen, static
from backpressure_lab.exercises.catalog import Files
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.staging import Lab, Play
from backpressure_lab.grading import description
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.description import DescriptionError, Shape
from backpressure_lab.grading.grade import Grade, wrong
from backpressure_lab.sandbox.cell import CPU_SECONDS
from backpressure_lab.sandbox.channel import LateError
from backpressure_lab.sandbox.warden import Cell, EndedError, Nursery, OrderError

_RETRYING = ("retries", "retry_delay")
_REFUSALS = ("empty_file", "syntax_error")
_TRUST = "Read it, and grade it with --trusted if it does no harm."


@dataclass(frozen=True)
class Described:
    """What the static tier found of a submission that can run.

    Attributes:
        facts: its settings.
        shape: the rest of it; None where it is trusted, and runs as it is.
        own: the tasks whose code is its own.
    """

    facts: Facts
    shape: Shape | None = None
    own: tuple[str, ...] = ()


def first(submission: Submission, path: Path, *, trusted: bool) -> tuple[Described | None, Grade]:
    """The static tier of the submission, whose text is in ``path``; a grade that is final unless it is described."""
    started = time.monotonic()
    shapes: list[Shape] = []

    def tell(copy: Path) -> dict[str, Any]:
        told = _told(copy)
        shapes.extend(description.shape(one) for one in told["shapes"])
        return told

    facts, messages = static.check(path, submission.exercise.dag_id, None if trusted else tell)
    if facts is not None and not messages:
        messages = submission.exercise.read(facts)
    described = None
    if facts is not None and not messages:
        described = Described(facts) if trusted else _held(submission.exercise, facts, shapes[0], messages)
    grade = wrong(submission, "static", messages, time.monotonic() - started)
    return (described if grade.verdict == "pass" else None), grade


def _held(exercise: Files, facts: Facts, shape: Shape, messages: list[Message]) -> Described | None:
    starter = starter_shape(exercise)
    strange = list(shape.strange(starter))
    if strange:
        more = f", and {len(strange) - 1} things more" if len(strange) > 1 else ""
        text = f"the file changes what the sandbox has no part of: {strange[0]}{more}"
        messages.append(Message("needs_trust", text, _TRUST))
        return None
    return Described(facts, shape, shape.own(starter))


@functools.cache
def starter_shape(exercise: Files) -> Shape:
    """The shape of the author's file."""
    told = _told(exercise.starter)
    return description.shape(told["shapes"][0])


_starting = threading.Lock()


def nursery() -> Nursery:
    """The process whose children describe submissions."""
    with _starting:
        return _nursery()


@functools.cache
def _nursery() -> Nursery:
    made = Nursery("airflow.sdk", "backpressure_lab.exercises.static", "backpressure_lab.grading.shape")
    atexit.register(made.close)
    return made


def _told(path: Path) -> dict[str, Any]:
    """What the file says of itself, from a cell.

    Raises:
        static.RefusedError: it does not load, or says what is no description.
    """
    try:
        order = {"name": path.name, "source": path.read_text(encoding="utf-8")}
        with Cell("backpressure_lab.grading.inside:describe", order, static.SECONDS, nursery()) as cell:
            said = cell.receive()
    except OrderError as error:
        text = f"{path.name} is more than the sandbox takes: {error}, in which a control character has six"
        raise static.RefusedError("needs_trust", text, _TRUST) from None
    except LateError:
        raise static.late(path, static.SECONDS) from None
    except EndedError as error:
        raise static.late(path, CPU_SECONDS) if error.out_of_time else static.ended(path, str(error)) from None
    if isinstance(said.get("refused"), dict):
        raise static.RefusedError(*_refusal(said["refused"]))
    try:
        return static.loaded(path, description.checked(said.get("done") or {}))
    except DescriptionError as error:
        raise static.RefusedError("not_gradable", f"{path.name}: {error}") from None


def _refusal(said: Mapping[str, Any]) -> tuple[str, str]:
    code = said.get("code")
    return (code if code in _REFUSALS else "does_not_load"), str(said.get("text"))[:300]


def second(submission: Submission, found: Described, lab: Lab, source: random.Random) -> Grade:
    """The live tier.

    Raises:
        NotRunningError: the lab went away, or did not load the check.
    """
    started = time.monotonic()
    exercise = submission.exercise
    if submission.text is None:
        raise LabError(f"{submission.name} was not read.")
    play = Play(submission.text) if found.shape is None else _play(submission, submission.text, found, found.shape)
    happened = live.watch(lab, play, found.facts, exercise.draw(source, found.facts))
    messages = (*exercise.judge(happened), *seen.general(happened))
    grade = wrong(submission, "live", messages, time.monotonic() - started)
    return Grade(submission, grade.verdict, "live", grade.messages, figures(happened), grade.seconds)


def _play(submission: Submission, text: str, found: Described, shape: Shape) -> Play:
    """The author's DAG with the submission's settings; its text is for the cells of tasks that are its own."""
    dag = found.facts.dag
    tasks = {
        task.task_id: {
            **{name: value for name, value in asdict(task).items() if name != "task_id"},
            **{name: getattr(shape.tasks[task.task_id], name) for name in _RETRYING},
        }
        for task in dag.tasks
    }
    told = {
        "starter": str(submission.exercise.starter),
        "name": "submission.py",
        "text": text if found.own else "",
        "dag": {"max_active_runs": dag.max_active_runs, "max_active_tasks": dag.max_active_tasks},
        "tasks": tasks,
        "own": list(found.own),
        # Of what Airflow hands to a task, a cell gets what the author's file names, whatever the submission's does.
        "names": {name: list(task.names) for name, task in starter_shape(submission.exercise).tasks.items()},
    }
    return Play(text, "backpressure_lab.grading.staged", told)


def figures(happened: seen.Seen) -> dict[str, float]:
    """What every exercise's runs can be described by: requests, refusals and the most at once, for each upstream."""
    found: dict[str, float] = {}
    for lane, log in sorted(happened.logs.items()):
        found[f"{lane}: requests"] = len(log)
        found[f"{lane}: refused"] = len(log.select(status=429))
        found[f"{lane}: most at once"] = float(log.inflight().peak().value) if len(log) else 0.0
    found["task instances"] = len(happened.records)
    return found
