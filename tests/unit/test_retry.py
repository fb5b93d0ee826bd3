"""Calling again: when, how often, after which wait, and what the caller sees in the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from backpressure import CircuitOpenError, RateLimitedError
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.retry import Backoff, Retry, RetryBudget, retry, retry_async, seeded
from backpressure.storage import Argument, MemoryStorage, Operation

STEADY = Backoff(1, 100, 2, "none")


class Flaky:
    """Fails as told, then returns how often it was called."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


class Response:
    """An HTTP response as clients carry it."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HttpError(Exception):
    """An error with a response, as httpx and requests raise it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(str(status))
        self.response = Response(status, **headers)


@pytest.fixture
def clock() -> ManualClock:
    """A clock moved by hand; sleeping moves it."""
    return ManualClock()


def test_calls_again_after_growing_waits(clock: ManualClock) -> None:
    """Two failures, waits of one and two seconds, then the value."""
    assert retry(Flaky(OSError(), OSError()), attempts=5, backoff=STEADY, clock=clock) == 3
    assert clock.slept == [1, 2]


def test_passes_arguments_on(clock: ManualClock) -> None:
    """Positional arguments are the function's own."""
    assert retry(divmod, 7, 2, clock=clock) == (3, 1)
    assert Retry(clock=clock).call(sorted, [1, 2], reverse=True) == [2, 1]


def test_raises_the_last_error_with_a_note_that_says_why(clock: ManualClock) -> None:
    """When attempts are used up the call's own exception comes out, not one of ours around it."""
    errors = [OSError("one"), OSError("two")]
    with pytest.raises(OSError, match="two") as caught:
        retry(Flaky(*errors), attempts=2, backoff=STEADY, clock=clock)
    assert caught.value.__notes__ == ["not tried again: all 2 attempts are used up"]
    assert clock.slept == [1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "not among the exceptions to retry"),
        (PermissionError(), "not among the exceptions to retry"),
        (HttpError(404), "HTTP status"),
        (HttpError(400), "HTTP status"),
        (HttpError(501), "HTTP status"),
        (HttpError(503, Retry_After="7200"), "more than max_wait"),
    ],
)
def test_gives_up_on_what_will_not_change(clock: ManualClock, error: BaseException, reason: str) -> None:
    """Interrupts, exceptions to give up on, errors for good, and waits that are too long are raised at once."""
    flaky = Flaky(error)
    with pytest.raises(type(error)) as caught:
        retry(flaky, attempts=5, give_up_on=PermissionError, clock=clock)
    assert (flaky.calls, clock.slept) == (1, [])
    assert reason in caught.value.__notes__[0]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_tries_again_on_what_may_pass(clock: ManualClock, status: int) -> None:
    """Timeouts, overload and gateways' errors are worth another attempt."""
    assert retry(Flaky(HttpError(status)), clock=clock) == 2


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (RateLimitedError("later", 12.5), 12.5),
        (CircuitOpenError("open", 30.0), 30.0),
        (HttpError(429, Retry_After="20"), 20),
        (HttpError(503, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT", Date="Sun, 06 Nov 1994 08:49:07 GMT"), 30),
        (HttpError(503, Retry_After="soon"), 0),
        (HttpError(503, Retry_After="-5"), 0),
        (HttpError(503), 0),
    ],
)
def test_honours_what_the_other_side_says(clock: ManualClock, error: Exception, named: float) -> None:
    """The named time is waited in full, with the jittered wait on top, so that all who were told it do not meet."""
    retry(Flaky(error), backoff=STEADY, clock=clock)
    assert clock.slept == [named + 1]


def test_looks_at_the_cause_of_an_exception(clock: ManualClock) -> None:
    """What a client library wrapped still says when to come back."""
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = HttpError(429, Retry_After="9")
    retry(Flaky(wrapped), backoff=STEADY, clock=clock)
    assert clock.slept == [10]


def test_siblings_who_were_told_the_same_time_part(clock: ManualClock) -> None:
    """Fifty callers with the same Retry-After come back at fifty different times, none before it."""
    for index in range(50):
        retry(Flaky(HttpError(429, Retry_After="60")), clock=clock, source=seeded("dag", "run", "task", index))
    assert len(set(clock.slept)) == 50
    assert min(clock.slept) >= 60


