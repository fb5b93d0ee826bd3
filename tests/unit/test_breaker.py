"""The circuit breaker as its users meet it, on both storages, under a clock moved by hand."""

import asyncio
import math
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

import pytest
from backpressure import CircuitBreaker, CircuitOpenError, RateLimitedError
from backpressure.breaker.events import CallEnded, CallRefused, CircuitChanged, ReportLost
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.events import Event, FailedOpen
from backpressure.storage import Argument, MemoryStorage, Operation, Storage


class UpstreamError(Exception):
    """The other side failed."""


def fail() -> None:
    """A call that fails."""
    raise UpstreamError


def succeed() -> str:
    """A call that succeeds."""
    return "value"


def clock_of(storage: Storage) -> ManualClock:
    """The clock that the test moves."""
    assert isinstance(storage.clock, ManualClock)
    return storage.clock


def failing(breaker: CircuitBreaker, times: int) -> None:
    """Let the other side fail some times."""
    for _ in range(times):
        with pytest.raises(UpstreamError):
            breaker.call(fail)


def opened(storage: Storage, **settings: Any) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker("partner_x", storage, **({"failure_threshold": 1} | settings))
    failing(breaker, 1)
    assert breaker.state == "open"
    return breaker


class Watched:
    """A storage that counts what it is asked, and answers, fails or waits as told."""

    def __init__(self, inner: Storage, error: Exception | None = None) -> None:
        self.inner = inner
        self.clock = inner.clock
        self.error = error
        self.asked: list[str] = []

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Any:
        self.asked.append(operation.name)
        if self.error is not None:
            raise self.error
        return self.inner.run(operation, keys, *arguments, timeout=timeout)

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Any:
        return self.run(operation, keys, *arguments, timeout=timeout)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def memory() -> MemoryStorage:
    """Memory under a clock moved by hand, for what does not depend on the storage."""
    return MemoryStorage(ManualClock())


def test_opens_at_the_threshold_and_refuses(storage: Storage) -> None:
    """The fifth failure opens it; from then on no call passes, and the error says when to come back."""
    breaker = CircuitBreaker("partner_x", storage)
    failing(breaker, 4)
    assert breaker.state == "closed"
    failing(breaker, 1)
    assert breaker.state == "open"
    clock_of(storage).advance(10)
    with pytest.raises(CircuitOpenError, match="'partner_x' is open") as caught:
        breaker.call(succeed)
    assert caught.value.retry_after == pytest.approx(20)


def test_everyone_with_the_same_name_shares_the_state(storage: Storage) -> None:
    """Another object of the same name is open, too; one of another name is not."""
    opened(storage)
    assert CircuitBreaker("partner_x", storage).state == "open"
    assert CircuitBreaker("partner_y", storage).state == "closed"


def test_successes_do_not_clear_failures(storage: Storage) -> None:
    """Failures within the window add up however many calls succeed between them."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=3)
    for _ in range(3):
        assert breaker.state == "closed"
        breaker.call(succeed)
        failing(breaker, 1)
        breaker.call(succeed) if breaker.state == "closed" else None
    assert breaker.state == "open"


def test_failures_outside_the_window_do_not_count(storage: Storage) -> None:
    """A failure counts for less than the window's length after it, to the nanosecond."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=2, window=60)
    failing(breaker, 1)
    clock_of(storage).advance(60)
    failing(breaker, 1)
    assert breaker.state == "closed"
    clock_of(storage).advance_ns(59_999_999_999)
    failing(breaker, 1)
    assert breaker.state == "open"


def test_half_open_lets_exactly_the_permits_through(storage: Storage) -> None:
    """After the open time as many calls run at once as there are permits, and no more."""
    breaker = opened(storage, half_open_permits=2)
    clock_of(storage).advance(30)
    assert breaker.state == "half_open"
    with breaker, breaker, pytest.raises(CircuitOpenError, match="half-open") as caught:
        breaker.call(succeed)
    assert caught.value.retry_after == pytest.approx(5)
    assert breaker.state == "closed"


