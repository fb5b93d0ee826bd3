"""What a file answers in words, in its constant ``ANSWERS``: what no setting can say, such as why something failed.

Plain data of a bounded size, so that it may come from a file that nobody has read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

MOST, LONGEST = 20, 500
Answer = str | int | list[str]
Answers = Mapping[str, Answer]


def checked(value: Any) -> dict[str, Answer]:
    """The answers, as they are.

    Raises:
        ValueError: they are something else than names with texts, whole numbers and lists of texts, or too many.
    """
    if not isinstance(value, dict) or len(value) > MOST or not all(map(_is_text, value)):
        raise ValueError(f"ANSWERS must be a dict of up to {MOST} names, got {value!r:.100}")
    for name, answer in value.items():
        if not _is_answer(answer):
            what = f"a text of up to {LONGEST} characters, a whole number, or a list of up to {MOST} texts"
            raise ValueError(f"ANSWERS[{name!r:.60}] must be {what}, got {answer!r:.100}")
    return dict(value)


def text(answers: Answers, name: str) -> str:
    """The answer of this name, if it is a text; else an empty one."""
    found = answers.get(name, "")
    return found.strip() if isinstance(found, str) else ""


def texts(answers: Answers, name: str) -> list[str]:
    """The answer of this name, if it is a list; else an empty one."""
    found = answers.get(name, [])
    return [one.strip() for one in found] if isinstance(found, list) else []


def number(answers: Answers, name: str, otherwise: int) -> int:
    """The answer of this name, if it is a number."""
    found = answers.get(name)
    return found if isinstance(found, int) else otherwise


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_answer(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MOST and all(map(_is_text, value))
    return _is_text(value) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53)
