"""How far a learner is: a file in ``work/``, written whole, and kept when a newer version of the course reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from backpressure_lab.exercises import learner
from backpressure_lab.files import write_json

FILE = ".progress.json"
_VERSION = 1
Status = Literal["not started", "started", "passed"]


@dataclass(frozen=True)
class Step:
    """How far one exercise is.

    Attributes:
        checks: how often it was checked.
        hints: how many hints were shown.
        asked: how often the solution was asked for before the exercise was passed.
    """

    status: Status = "not started"
    checks: int = 0
    hints: int = 0
    asked: int = 0


class Progress:
    """The learner's progress, by exercise; ``path`` is the file."""

    def __init__(self, work: Path) -> None:
        self.path = work / FILE
        self._steps = self._read()

    def __getitem__(self, exercise: str) -> Step:
        return self._steps.get(exercise, Step())

    def change(self, exercise: str, **fields: object) -> Step:
        """Note something; what is not named stays as it is."""
        self._steps = {**self._steps, exercise: replace(self[exercise], **fields)}  # type: ignore[arg-type]  # names of fields
        steps = {name: asdict(step) for name, step in self._steps.items()}
        write_json(self.path, {"version": _VERSION, "exercises": steps})
        return self[exercise]

    def _read(self) -> Mapping[str, Step]:
        def of(found: dict[str, Any]) -> Mapping[str, Step]:
            return {name: Step(**step) for name, step in found["exercises"].items()}

        return learner.read(self.path, _VERSION, of, {})