def test_all_probes_must_succeed_to_close(storage: Storage) -> None:
    """One success of two leaves it half-open; a failure after it opens it again for the full open time."""
    breaker = opened(storage, half_open_permits=2)
    clock_of(storage).advance(30)
    breaker.call(succeed)
    assert breaker.state == "half_open"
    failing(breaker, 1)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(succeed)
    assert caught.value.retry_after == pytest.approx(30)


def test_a_silent_probe_is_given_up(storage: Storage) -> None:
    """A prober that never reports blocks the others for its lease only, and its late report counts for nothing."""
    breaker = opened(storage, probe_lease=5)
    clock_of(storage).advance(30)
    dead = breaker._enter()
    clock_of(storage).advance(4.999)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(succeed)
    assert caught.value.retry_after == pytest.approx(0.001)
    clock_of(storage).advance(caught.value.retry_after)
    with breaker:
        breaker._leave(dead, breaker.classifier.of_exception(UpstreamError()))
        breaker._leave(dead, breaker.classifier.of_value("late"))
        assert breaker.state == "half_open"
    assert breaker.state == "closed"


def test_late_results_do_not_count_against_a_later_state(storage: Storage) -> None:
    """Calls that began before an opening and end after it neither delay, nor close, nor reopen the breaker."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=1)
    old = [breaker._enter() for _ in range(4)]
    failure = breaker.classifier.of_exception(UpstreamError())
    breaker._leave(old[0], failure)
    until = breaker.snapshot().opens_again_in
    breaker._leave(old[1], failure)
    assert breaker.snapshot().opens_again_in == until
    clock_of(storage).advance(30)
    with breaker:
        breaker._leave(old[2], failure)
        assert breaker.state == "half_open"
    breaker._leave(old[3], failure)
    assert breaker.state == "closed"


def test_consecutive_failures_open_it_and_a_success_starts_them_afresh(storage: Storage) -> None:
    """With only consecutive failures as its condition the breaker opens at the third in a row."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=None, consecutive_failures=3)
    failing(breaker, 2)
    breaker.call(succeed)
    failing(breaker, 2)
    clock_of(storage).advance(3600)
    assert breaker.state == "closed"
    failing(breaker, 1)
    assert breaker.state == "open"


def test_failure_rate_is_judged_from_the_minimum_of_calls_on(storage: Storage) -> None:
    """Half of the calls failing opens the breaker once there were ten, be the tenth a success."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=None, failure_rate=0.5, minimum_calls=10)
    failing(breaker, 8)
    breaker.call(succeed)
    assert breaker.state == "closed"
    breaker.call(succeed)
    assert breaker.state == "open"


def test_failure_rate_forgets_calls_outside_the_window(storage: Storage) -> None:
    """Failures of a window ago no longer weigh, and the last nineteen twentieths of a window always do."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=None, failure_rate=0.5, minimum_calls=4, window=60)
    failing(breaker, 3)
    clock_of(storage).advance(60)
    breaker.call(succeed)
    assert (breaker.snapshot().calls, breaker.state) == (1, "closed")
    clock_of(storage).advance(56.9)
    failing(breaker, 3)
    assert breaker.state == "open"


def test_a_block_may_end_in_another_context(storage: Storage) -> None:
    """A generator that is resumed elsewhere keeps its exception, its end is counted, and later blocks are unharmed."""
    breaker = CircuitBreaker("x", storage, failure_threshold=3)

    def block() -> Generator[None, None, None]:
        with breaker:
            yield

    def throw(inside: Generator[None, None, None]) -> None:
        with pytest.raises(UpstreamError):
            inside.throw(UpstreamError())

    blocks = [block() for _ in range(2)]
    for each in blocks:
        Context().run(next, each)
    for each in blocks:
        Context().run(throw, each)
    assert breaker.snapshot().failures == 2
    inside = block()
    next(inside)
    assert Context().run(next, inside, "done") == "done"
    with pytest.raises(UpstreamError), breaker:
        raise UpstreamError
    assert breaker.state == "open"
    assert breaker._blocks == {}


