"""The check of one value given from outside, with an error that names it and what would be accepted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[str, Any], Any]
"""Takes a field's name and value; returns the value typed, or raises FieldError."""


class FieldError(ValueError):
    """A value that was refused.

    Attributes:
        field: its name.
        value: the value given.
        expected: what would be accepted, with the range.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}={value!r:.200} was refused: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


def number(low: float, high: float, *special: str | None, whole: bool = False, unit: str = "") -> Rule:
    """Make a rule for numbers in a closed range, or one of some special words."""
    kind = "a whole number" if whole else "a number"
    words = ["null" if word is None else f'"{word}"' for word in special]
    expected = " or ".join([f"{kind} from {low:.12g} to {high:.12g}{unit}", *words])

    def check(name: str, value: Any) -> Any:
        if (value is None or isinstance(value, str)) and value in special:
            return value
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        if not usable or (whole and not math.floor(value) == value):
            raise FieldError(name, value, expected)
        return int(value) if whole else float(value)

    return check


def flag(name: str, value: Any) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise FieldError(name, value, "true or false")
    return value


def choice(*words: str) -> Rule:
    """Make a rule for one of some words."""
    expected = " or ".join(f'"{word}"' for word in words)

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise FieldError(name, value, expected)
        return value

    return check


def members(name: str, value: Any, expected: str) -> Mapping[str, Any]:
    """Accept an object (name → value)."""
    if not isinstance(value, Mapping):
        raise FieldError(name, value, expected)
    return value
