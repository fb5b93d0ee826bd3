"""The folders of exercises: all parts are there, and no starter is a solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure_lab.exercises.catalog import HINTS, Files
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure_lab.manifest import Course

FEWEST_WRONG = 4
_PARTS = ("README.md", "starter.py", "solution.py", "check.py", "hints.md")


def check(course: Course) -> Iterator[Problem]:
    """Every part that an exercise lacks, and folders that the manifest does not name."""
    known = {exercise.folder for exercise in course.exercises}
    for folder in sorted((course.root / "exercises").glob("*/")):
        name = folder.relative_to(course.root).as_posix()
        if name not in known and any(folder.glob("*.*")):
            yield Problem(name, 1, "no exercise of course.toml has this folder; add one, or remove the folder")
    for exercise in course.exercises:
        yield from _exercise(exercise.folder, Files(exercise, course.root / exercise.folder))


def _exercise(name: str, files: Files) -> Iterator[Problem]:
    missing = [part for part in _PARTS if not (files.folder / part).is_file()]
    for part in missing:
        yield Problem(f"{name}/{part}", 1, "the file is missing; write it, or take it from another exercise")
    if missing:
        return
    hints = [hint for hint in files.hints if hint]
    if len(hints) != HINTS:
        message = f"there are {len(hints)} hints with a text, each below a heading ##; an exercise has {HINTS}"
        yield Problem(f"{name}/hints.md", 1, message)
    if len(files.wrong) < FEWEST_WRONG:
        message = f"there are {len(files.wrong)} wrong answers; {FEWEST_WRONG} at least show what the check can tell"
        yield Problem(f"{name}/wrong", 1, message)
    texts = {path.read_text(encoding="utf-8"): path.name for path in files.right}
    if files.starter.read_text(encoding="utf-8") in texts:
        yield Problem(f"{name}/starter.py", 1, "it is the solution; leave something to do")
    if "# TODO" not in files.starter.read_text(encoding="utf-8"):
        yield Problem(f"{name}/starter.py", 1, "no line with # TODO says what is to be done; add one")
