"""Call, and call again: the retry of a function, in a thread or a coroutine."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypedDict, TypeVar, Unpack

from backpressure.clock import Clock, SystemClock, seconds
from backpressure.errors import StorageError
from backpressure.retry.backoff import Backoff, RandomSource
from backpressure.retry.budget import BudgetDecision, RetryBudget
from backpressure.retry.decision import RetrySettings, Verdict, judge

P = ParamSpec("P")
T = TypeVar("T")
Exceptions = type[BaseException] | tuple[type[BaseException], ...]

OnRetry = Callable[[BaseException, float, str], None]
"""Told before each wait: the exception, the wait in seconds, and the reason in words."""


class RetryOptions(TypedDict, total=False):
    """The arguments of `Retry`, for `retry` and `retry_async`."""

    attempts: int
    backoff: Backoff | None
    budget: RetryBudget | None
    retry_on: Exceptions
    give_up_on: Exceptions
    max_wait: float
    deadline: float | None
    clock: Clock | None
    source: RandomSource | None
    on_retry: OnRetry | None


class Retry:
    """Calls until the call returns, it is not worth trying again, or attempts, time or budget are used up.

    A `retry_after` of the exception (RateLimitedError, CircuitOpenError) or of the HTTP response that it carries is
    honoured, and the jittered wait comes on top of it. An exception with an HTTP status that will not change by itself
    (400, 401, 404, …) is not retried. The exception raised in the end is the last call's own, with a note that says why
    there was no further attempt.

    Args:
        attempts: Calls in all, the first included; 1 to 1000.
        backoff: Waiting times; None: full jitter from 1 s, doubling, up to 300 s.
        budget: Shared with all who retry the same; without a token there is no retry.
        retry_on: Exceptions that are worth a retry.
        give_up_on: Exceptions that are not, though they are among `retry_on`.
        max_wait: Seconds; a retry further away than this is not waited for.
        deadline: Seconds since the first call after which no retry starts; None: none.
        clock: Measures and waits; None: the system's.
        source: Draws the jitter; None: honest randomness. `seeded(...)` gives each sibling a sequence of its own.
        on_retry: Told before each wait.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        *,
        attempts: int = 3,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
        retry_on: Exceptions = Exception,
        give_up_on: Exceptions = (),
        max_wait: float = 3600.0,
        deadline: float | None = None,
        clock: Clock | None = None,
        source: RandomSource | None = None,
        on_retry: OnRetry | None = None,
    ) -> None:
        self.settings = RetrySettings(
            attempts=attempts,
            backoff=backoff or Backoff(),
            retry_on=retry_on,
            give_up_on=give_up_on,
            max_wait=max_wait,
            deadline=deadline,
        )
        self.budget = budget
        self._clock: Clock = clock or SystemClock()
        self._source: RandomSource = source or _system_random()
        self._on_retry = on_retry

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, again if need be."""
        began, attempt = self._clock.monotonic_ns(), 1
        if self.budget is not None:
            self.budget.deposit()
        while True:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                verdict = self._judge(error, attempt, began)
                if verdict.wait is None or not self._affordable(error, verdict, self._spend()):
                    raise
            self._clock.sleep(verdict.wait)
            attempt += 1

    async def call_async(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await the coroutine function's result, again if need be."""
        began, attempt = self._clock.monotonic_ns(), 1
        if self.budget is not None:
            await self.budget.deposit_async()
        while True:
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                verdict = self._judge(error, attempt, began)
                if verdict.wait is None or not self._affordable(error, verdict, await self._spend_async()):
                    raise
            await self._clock.sleep_async(verdict.wait)
            attempt += 1

    def _judge(self, error: BaseException, attempt: int, began_ns: int) -> Verdict:
        elapsed = seconds(self._clock.monotonic_ns() - began_ns)
        verdict = judge(self.settings, error, attempt, elapsed, self._source)
        if verdict.wait is None:
            error.add_note(f"not tried again: {verdict.reason}")
        return verdict

    def _affordable(self, error: BaseException, verdict: Verdict, spent: BudgetDecision | StorageError | None) -> bool:
        """Whether the budget, if there is one, gave a token."""
        if isinstance(spent, StorageError):
            error.add_note(f"not tried again: the retry budget could not be asked: {spent}")
            return False
        if spent is not None and not spent:
            error.add_note(f"not tried again: the retry budget is used up, {spent.tokens:.2f} tokens left")
            return False
        if self._on_retry is not None and verdict.wait is not None:
            self._on_retry(error, verdict.wait, verdict.reason)
        return True

    def _spend(self) -> BudgetDecision | StorageError | None:
        try:
            return None if self.budget is None else self.budget.try_spend()
        except StorageError as error:
            return error

    async def _spend_async(self) -> BudgetDecision | StorageError | None:
        try:
            return None if self.budget is None else await self.budget.try_spend_async()
        except StorageError as error:
            return error


def retry(function: Callable[..., T], /, *args: object, **options: Unpack[RetryOptions]) -> T:
    """Call `function(*args)`, again if need be; the options are the arguments of `Retry`."""
    return Retry(**options).call(function, *args)


async def retry_async(function: Callable[..., Awaitable[T]], /, *args: object, **options: Unpack[RetryOptions]) -> T:
    """Await `function(*args)`, again if need be; the options are the arguments of `Retry`."""
    return await Retry(**options).call_async(function, *args)


def _system_random() -> RandomSource:
    import random  # noqa: PLC0415 - slow to import; whoever has a source of his own never needs it

    # The system's source, as a generator of one's own would go on alike in every forked process.
    return random.SystemRandom()
