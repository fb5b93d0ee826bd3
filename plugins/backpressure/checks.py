"""Checks of arguments: each raises ValueError that names the argument, its range and its value."""

import math

__all__ = ["check_count", "check_name", "check_number", "check_seconds", "check_share"]

SHORTEST = 0.001
"""Seconds; a shorter time is within the noise of any clock shared over a network."""
LONGEST = 366 * 86400.0
"""Seconds; a longer time is a mistake."""
LONGEST_NAME = 255
"""Bytes of a name in UTF-8."""


def check_number(name: str, value: object, least: float, most: float, unit: str = "") -> None:
    """Raise unless the value is a number from `least` to `most`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:  # type: ignore[operator]
        raise ValueError(f"{name} must be a number from {least:.10g} to {most:.10g}{unit}, not {value!r}")


def check_seconds(name: str, value: object) -> None:
    """Raise unless the value is a time in seconds from a millisecond to a year."""
    check_number(name, value, SHORTEST, LONGEST, " s")


def check_share(name: str, value: object) -> None:
    """Raise unless the value is a share above 0 and up to 1."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 < value <= 1:  # type: ignore[operator]
        raise ValueError(f"{name} must be a share above 0 and up to 1, not {value!r}")


def check_count(name: str, value: object, most: int) -> None:
    """Raise unless the value is a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}")


def check_name(name: object) -> str:
    """Return a name that every storage can keep, or raise."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be text of 1 to {LONGEST_NAME} bytes in UTF-8, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"name must be Unicode text; {name!r} holds half of a surrogate pair") from None
    if size > LONGEST_NAME:
        raise ValueError(f"name must have at most {LONGEST_NAME} bytes in UTF-8; {name[:20]!r}… has {size}")
    return name
