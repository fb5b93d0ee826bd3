"""The files of an exercise, and its author's check."""

from __future__ import annotations

import importlib.util
import inspect
import random
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from backpressure_lab.errors import LabError
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Judge, Load
from backpressure_lab.manifest import Course, Exercise

HINTS = 3


@dataclass(frozen=True)
class Files:
    """Where an exercise's parts lie: README.md, starter.py, solution.py, check.py, hints.md and wrong/."""

    exercise: Exercise
    folder: Path

    @property
    def dag_id(self) -> str:
        """What the exercise's DAG is called: the folder's name."""
        return self.folder.name

    @property
    def starter(self) -> Path:
        """What the learner begins with."""
        return self.folder / "starter.py"

    @property
    def solution(self) -> Path:
        """One right answer."""
        return self.folder / "solution.py"

    @property
    def wrong(self) -> tuple[Path, ...]:
        """Typical wrong answers; each file's name is the code of the message that it must get first."""
        return tuple(sorted((self.folder / "wrong").glob("*.py")))

    @property
    def right(self) -> tuple[Path, ...]:
        """All right answers that are kept: the solution, and others in right/."""
        return (self.solution, *sorted((self.folder / "right").glob("*.py")))

    @cached_property
    def hints(self) -> tuple[str, ...]:
        """From gentle to nearly there: the sections of hints.md."""
        text = (self.folder / "hints.md").read_text(encoding="utf-8")
        return tuple(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])

    @cached_property
    def _check(self) -> ModuleType:
        path = self.folder / "check.py"
        spec = importlib.util.spec_from_file_location(f"check_{self.dag_id}", path)
        if spec is None or spec.loader is None:
            raise LabError(f"{path} cannot be loaded.\nRestore it from the repository.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look for the module of a class
        spec.loader.exec_module(module)
        return module

    def draw(self, source: random.Random, facts: Facts) -> Load:
        """What the runs of a check are given to do; ``draw`` of check.py may ask for the file's facts, too."""
        drawing = self._check.draw
        given = (source, facts)
        load: Load = drawing(*given[: len(inspect.signature(drawing).parameters)])
        return load

    def read(self, facts: Facts) -> list[Message]:
        """What is wrong with the file before it runs; only a check.py with a function ``read`` has something to say."""
        reading = getattr(self._check, "read", None)
        return list(reading(facts)) if reading else []

    @property
    def judge(self) -> Judge:
        """What is wrong with what was seen."""
        judging: Judge = self._check.judge
        return judging


def find(course: Course, ref: str) -> Files:
    """The exercise with this id or folder name.

    Raises:
        LabError: there is none.
    """
    for exercise in course.exercises:
        files = Files(exercise, course.root / exercise.folder)
        if ref in (exercise.id, files.dag_id):
            return files
    there = ", ".join(exercise.id for exercise in course.exercises) or "none"
    raise LabError(f"No exercise is called {ref!r}; there are {there}.\nSee them with: ./lab list")