def test_slow_calls_open_it(storage: Storage) -> None:
    """Calls that take as long as the slow-call duration open the breaker although they succeed, and so does a probe."""
    breaker = CircuitBreaker(
        "partner_x",
        storage,
        failure_threshold=None,
        slow_call_rate=0.5,
        slow_call_duration=2,
        minimum_calls=4,
    )

    def take(seconds: float) -> Callable[[], None]:
        return lambda: clock_of(storage).advance(seconds)

    for seconds in (1.9, 1.9, 2.0):
        breaker.call(take(seconds))
    assert breaker.state == "closed"
    breaker.call(take(2.0))
    assert breaker.state == "open"
    clock_of(storage).advance(30)
    breaker.call(take(3.0))
    assert breaker.state == "open"
    clock_of(storage).advance(30)
    breaker.call(take(1.0))
    assert breaker.state == "closed"


def test_one_sick_host_does_not_open_it_for_all(storage: Storage) -> None:
    """With a quorum of two, failures of one host alone never open the breaker; the first of a second host does."""
    sick = CircuitBreaker("partner_x", storage, failure_threshold=3, quorum=2, host="sick")
    other = CircuitBreaker("partner_x", storage, failure_threshold=3, quorum=2, host="other")
    failing(sick, 10)
    assert sick.state == "closed"
    failing(other, 1)
    assert other.state == "open"


def test_a_quorum_counts_hosts_within_the_window(storage: Storage) -> None:
    """A host that failed longer ago than the window is not one of the quorum."""
    breakers = [
        CircuitBreaker("partner_x", storage, failure_threshold=1, window=60, quorum=3, host=host) for host in "abc"
    ]
    failing(breakers[0], 1)
    clock_of(storage).advance(60)
    failing(breakers[1], 1)
    failing(breakers[2], 1)
    assert breakers[0].state == "closed"
    failing(breakers[0], 1)
    assert breakers[0].state == "open"


def test_open_time_grows_with_repeated_openings_up_to_its_limit(storage: Storage) -> None:
    """Each failed probe doubles the open time until the limit; after a calm window it starts from the first again."""
    breaker = opened(storage, open_for=10, open_for_growth=2, open_for_limit=35, window=60)
    seen = [breaker.snapshot().opens_again_in]
    for _ in range(3):
        clock_of(storage).advance(seen[-1])
        failing(breaker, 1)
        seen.append(breaker.snapshot().opens_again_in)
    assert seen == [10, 20, 35, 35]
    clock_of(storage).advance(35)
    breaker.call(succeed)
    failing(breaker, 1)
    assert breaker.snapshot().opens_again_in == 35
    clock_of(storage).advance(35)
    breaker.call(succeed)
    clock_of(storage).advance(60)
    failing(breaker, 1)
    assert breaker.snapshot().opens_again_in == 10


def test_jitter_lengthens_the_open_time_and_never_shortens_it(memory: MemoryStorage) -> None:
    """Breakers that open together do not try again together."""
    times = set()
    for number in range(50):
        breaker = CircuitBreaker(f"b{number}", memory, failure_threshold=1, open_for=10, open_for_jitter=0.5)
        failing(breaker, 1)
        times.add(breaker.snapshot().opens_again_in)
    assert len(times) == 50
    assert 10 <= min(times) < 11
    assert 14 < max(times) < 15


def test_forced_open_refuses_and_reset_starts_afresh(storage: Storage) -> None:
    """An operator's order holds against any result and any time, until reset."""
    breaker = CircuitBreaker("partner_x", storage)
    breaker.force_open()
    assert (breaker.state, breaker.snapshot().mode) == ("open", "forced_open")
    clock_of(storage).advance(86400)
    with pytest.raises(CircuitOpenError):
        breaker.call(succeed)
    breaker.reset()
    assert (breaker.state, breaker.snapshot().mode) == ("closed", "automatic")
    assert breaker.call(succeed) == "value"


