"""Whether to try again, and when: a pure function of the failure and what has been tried."""

from typing import Any, NamedTuple, Self

from backpressure.checks import check_count, check_seconds
from backpressure.retry.backoff import Backoff, RandomSource
from backpressure.retry.failure import is_transient, retry_after

MAX_ATTEMPTS = 1000


class _Fields(NamedTuple):
    attempts: int = 3
    backoff: Backoff = Backoff()
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception
    give_up_on: type[BaseException] | tuple[type[BaseException], ...] = ()
    max_wait: float = 3600.0
    deadline: float | None = None


class RetrySettings(_Fields):
    """When a failed call is tried again.

    Attributes:
        attempts: Calls in all, the first included; 1 never retries.
        backoff: Waiting times.
        retry_on: Exceptions that are worth a retry.
        give_up_on: Exceptions that are not, though they are among `retry_on`.
        max_wait: Seconds; a call that would have to wait longer than this for its retry is given up at once.
        deadline: Seconds since the first call after which no retry starts; None: none.

    Raises:
        ValueError: A setting is outside its range.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Check the settings."""
        self = super().__new__(cls, *values, **named)
        self._check()
        return self

    def _check(self) -> None:
        check_count("attempts", self.attempts, MAX_ATTEMPTS)
        check_seconds("max_wait", self.max_wait)
        if self.deadline is not None:
            check_seconds("deadline", self.deadline)


class Verdict(NamedTuple):
    """Try again after `wait` seconds, or, when `wait` is None, give up; `reason` says why in words."""

    wait: float | None
    reason: str


def judge(
    settings: RetrySettings, exception: BaseException, attempt: int, elapsed: float, source: RandomSource
) -> Verdict:
    """Whether to try again after the `attempt`-th call (from 1) failed, `elapsed` seconds after the first began.

    When the other side named a time, the jittered wait comes on top of it: all who were told the same instant would
    otherwise come back in the same instant.
    """
    kind = type(exception).__name__
    if not isinstance(exception, settings.retry_on) or isinstance(exception, settings.give_up_on):
        return Verdict(None, f"{kind} is not among the exceptions to retry")
    if not is_transient(exception):
        return Verdict(None, f"{kind} carries an HTTP status that will not change by trying again")
    if attempt >= settings.attempts:
        return Verdict(None, f"all {settings.attempts} attempts are used up")
    jittered = settings.backoff.delay(attempt, source)
    named = retry_after(exception)
    wait = jittered if named is None else named + jittered
    if wait > settings.max_wait:
        return Verdict(None, f"the next attempt is {wait:.1f} s away, more than max_wait, {settings.max_wait:g} s")
    if settings.deadline is not None and elapsed + wait > settings.deadline:
        return Verdict(None, f"the deadline of {settings.deadline:g} s would be over before the next attempt")
    said = "" if named is None else f"; {named:g} s of it as the other side said"
    return Verdict(wait, f"attempt {attempt} of {settings.attempts} failed with {kind}: again in {wait:.2f} s{said}")
