"""Checks of arguments: each raises ValueError that names the argument, its range and its value."""

__all__ = ["check_count", "check_name", "check_number", "check_seconds", "check_share", "check_text", "check_whole"]

SHORTEST = 0.001
"""Seconds; a shorter time is within the noise of any clock shared over a network."""
LONGEST = 366 * 86400.0
"""Seconds; a longer time is a mistake."""
LONGEST_NAME = 255
"""Bytes of a name in UTF-8."""


def check_number(name: str, value: object, least: float, most: float, unit: str = "") -> None:
    """Raise unless the value is a number from `least` to `most`."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    # Any comparison with NaN is false, and no bound is infinite.
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
    check_whole(name, value, 1, most)


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise unless the value is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def check_name(name: object) -> str:
    """Return a name that every storage can keep, or raise."""
    return _checked_text("name", name, 1, LONGEST_NAME)


def check_text(name: str, value: object, least: int, most: int) -> str:
    """Return a text of so many bytes in UTF-8 and no zero character, which PostgreSQL can't hold, or raise."""
    text = _checked_text(name, value, least, most)
    if "\0" in text:
        raise ValueError(f"{name} must not hold a zero character: {text!r}")
    return text


def _checked_text(name: str, value: object, least: int, most: int) -> str:
    if not isinstance(value, str) or (least and not value):
        raise ValueError(f"{name} must be text of {least} to {most} bytes in UTF-8, not {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be Unicode text; {value!r} holds half of a surrogate pair") from None
    if size > most:
        raise ValueError(f"{name} must have at most {most} bytes in UTF-8; {value[:20]!r}… has {size}")
    return value
