"""What a circuit breaker is told: thresholds, times, permits. Checked once, when the breaker is made."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

from backpressure.checks import check_count, check_number, check_seconds, check_share
from backpressure.clock import NANOSECONDS

MAX_FAILURE_THRESHOLD = 1000
"""Most failures that are counted one by one; the instant of each is kept, so the number must be bounded."""

MAX_HALF_OPEN_PERMITS = 1000
MAX_QUORUM = 1000
MAX_CALLS = 1_000_000


class AdmitRules(NamedTuple):
    """The part of the settings that an admission needs, as the transitions take it: times in nanoseconds."""

    permits: int
    lease_ns: int
    open_for_ns: int


class RecordRules(NamedTuple):
    """The part of the settings that counting a result needs, as the transitions take it: times in nanoseconds."""

    threshold: int | None
    in_a_row: int | None
    failure_rate: float | None
    slow_rate: float | None
    minimum_calls: int
    window_ns: int
    quorum: int
    permits: int
    open_for_ns: int
    growth: float
    limit_ns: int
    jitter: float

    @property
    def counts_calls(self) -> bool:
        """Whether every call is counted, which the rates need."""
        return self.failure_rate is not None or self.slow_rate is not None


class _Fields(NamedTuple):
    failure_threshold: int | None = 5
    consecutive_failures: int | None = None
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    slow_call_duration: float | None = None
    minimum_calls: int = 10
    window: float = 60.0
    open_for: float = 30.0
    open_for_growth: float = 1.0
    open_for_limit: float | None = None
    open_for_jitter: float = 0.0
    half_open_permits: int = 1
    probe_lease: float = 5.0
    quorum: int = 1


class BreakerSettings(_Fields):
    """When a breaker opens, for how long, and how it tries again. Times are seconds.

    The breaker opens as soon as any of the conditions that are set holds: failures within the window, consecutive
    failures, failure rate, slow-call rate.

    Attributes:
        failure_threshold: Failures within `window` that open the breaker; successes do not clear them. None: not a
            condition. 1 to 1000.
        consecutive_failures: Failures in a row that open the breaker, whatever their age; a row is forgotten after 30
            days without another. None: not a condition.
        failure_rate: Share of failed calls within `window` that opens the breaker, above 0 to 1. None: not a condition.
        slow_call_rate: Share of slow calls within `window` that opens the breaker, above 0 to 1. None: not a condition.
        slow_call_duration: A call that took this long or longer is slow. Needed with `slow_call_rate`.
        minimum_calls: Calls within `window` below which neither rate is judged.
        window: How far back failures and calls count.
        open_for: How long the breaker stays open before it lets probes through.
        open_for_growth: Factor on the open time for each repeated opening, 1 to 10. An opening is repeated when the
            breaker was not closed for a whole `window` before it.
        open_for_limit: The longest open time that growth reaches. None: `open_for` when the time does not grow, else
            ten times that.
        open_for_jitter: The open time is lengthened by a random share of itself, from 0 to this (0 to 1), so that
            breakers that opened together do not probe together. Never shortened.
        half_open_permits: Calls let through at once while half-open; as many successes close the breaker.
        probe_lease: A probe that has not reported for this long is given up and its permit is free again. Keep it above
            the call's own timeout: a given-up probe's result counts for nothing.
        quorum: Distinct hosts that must have seen a failure (or slow call) within `window` before the breaker opens, so
            that one sick host does not open it for all.

    Raises:
        ValueError: A setting is outside its range; the message names it and its value.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Check the settings."""
        self = super().__new__(cls, *values, **named)
        self._check()
        return self

    def _check(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                check(name, value)
        if self.open_for_limit is not None and self.open_for_limit < self.open_for:
            raise ValueError(f"open_for_limit must be at least open_for, {self.open_for}, not {self.open_for_limit}")
        if (self.slow_call_rate is None) != (self.slow_call_duration is None):
            raise ValueError(
                f"slow_call_rate and slow_call_duration must both be set or both be None, "
                f"not {self.slow_call_rate!r} and {self.slow_call_duration!r}"
            )
        if not self.conditions:
            raise ValueError(
                "failure_threshold must not be None when no other condition is set, or the breaker could never open: "
                "set failure_threshold, consecutive_failures, failure_rate or slow_call_rate"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the conditions that are set."""
        names = ("failure_threshold", "consecutive_failures", "failure_rate", "slow_call_rate")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def longest_open(self) -> float:
        """The longest open time that growth reaches, without jitter, in seconds."""
        if self.open_for_limit is not None:
            return self.open_for_limit
        return self.open_for if self.open_for_growth == 1 else self.open_for * 10

    @property
    def counts_successes(self) -> bool:
        """Whether a success in the closed state changes anything, so that it must be reported."""
        return any(x is not None for x in (self.failure_rate, self.slow_call_rate, self.consecutive_failures))

    @property
    def admit_rules(self) -> AdmitRules:
        """What an admission needs."""
        return AdmitRules(self.half_open_permits, _nanoseconds(self.probe_lease), _nanoseconds(self.open_for))

    @property
    def record_rules(self) -> RecordRules:
        """What counting a result needs."""
        return RecordRules(
            threshold=self.failure_threshold,
            in_a_row=self.consecutive_failures,
            failure_rate=self.failure_rate,
            slow_rate=self.slow_call_rate,
            minimum_calls=self.minimum_calls,
            window_ns=_nanoseconds(self.window),
            quorum=self.quorum,
            permits=self.half_open_permits,
            open_for_ns=_nanoseconds(self.open_for),
            growth=float(self.open_for_growth),
            limit_ns=_nanoseconds(self.longest_open),
            jitter=float(self.open_for_jitter),
        )

    def is_slow(self, duration: float) -> bool:
        """Whether a call of this duration in seconds is a slow call."""
        return self.slow_call_duration is not None and duration >= self.slow_call_duration


_OPTIONAL = {
    "failure_threshold",
    "consecutive_failures",
    "failure_rate",
    "slow_call_rate",
    "slow_call_duration",
    "open_for_limit",
}
_CHECKS: dict[str, Callable[[str, object], None]] = {
    "failure_threshold": partial(check_count, most=MAX_FAILURE_THRESHOLD),
    "consecutive_failures": partial(check_count, most=MAX_CALLS),
    "failure_rate": check_share,
    "slow_call_rate": check_share,
    "slow_call_duration": check_seconds,
    "minimum_calls": partial(check_count, most=MAX_CALLS),
    "window": check_seconds,
    "open_for": check_seconds,
    "open_for_growth": partial(check_number, least=1, most=10),
    "open_for_limit": check_seconds,
    "open_for_jitter": partial(check_number, least=0, most=1),
    "half_open_permits": partial(check_count, most=MAX_HALF_OPEN_PERMITS),
    "probe_lease": check_seconds,
    "quorum": partial(check_count, most=MAX_QUORUM),
}


def _nanoseconds(seconds: float) -> int:
    return max(1, round(seconds * NANOSECONDS))
