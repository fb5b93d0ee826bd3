"""Measured values, and what comes of comparing them with limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Comparison", "Measure", "Part", "Value", "figure"]

_MOST_DIGITS = 9
_SHOWN = {"==": "=", "!=": "other than"}

Value = float | int | str | tuple[Any, ...] | None


Points = tuple[tuple[float, float], ...]


def figure(value: Any, unit: str = "", digits: int = 3) -> str:
    """A value as people read it: whole numbers whole, others to three digits, a dash when nothing is known."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple) and not value:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(figure(part, digits=digits) for part in value) + (f" {unit}" if unit else "")
    if isinstance(value, float) and not value.is_integer():
        places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(places, 9)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.0f}" if isinstance(value, float) else str(value)
    return f"{text} {unit}" if unit else text


@dataclass(frozen=True, eq=False)
class Measure:
    """A measured value and where it comes from.

    A value that is not a finite number counts as none at all. Numpy's numbers and lists become Python's numbers and
    tuples.

    Attributes:
        value: a number, a word or a sequence; None when there was too little to measure.
        name: what people call it: "peak slots of fetch".
        unit: of the value; empty for counts and ratios.
        at: the instant that decided it, in seconds since the epoch.
        source: what it was measured on: "task instances", "upstream log".
        samples: how many records it rests on.
        detail: who or what was involved at that instant: "fetch[2], fetch[4] overlapped".
        curve: for a peak, the curve that it is the peak of: instants and the values from then on.
    """

    value: Value
    name: str
    unit: str = ""
    at: float | None = None
    source: str = "task instances"
    samples: int = 0
    detail: str = ""
    curve: Points = ()

    def __post_init__(self) -> None:
        value: Any = self.value
        if hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        object.__setattr__(self, "value", tuple(value) if isinstance(value, list) else value)
        if self.at is not None:
            object.__setattr__(self, "at", float(self.at) if math.isfinite(self.at) else None)
        # Records are arrays: their numbers are not those that Airflow can keep in an XCom.
        object.__setattr__(self, "curve", tuple((float(at), float(value)) for at, value in self.curve))

    def __str__(self) -> str:
        return f"{self.name} {figure(self.value, self.unit)}"

    def __bool__(self) -> NoReturn:
        raise TypeError(f"'{self.name}' is a measure: compare it with a limit, as in {self.name!r} <= 3")

    # Comparisons of a measure are findings in the making, not truth values, so == cannot keep object's signature.
    def __eq__(self, limit: object) -> Comparison:  # type: ignore[override]
        return _compare(self, "==", limit, lambda value, other: bool(value == other))

    def __ne__(self, limit: object) -> Comparison:  # type: ignore[override]
        return _compare(self, "!=", limit, lambda value, other: bool(value != other))

    __hash__ = None  # type: ignore[assignment]  # == makes no truth value, so a set cannot tell two measures apart

    def __lt__(self, limit: float | Measure) -> Comparison:
        return _compare(self, "<", limit, lambda value, other: bool(value < other), numbers=True)

    def __le__(self, limit: float | Measure) -> Comparison:
        return _compare(self, "<=", limit, lambda value, other: bool(value <= other), numbers=True)

    def __gt__(self, limit: float | Measure) -> Comparison:
        return _compare(self, ">", limit, lambda value, other: bool(value > other), numbers=True)

    def __ge__(self, limit: float | Measure) -> Comparison:
        return _compare(self, ">=", limit, lambda value, other: bool(value >= other), numbers=True)

    def near(self, limit: float | Measure, tolerance: float) -> Comparison:
        """Whether the value differs from the limit by no more than the tolerance, as a share of the limit.

        Raises:
            ValueError: a tolerance that is negative or not finite.
        """
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance must be a share of the limit, at least 0, not {tolerance}")
        return _compare(
            self,
            f"within {figure(100 * tolerance)}% of",
            limit,
            lambda value, other: bool(abs(value - other) <= tolerance * abs(other)),
            numbers=True,
        )

    def between(self, low: float | Measure, high: float | Measure) -> Comparison:
        """Whether the value lies between two limits, both included."""
        return (self >= low) & (self <= high)

    def __and__(self, other: object) -> NoReturn:
        raise TypeError(f"& binds tighter than a comparison: put both in parentheses, as in ({self.name!r} <= 3) & (…)")

    __rand__ = __and__

    def __add__(self, other: float | Measure) -> Measure:
        return _combine(self, "+", other, lambda a, b: a + b)

    def __radd__(self, other: float) -> Measure:
        return _combine(_constant(other), "+", self, lambda a, b: a + b)

    def __sub__(self, other: float | Measure) -> Measure:
        return _combine(self, "-", other, lambda a, b: a - b)

    def __rsub__(self, other: float) -> Measure:
        return _combine(_constant(other), "-", self, lambda a, b: a - b)

    def __mul__(self, other: float | Measure) -> Measure:
        return _combine(self, "*", other, lambda a, b: a * b)

    def __rmul__(self, other: float) -> Measure:
        return _combine(_constant(other), "*", self, lambda a, b: a * b)

    def __truediv__(self, other: float | Measure) -> Measure:
        return _combine(self, "/", other, lambda a, b: a / b if b else None)

    def __rtruediv__(self, other: float) -> Measure:
        return _combine(_constant(other), "/", self, lambda a, b: a / b if b else None)

    def named(self, name: str) -> Measure:
        """The same measure under another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Part:
    """One measure against one limit, as plain values.

    Attributes:
        measure: the measure's name.
        observed: its value.
        unit: of the value and the limit.
        op: how they are compared, as people read it: "<=", "within 15% of".
        limit: what it is compared with.
        limit_name: the name of the measure that the limit is; empty for a number written in the lesson.
        limit_source: what that was measured on; empty for a number written in the lesson.
        holds: true, false, or None when one of the two has no value.
        at: the instant that decided it, in seconds since the epoch.
        source: what the measure was measured on.
        samples: how many records it rests on.
        detail: who or what was involved at that instant.
        curve: for a peak, the curve that it is the peak of: instants and the values from then on.
    """

    measure: str
    observed: Value
    unit: str
    op: str
    limit: Value
    limit_name: str
    limit_source: str
    holds: bool | None
    at: float | None
    source: str
    samples: int
    detail: str = ""
    curve: Points = ()

    def __str__(self) -> str:
        return f"{self.measure}: {self.seen} {self.limited}"

    @property
    def seen(self) -> str:
        """The value as people read it."""
        return figure(self.observed, digits=self._digits)

    @property
    def limited(self) -> str:
        """The limit as people read it: "= 3 slots", "< 2.5 s (0.5 * makespan of fetch)"."""
        named = f" ({self.limit_name})" if self.limit_name else ""
        return f"{_SHOWN.get(self.op, self.op)} {figure(self.limit, self.unit, self._digits)}{named}"

    @property
    def _digits(self) -> int:
        """As many as it takes to see that two different numbers differ."""
        digits = 3
        while digits < _MOST_DIGITS and self.observed != self.limit:
            if figure(self.observed, digits=digits) != figure(self.limit, digits=digits):
                break
            digits += 1
        return digits


@dataclass(frozen=True)
class Comparison:
    """One comparison, or several that must hold together."""

    parts: tuple[Part, ...]

    @property
    def holds(self) -> bool | None:
        """False as soon as one part does not hold; None when one could not be measured; else true."""
        results = [part.holds for part in self.parts]
        return False if False in results else None if None in results else True

    @property
    def at(self) -> float | None:
        """The instant that decided it: that of the first part that settled the outcome and has one."""
        settled = self.holds
        return next((part.at for part in self.parts if part.holds == settled and part.at is not None), None)

    @property
    def source(self) -> str:
        """What the measures were measured on, each source once."""
        return ", ".join(dict.fromkeys(part.source for part in self.parts))

    def __and__(self, other: Comparison) -> Comparison:
        return Comparison(self.parts + other.parts)

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))

    def __bool__(self) -> NoReturn:
        raise TypeError("a comparison may be true, false or unknown: join comparisons with & and not with 'and'")


def _constant(value: float) -> Measure:
    return Measure(value, figure(value), source="")


def _compare(
    measure: Measure, op: str, limit: Any, holds: Callable[[Any, Any], bool], *, numbers: bool = False
) -> Comparison:
    given = limit if isinstance(limit, Measure) else Measure(limit, "", source="")
    known = measure.value is not None and given.value is not None
    if numbers and known and not (_is_number(measure.value) and _is_number(given.value)):
        raise TypeError(f"{measure.name} ({measure.value!r}) and {given.value!r} have no order: compare them with ==")
    return Comparison(
        (
            Part(
                measure.name,
                measure.value,
                measure.unit,
                op,
                given.value,
                given.name,
                given.source,
                holds(measure.value, given.value) if known else None,
                measure.at if measure.at is not None else given.at,
                measure.source,
                measure.samples,
                measure.detail,
                measure.curve,
            ),
        )
    )


def _combine(left: Measure, op: str, right: float | Measure, apply: Callable[[Any, Any], float | None]) -> Measure:
    other = right if isinstance(right, Measure) else _constant(right)
    known = _is_number(left.value) and _is_number(other.value)
    sources = [part.source for part in (left, other) if part.source]
    return Measure(
        apply(left.value, other.value) if known else None,
        f"{_operand(left)} {op} {_operand(other)}",
        _unit(left.unit, op, other.unit),
        left.at if left.at is not None else other.at,
        ", ".join(dict.fromkeys(sources)),
        min((part.samples for part in (left, other) if part.source), default=0),
        left.detail or other.detail,
    )


def _operand(measure: Measure) -> str:
    return f"({measure.name})" if any(f" {op} " in measure.name for op in "+-*/") else measure.name


def _unit(left: str, op: str, right: str) -> str:
    if op == "/":
        return "" if left == right else f"{left}/{right}" if right else left
    return left or right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
