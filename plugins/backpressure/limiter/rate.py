"""What may be asked of a limiter: a rate with burst, an exact sliding window, or a calendar quota."""

from typing import Literal, NamedTuple, Self

__all__ = [
    "LONGEST_NAME",
    "Limit",
    "Quota",
    "Rate",
    "SlidingWindow",
    "Spec",
    "check_cost",
    "check_name",
    "check_seconds",
]

NANOSECONDS = 1_000_000_000
LONGEST_NAME = 255
"""Bytes of a name in UTF-8."""
LONGEST_PERIOD = 366 * 86400.0
HIGHEST_RATE = 1_000_000
"""Permits a second. Below it the interval between permits is 1000 ns or more, so that rounding it up to whole
nanoseconds makes a rate at most 0.1 % lower, and never higher."""
HIGHEST_LIMIT = 1_000_000_000
LARGEST_WINDOW = 100_000
"""Permits of a sliding window, each of which is remembered."""
HORIZON_NS = 3650 * 86400 * NANOSECONDS
"""How far ahead permits can be reserved, and a burst can reach back: ten years, well within 64 bits."""


class Spec(NamedTuple):
    """A limit in whole numbers, as the storage gets it.

    Attributes:
        kind: `GCRA`, `WINDOW` or `QUOTA`.
        limit: the largest cost of one call; the burst, the window's limit, the quota's.
        period: nanoseconds between permits, nanoseconds of the window, or 0 for days and 1 for months.
        zone: IANA name of the calendar's time zone.
    """

    kind: int
    limit: int
    period: int
    zone: str

    @property
    def letter(self) -> str:
        """What the names of such limits' records begin with, so that limits of different kinds never meet."""
        return "gwdm"[self.kind + (self.period if self.kind == QUOTA else 0)]


GCRA = 0
WINDOW = 1
QUOTA = 2
_DAY, _MONTH = 0, 1


class _RateFields(NamedTuple):
    limit: float
    period: float
    burst: int


class Rate(_RateFields):
    """So many permits in each period, spread evenly, with a burst: the generic cell rate algorithm (a token bucket).

    In any length of time `t` at most `limit / period * t + burst` permits are given. The algorithm is ITU-T I.371's, in
    its virtual scheduling form.

    Args:
        limit: permits in a period, above 0.
        period: seconds, above 0, at most 366 days.
        burst: permits that may be used at once after a pause, from 1; also the highest cost of one call.

    Raises:
        ValueError: an argument is out of range.
    """

    __slots__ = ()

    def __new__(cls, limit: float, period: float, burst: int = 1) -> Self:
        """Check the arguments."""
        _check_number("limit", limit, HIGHEST_LIMIT)
        check_seconds("period", period)
        _check_whole("burst", burst, HIGHEST_LIMIT)
        if limit / period > HIGHEST_RATE:
            raise ValueError(
                f"limit {limit!r} in period {period!r} s is above {HIGHEST_RATE} a second: count in larger units"
            )
        interval = _interval_ns(limit, period)
        if burst * interval > HORIZON_NS:
            raise ValueError(f"burst {burst!r} would take more than ten years to fill at {limit!r} in {period!r} s")
        return super().__new__(cls, limit, period, burst)

    @property
    def spec(self) -> Spec:
        """The limit in whole numbers."""
        return Spec(GCRA, self.burst, _interval_ns(self.limit, self.period), "UTC")


class _WindowFields(NamedTuple):
    limit: int
    period: float


class SlidingWindow(_WindowFields):
    """At most so many permits in any window of one period, counted exactly. Nothing spreads them within it.

    Args:
        limit: permits in any window, 1 to 100 000; each one given is remembered.
        period: seconds, above 0, at most 366 days.

    Raises:
        ValueError: an argument is out of range.
    """

    __slots__ = ()

    def __new__(cls, limit: int, period: float) -> Self:
        """Check the arguments."""
        _check_whole("limit", limit, LARGEST_WINDOW)
        check_seconds("period", period)
        return super().__new__(cls, limit, period)

    @property
    def spec(self) -> Spec:
        """The limit in whole numbers."""
        return Spec(WINDOW, self.limit, _round_up(self.period), "UTC")


class _QuotaFields(NamedTuple):
    limit: int
    every: str
    zone: str


class Quota(_QuotaFields):
    """At most so many permits in each calendar day or month.

    Args:
        limit: permits in each, 1 to 10^9.
        every: `"day"` or `"month"`.
        zone: IANA name of the time zone whose midnight counts.

    Raises:
        ValueError: an argument is out of range.
    """

    __slots__ = ()

    def __new__(cls, limit: int, every: Literal["day", "month"], zone: str = "UTC") -> Self:
        """Check the arguments."""
        _check_whole("limit", limit, HIGHEST_LIMIT)
        if every not in {"day", "month"}:
            raise ValueError(f"every must be 'day' or 'month', not {every!r}")
        _check_zone(zone)
        return super().__new__(cls, limit, every, zone)

    @property
    def spec(self) -> Spec:
        """The limit in whole numbers."""
        return Spec(QUOTA, self.limit, _DAY if self.every == "day" else _MONTH, self.zone)


Limit = Rate | SlidingWindow | Quota


def check_name(name: str) -> str:
    """Return a name that storages can keep.

    Raises:
        ValueError: it is empty, too long, or not Unicode text.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be text of 1 to {LONGEST_NAME} bytes in UTF-8, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"name must be Unicode text; {name!r} holds half of a surrogate pair") from None
    if size > LONGEST_NAME:
        raise ValueError(f"name must have at most {LONGEST_NAME} bytes in UTF-8; {name[:20]!r}… has {size}")
    return name


def check_cost(cost: int, limit: int, word: str = "burst") -> int:
    """Return a cost that the limit can ever grant.

    Raises:
        ValueError: it is not a whole number from 1 to the limit.
    """
    if isinstance(cost, bool) or not isinstance(cost, int) or cost < 1:
        raise ValueError(f"cost must be a whole number from 1, not {cost!r}")
    if cost > limit:
        raise ValueError(f"cost must not exceed the {word} {limit}, or it could never be granted; it is {cost!r}")
    return cost


def check_seconds(name: str, value: float) -> float:
    """Return a length of time above 0 and up to 366 days.

    Raises:
        ValueError: it is not.
    """
    return _check_number(name, value, LONGEST_PERIOD, " s")


def _check_number(name: str, value: float, highest: float, unit: str = "") -> float:
    # A comparison with NaN is false, so that NaN fails it too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= highest:
        raise ValueError(f"{name} must be a number above 0 and up to {highest:.0f}{unit}, not {value!r}")
    return value


def _check_whole(name: str, value: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise ValueError(f"{name} must be a whole number from 1 to {highest}, not {value!r}")


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - quotas alone need it

    try:
        ZoneInfo(zone)
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"zone must be the IANA name of a time zone, such as 'Europe/Berlin', not {zone!r}") from error


def _interval_ns(limit: float, period: float) -> int:
    """Nanoseconds between permits, rounded up so that the rate is never above what was asked."""
    period_over, period_under = period.as_integer_ratio()
    limit_over, limit_under = limit.as_integer_ratio()
    return -(-period_over * NANOSECONDS * limit_under // (period_under * limit_over))


def _round_up(seconds: float) -> int:
    over, under = seconds.as_integer_ratio()
    return -(-over * NANOSECONDS // under)