@pytest.mark.parametrize(("order", "counted"), [("force_closed", 5), ("disable", 0)])
def test_forced_closed_counts_and_disabled_does_not(storage: Storage, order: str, counted: int) -> None:
    """Both let everything pass and never open; what fails is seen in the one and not in the other."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=5)
    getattr(breaker, order)()
    failing(breaker, 9)
    assert (breaker.state, breaker.snapshot().failures) == ("closed", counted)
    breaker.reset()
    assert breaker.snapshot().failures == 0


def test_ignored_and_uncounted_exceptions_open_nothing(memory: MemoryStorage) -> None:
    """What is ignored, not counted, or a refusal of this package counts as neither and still reaches the caller."""
    breaker = CircuitBreaker(
        "partner_x", memory, failure_threshold=1, counted=(UpstreamError, OSError), ignored=FileNotFoundError
    )
    for error in (FileNotFoundError, ValueError, KeyboardInterrupt, lambda: RateLimitedError("later", 1.0)):
        with pytest.raises(BaseException) as caught, breaker:  # noqa: PT011 - which one is asserted below
            raise error()
        assert not isinstance(caught.value, UpstreamError)
        assert breaker.state == "closed"
    with pytest.raises(OSError, match="refused"), breaker:
        raise ConnectionRefusedError("refused")
    assert breaker.state == "open"


def test_matchers_may_be_functions(memory: MemoryStorage) -> None:
    """Which exceptions count may depend on what they say."""
    breaker = CircuitBreaker("partner_x", memory, failure_threshold=1, counted=lambda error: "503" in str(error))
    for text, state in (("404", "closed"), ("503", "open")):
        with pytest.raises(RuntimeError), breaker:
            raise RuntimeError(text)
        assert breaker.state == state


def test_an_ignored_probe_frees_its_permit_at_once(storage: Storage) -> None:
    """A cancelled probe says nothing about the other side: the next caller may probe without waiting for the lease."""
    breaker = opened(storage)
    clock_of(storage).advance(30)
    with pytest.raises(KeyboardInterrupt), breaker:
        raise KeyboardInterrupt
    assert breaker.snapshot().probes == 0
    breaker.call(succeed)
    assert breaker.state == "closed"


def test_a_returned_value_can_be_a_failure(memory: MemoryStorage) -> None:
    """A response with an error status counts and is still returned; in a block the caller says so."""
    breaker = CircuitBreaker("partner_x", memory, failure_threshold=2, is_failure=lambda status: status >= 500)
    assert breaker.call(lambda: 503) == 503
    assert breaker.call(lambda: 200) == 200
    with breaker as attempt:
        attempt.fail()
    assert breaker.state == "open"


def test_fallback_answers_refused_and_failed_calls(memory: MemoryStorage) -> None:
    """With a fallback a caller gets its value, told apart by the exception it is given; ignored errors pass it by."""
    seen: list[Exception] = []
    breaker = CircuitBreaker(
        "partner_x", memory, failure_threshold=1, ignored=KeyError, fallback=lambda e: seen.append(e) or "old"
    )
    with pytest.raises(KeyError):
        breaker.call(dict[str, int]().__getitem__, "missing")
    assert [breaker.call(fail), breaker.call(succeed)] == ["old", "old"]
    assert [type(error) for error in seen] == [UpstreamError, CircuitOpenError]


def test_a_closed_call_costs_one_statement_and_a_failed_one_two(storage: Storage) -> None:
    """A success among failure counts need not be told; a failure, and every call that a rate needs, is."""
    watched = Watched(storage)
    plain = CircuitBreaker("plain", watched)
    plain.call(succeed)
    assert watched.asked == ["breaker_admit_1"]
    failing(plain, 1)
    assert watched.asked[1:] == ["breaker_admit_1", "breaker_record_1"]
    rated = CircuitBreaker("rated", watched, failure_rate=0.5)
    rated.call(succeed)
    assert len(watched.asked) == 5
    opened(watched, failure_threshold=1)
    before = len(watched.asked)
    with pytest.raises(CircuitOpenError):
        CircuitBreaker("partner_x", watched).call(succeed)
    assert len(watched.asked) == before + 1


def test_tells_listeners_what_happened(storage: Storage) -> None:
    """Every end of a call, refusal and change of state is told once, with the reason in words."""
    events: list[Event] = []
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=2, listeners=[events.append])
    failing(breaker, 2)
    with pytest.raises(CircuitOpenError):
        breaker.call(succeed)
    clock_of(storage).advance(30)
    breaker.call(lambda: clock_of(storage).advance(0.5))
    breaker.force_open()
    assert events == [
        CallEnded("partner_x", "failure", 0.0, slow=False, probe=False),
        CallEnded("partner_x", "failure", 0.0, slow=False, probe=False),
        CircuitChanged("partner_x", "closed", "open", "2 failures within 60 s"),
        CallRefused("partner_x", 30.0),
        CircuitChanged("partner_x", "open", "half_open", "the open time is over"),
        CallEnded("partner_x", "success", 0.5, slow=False, probe=True),
        CircuitChanged("partner_x", "half_open", "closed", "1 probe succeeded"),
        CircuitChanged("partner_x", "closed", "forced_open", "ordered by an operator"),
    ]


def test_without_a_storage_it_fails_closed_unless_told_otherwise(
    memory: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """By default the storage's typed error is raised; with fail_open the call passes, and the log says so."""
    down = Watched(memory, StorageUnavailableError("no answer"))
    events: list[Event] = []
    with pytest.raises(StorageUnavailableError):
        CircuitBreaker("partner_x", down).call(succeed)
    open_breaker = CircuitBreaker("partner_x", down, fail_open=True, listeners=[events.append])
    assert open_breaker.call(succeed) == "value"
    with pytest.raises(UpstreamError):
        open_breaker.call(fail)
    assert [type(event) for event in events] == [FailedOpen, CallEnded, FailedOpen, CallEnded]
    assert "lets the call pass" in caplog.text