def test_keeps_the_deadline(clock: ManualClock) -> None:
    """No attempt starts after the deadline, and nobody waits for one that would."""
    flaky = Flaky(*[OSError()] * 10)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - it has no text
        retry(flaky, attempts=10, backoff=STEADY, deadline=10, clock=clock)
    assert clock.slept == [1, 2, 4]
    assert "deadline" in caught.value.__notes__[0]


def test_tells_of_each_wait(clock: ManualClock) -> None:
    """A listener gets exception, wait and reason before each wait."""
    told: list[tuple[BaseException, float, str]] = []
    error = OSError()
    retry(Flaky(error), backoff=STEADY, clock=clock, on_retry=lambda *said: told.append(said))
    assert told == [(error, 1, "attempt 1 of 3 failed with OSError: again in 1.00 s")]


def test_coroutines_retry_alike(clock: ManualClock) -> None:
    """The same waits, the same budget and the same notes in a coroutine."""
    budget = RetryBudget("b", MemoryStorage(ManualClock()), ratio=0, capacity=2)

    async def call(flaky: Flaky) -> int:
        return flaky()

    assert asyncio.run(retry_async(call, Flaky(OSError()), backoff=STEADY, budget=budget, clock=clock)) == 2
    with pytest.raises(OSError) as caught:  # noqa: PT011 - it has no text
        asyncio.run(retry_async(call, Flaky(*[OSError()] * 3), backoff=STEADY, budget=budget, clock=clock))
    assert clock.slept == [1, 1]
    assert caught.value.__notes__ == ["not tried again: the retry budget is used up, 0.00 tokens left"]


class Down:
    """A storage that is not there."""

    def __init__(self) -> None:
        self.clock = ManualClock()

    def run(self, operation: Operation, keys: tuple[str, ...], *_: Argument, timeout: float | None = None) -> Any:
        raise StorageUnavailableError(f"no answer about {operation.name} {keys} within {timeout}")

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *_: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Any:
        self.run(operation, keys, timeout=timeout)

    def close(self) -> None: ...


@pytest.mark.parametrize(("fail_open", "calls"), [(False, 1), (True, 2)])
def test_without_the_budgets_storage(
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    fail_open: bool,  # noqa: FBT001 - parametrised
    calls: int,
) -> None:
    """The first call is made in any case; a retry only if the budget fails open. The call's own error comes out."""
    budget = RetryBudget("b", Down(), fail_open=fail_open)

    async def call(flaky: Flaky) -> int:
        return flaky()

    def call_async(flaky: Flaky, **options: Any) -> int:
        return asyncio.run(retry_async(call, flaky, **options))

    for way in (retry, call_async):
        flaky = Flaky(OSError("call"), OSError("call"))
        with pytest.raises(OSError, match="call") as caught:
            way(flaky, attempts=2, budget=budget, clock=clock)  # type: ignore[operator]
        assert flaky.calls == calls
        assert ("could not be asked" in caught.value.__notes__[0]) != fail_open
    assert caplog.text.count("could not be told of a call") == 2


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("attempts", lambda: Retry(attempts=0)),
        ("attempts", lambda: Retry(attempts=True)),
        ("max_wait", lambda: Retry(max_wait=0)),
        ("deadline", lambda: Retry(deadline=-1)),
        ("deadline", lambda: Retry(deadline=float("nan"))),
        ("ratio", lambda: RetryBudget("b", Down(), ratio=-0.1)),
        ("ratio", lambda: RetryBudget("b", Down(), ratio=float("inf"))),
        ("capacity", lambda: RetryBudget("b", Down(), capacity=0)),
        ("refill", lambda: RetryBudget("b", Down(), refill=-1)),
        ("name", lambda: RetryBudget("", Down())),
    ],
)
def test_rejects_impossible_settings(name: str, make: Callable[[], object]) -> None:
    """A bad argument raises ValueError naming argument and value."""
    with pytest.raises(ValueError, match=f"{name} must"):
        make()
