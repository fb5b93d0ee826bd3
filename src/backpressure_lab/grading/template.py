"""How a cohort's files are called: what a path below its folder says of whose it is, and for which exercise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backpressure_lab.errors import LabError
from backpressure_lab.exercises.catalog import Files

TEMPLATE = "{student}/{exercise}.py"
LONGEST_NAME = 80


def pattern(template: str, exercises: Sequence[Files]) -> re.Pattern[str]:
    """What the paths of submissions match, with the groups ``student`` and ``exercise``.

    Raises:
        LabError: the template does not name both, once.
    """
    for part in ("{student}", "{exercise}"):
        if template.count(part) != 1:
            raise LabError(f"The template {template!r} must have {part} once, such as {TEMPLATE}.")
    return _compiled(template, exercises)


def _compiled(template: str, exercises: Sequence[Files]) -> re.Pattern[str]:
    ids = "|".join(re.escape(name) for one in exercises for name in (one.dag_id, one.exercise.id))
    parts = {"{student}": "(?P<student>[^/]+?)", "{exercise}": f"(?P<exercise>{ids})", "{any}": "[^/]*"}
    pieces = re.split(r"(\{student\}|\{exercise\}|\{any\})", template)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))


def called(name: str, exercises: Sequence[Files]) -> Files:
    """The exercise of this id or folder name."""
    return next(one for one in exercises if name in (one.exercise.id, one.dag_id))


@dataclass(frozen=True)
class Closed:
    """A folder that cannot be read.

    Attributes:
        text: says so, and why.
        student: whose files may be in it; None is anybody's.
        dag_id: of the exercise that they may be for; None is any.
    """

    text: str
    student: str | None
    dag_id: str | None

    def may_hold(self, student: str, exercise: Files) -> bool:
        """Whether what this student handed in for this exercise may be there."""
        return self.student in (None, student) and self.dag_id in (None, exercise.dag_id)


def closed(path: str, why: str, template: str, exercises: Sequence[Files]) -> Closed | None:
    """What a folder that cannot be read may hold, by as many steps of the template; None where it is nobody's."""
    steps = template.split("/")[: path.count("/") + 1]
    match = _compiled("/".join(steps), exercises).fullmatch(path)
    if match is None:
        return None
    named = match.groupdict()
    student = named["student"].strip() if "student" in named else None
    if student is not None and not is_name(student):
        return None
    dag_id = called(named["exercise"], exercises).dag_id if "exercise" in named else None
    return Closed(f"{shown(path)} cannot be read: {why}", student, dag_id)


def is_name(name: str) -> bool:
    """Whether it can be a student's: neither empty or endless, nor hidden, nor of characters that cannot be shown."""
    return bool(name.strip()) and len(name) <= LONGEST_NAME and name.isprintable() and not name.startswith(".")


def shown(text: str) -> str:
    """A name of somebody else's as it can be shown: on one line, and not endless."""
    plain = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return plain if len(plain) <= 2 * LONGEST_NAME else plain[: 2 * LONGEST_NAME] + "…"
