"""``./lab predict``."""

from __future__ import annotations

import sys

import typer

from backpressure_lab import manifest
from backpressure_lab.cli.lessons import choose
from backpressure_lab.errors import LabError
from backpressure_lab.exercises.predictions import Prediction, Predictions
from backpressure_lab.stack.layout import Layout


def predict(ref: str, *, scenario: str | None, numbers: tuple[int | None, int | None], order: str | None) -> int:
    """Ask what will happen in the next run of a lesson or check of an exercise, and keep the answer."""
    course, (peak, waiting) = manifest.load(), numbers
    exercise = next((one for one in course.exercises if ref == one.id), None)
    if exercise and scenario:
        raise LabError(f"{ref} is an exercise; it has no scenarios.\nLeave --scenario out.")
    item = None if exercise else course.item(ref)
    what, run = (exercise.id, f"check {exercise.id}") if exercise else ("", "")
    if item is not None:
        chosen = choose(item, scenario)
        what, run = f"{item.id} {chosen}", f"run {item.id} --scenario {chosen}"
    holds: dict[str, bool] = {}
    if (peak, waiting, order) == (None, None, None):
        if not sys.stdin.isatty():
            raise LabError("Say what will happen: --peak N, --waiting N, --order TASK,TASK; or ask in a terminal.")
        print(f"{what}: what will happen? Press Enter where you don't know.")
        peak, waiting = _number("How many tasks run at once, at most?"), _number("How many wait until another ends?")
        order = _asked("Which tasks start first? Names, with commas between them")
        for bullet in item.checklist if item else ():
            if (said := _asked(f"Does this hold: {bullet}? y or n")).lower() in ("y", "yes", "n", "no"):
                holds[bullet] = said.lower().startswith("y")
    names = tuple(name.strip() for name in (order or "").split(",") if name.strip())
    Predictions(Layout.of().work).say(what, Prediction(peak, waiting, names, holds))
    print(f"Kept. See what happens: ./lab {run}")
    return 0


def _asked(question: str) -> str:
    return str(typer.prompt(question, default="", show_default=False))


def _number(question: str) -> int | None:
    while said := _asked(question).strip():
        if said.isdigit():
            return int(said)
        print(f"{said!r} is no number; press Enter where you don't know.")
    return None