def test_a_lost_report_hides_neither_result_nor_exception(
    memory: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """If the storage fails after the call, the caller still gets what the call returned or raised."""
    storage = Watched(memory)
    events: list[Event] = []
    breaker = CircuitBreaker("partner_x", storage, failure_rate=0.5, listeners=[events.append])

    def lose_storage(then: Callable[[], Any]) -> Any:
        storage.error = StorageUnavailableError("gone")
        return then()

    assert breaker.call(lose_storage, succeed) == "value"
    storage.error = None
    with pytest.raises(UpstreamError):
        breaker.call(lose_storage, fail)
    assert [type(event) for event in events] == [CallEnded, ReportLost] * 2
    assert "could not be told" in caplog.text


def test_blocks_may_be_nested_and_crossed_by_coroutines(storage: Storage) -> None:
    """Each block ends the call it began, also when coroutines on one thread enter and leave in turn."""
    breaker = CircuitBreaker("partner_x", storage, failure_threshold=2)
    order: list[str] = []

    async def work(name: str, go: asyncio.Event, done: asyncio.Event, error: Exception | None) -> None:
        async with breaker:
            order.append(f"{name} in")
            done.set()
            await go.wait()
            order.append(f"{name} out")
            if error:
                raise error

    async def main() -> None:
        first, second, entered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(work("one", first, entered, UpstreamError()))
        await entered.wait()
        entered.clear()
        two = asyncio.create_task(work("two", second, entered, None))
        await entered.wait()
        first.set()
        with pytest.raises(UpstreamError):
            await one
        second.set()
        await two
        assert await breaker.state_async() == "closed"
        with pytest.raises(UpstreamError):
            await breaker.call_async(raise_async)
        assert await breaker.state_async() == "open"
        with pytest.raises(CircuitOpenError):
            await breaker.call_async(raise_async)

    async def raise_async() -> None:
        raise UpstreamError

    asyncio.run(main())
    assert order == ["one in", "two in", "one out", "two out"]


def test_a_coroutine_may_fall_back_to_another(memory: MemoryStorage) -> None:
    """An asynchronous fallback is awaited, a plain one is not."""

    async def old(error: Exception) -> str:
        return f"old for {type(error).__name__}"

    async def broken() -> str:
        raise UpstreamError

    breaker = CircuitBreaker("partner_x", memory, failure_threshold=1, fallback=old)
    plain = CircuitBreaker("partner_x", memory, failure_threshold=1, fallback=lambda _: "plain")
    assert asyncio.run(breaker.call_async(broken)) == "old for UpstreamError"
    assert asyncio.run(breaker.call_async(broken)) == "old for CircuitOpenError"
    assert asyncio.run(plain.call_async(broken)) == "plain"


def test_a_cancelled_probe_is_reported(storage: Storage) -> None:
    """A coroutine cancelled in the middle of a probe frees the permit."""

    async def main() -> None:
        breaker = CircuitBreaker("partner_x", storage, failure_threshold=1)
        started = asyncio.Event()

        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        failing(breaker, 1)
        clock_of(storage).advance(30)
        task = asyncio.create_task(breaker.call_async(hang))
        await started.wait()
        assert breaker.snapshot().probes == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.snapshot().probes == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("failure_threshold", 0),
        ("failure_threshold", -1),
        ("failure_threshold", 1.5),
        ("failure_threshold", True),
        ("failure_threshold", 10**9),
        ("failure_threshold", None),
        ("consecutive_failures", 0),
        ("failure_rate", 0),
        ("failure_rate", 1.1),
        ("failure_rate", math.nan),
        ("slow_call_rate", 0.5),
        ("slow_call_duration", 1.0),
        ("minimum_calls", 0),
        ("minimum_calls", None),
        ("window", 0),
        ("window", math.nan),
        ("window", math.inf),
        ("window", "60"),
        ("open_for", -1),
        ("open_for", 1e12),
        ("open_for_growth", 0.9),
        ("open_for_limit", 1),
        ("open_for_jitter", 1.5),
        ("half_open_permits", 0),
        ("probe_lease", 0),
        ("quorum", 0),
        ("counted", "Exception"),
        ("counted", int),
        ("ignored", (ValueError, 3)),
        ("host", ""),
        ("host", "a\0b"),
    ],
)
def test_rejects_impossible_settings(memory: MemoryStorage, argument: str, value: object) -> None:
    """A bad argument raises ValueError naming argument and value."""
    with pytest.raises(ValueError, match=f"{argument}.* {'.*' if value is None else ''}") as caught:
        CircuitBreaker("partner_x", memory, **{argument: value})  # type: ignore[arg-type]
    assert repr(value) in str(caught.value) or value is None


@pytest.mark.parametrize("name", ["", "x" * 256, "\ud800", None, 3])
def test_rejects_names_that_no_storage_keeps(memory: MemoryStorage, name: Any) -> None:
    """A name is text of 1 to 255 bytes; any Unicode in it is fine."""
    with pytest.raises(ValueError, match="name must"):
        CircuitBreaker(name, memory)


def test_names_may_hold_any_unicode(storage: Storage) -> None:
    """Quotes, zero bytes, backslashes and emoji are told apart."""
    names = ["a'b", 'a"b', "a\\b", "a\0b", "a%sb", "😀", "{schema}", "a b"]
    for name in names:
        failing(CircuitBreaker(name, storage, failure_threshold=1), 1)
        assert CircuitBreaker(name, storage).state == "open"
    assert CircuitBreaker("a", storage).state == "closed"
