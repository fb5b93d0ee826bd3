"""All grades of a cohort: who has what, and what a class got wrong how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_MEASURED
from backpressure_lab.exercises.catalog import Files
from backpressure_lab.grading.grade import Grade, Verdict

_VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "not gradable", "missing", "not measured")


@dataclass(frozen=True)
class Misconception:
    """A first message, how many students got it, and what the first of them was told."""

    code: str
    students: tuple[str, ...]
    example: str
    hint: str


@dataclass(frozen=True)
class Gradebook:
    """The grades, by student and exercise.

    Attributes:
        left_out: files that belong to nobody, and why.
        seed: what the work was drawn from.
        trusted: whether submissions ran without a sandbox.
    """

    exercises: tuple[Files, ...]
    grades: tuple[Grade, ...]
    left_out: tuple[str, ...]
    seed: int
    trusted: bool

    @classmethod
    def of(
        cls, exercises: Sequence[Files], grades: Sequence[Grade], left_out: Sequence[str], seed: int, *, trusted: bool
    ) -> Gradebook:
        """In an order that does not depend on which grade came first."""
        order = [files.dag_id for files in exercises]
        ordered = sorted(grades, key=lambda one: (one.submission.student, order.index(one.submission.exercise.dag_id)))
        return cls(tuple(exercises), tuple(ordered), tuple(left_out), seed, trusted)

    @cached_property
    def students(self) -> Mapping[str, Mapping[str, Grade]]:
        """Student → exercise's id → grade."""
        found: dict[str, dict[str, Grade]] = {}
        for grade in self.grades:
            found.setdefault(grade.submission.student, {})[grade.submission.exercise.exercise.id] = grade
        return found

    def of_exercise(self, files: Files) -> list[Grade]:
        """The grades of one exercise."""
        return [grade for grade in self.grades if grade.submission.exercise.dag_id == files.dag_id]

    def misconceptions(self, files: Files) -> list[Misconception]:
        """What went wrong first, the most frequent first."""
        wrong = [grade for grade in self.of_exercise(files) if grade.verdict == "fail"]
        counted = Counter(grade.code for grade in wrong)
        found = []
        for code, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0])):
            these = [grade for grade in wrong if grade.code == code]
            first = these[0].messages[0]
            found.append(
                Misconception(code, tuple(one.submission.student for one in these), first.text, first.try_next)
            )
        return found

    @property
    def code(self) -> int:
        """The command's exit code: 0 when everybody has passed everything."""
        verdicts = {grade.verdict for grade in self.grades}
        if verdicts & {"fail", "missing", "not gradable"}:
            return NOT_AS_EXPECTED
        return NOT_MEASURED if "not measured" in verdicts else 0

    @property
    def total(self) -> str:
        """All of it in a sentence."""
        counted = Counter(grade.verdict for grade in self.grades)
        parts = [f"{counted[verdict]} {verdict}" for verdict in _VERDICTS if counted[verdict]]
        return f"{_count(self.students, 'student')}, {_count(self.exercises, 'exercise')}: {', '.join(parts)}"


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")
