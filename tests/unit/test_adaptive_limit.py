"""The shared adaptive limit, its bulkhead, and the throttle, on both storages."""

import asyncio
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from backpressure import RejectedError
from backpressure.adaptive import (
    AIMD,
    AcceptanceThrottle,
    AdaptiveBulkhead,
    AdaptiveLimit,
    Gradient,
    ThrottledError,
    refusal_probability,
)
from backpressure.adaptive.events import LimitRevised
from backpressure.adaptive.transitions import COUNT, READ, REVISE, SAMPLE
from backpressure.clock import ManualClock
from backpressure.errors import BulkheadFullError, StorageUnavailableError
from backpressure.events import Event
from backpressure.retry import seeded
from backpressure.storage import MemoryStorage, PostgresStorage, Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

names = (f"limit {number}" for number in itertools.count())


def clock_of(storage: Storage) -> ManualClock:
    """The clock that the test moves."""
    assert isinstance(storage.clock, ManualClock)
    return storage.clock


def test_all_who_share_it_learn_together(storage: Storage) -> None:
    """Samples of two objects fill one window; its end revises the limit once, for both, and says so once."""
    events: list[Event] = []
    one, other = (
        AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=10), listeners=[events.append]) for _ in range(2)
    )
    one.record(0.1)
    other.record(0.1)
    clock_of(storage).advance(1)
    assert one.limit == 10
    other.record(0.1)
    assert (one.limit, other.limit) == (11, 11)
    one.record(0.1, dropped=True)
    clock_of(storage).advance(1)
    one.record(0.1)
    assert other.limit == 7
    assert events == [LimitRevised("partner_x", 10, 11), LimitRevised("partner_x", 11, 7)]


def test_a_window_goes_on_until_it_has_enough_calls(storage: Storage) -> None:
    """With a minimum of calls a window that is over in time waits for them."""
    limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=10), minimum_calls=3)
    limit.record(0.1)
    clock_of(storage).advance(60)
    limit.record(0.1)
    assert limit.limit == 10
    limit.record(0.1)
    assert limit.limit == 11


def test_the_gradient_reduces_the_limit_while_it_measures(storage: Storage) -> None:
    """The first window runs at a third of the limit, as it measures what a call takes when nobody queues."""
    limit = AdaptiveLimit("partner_x", storage, algorithm=Gradient(initial=30))
    assert limit.limit == 10
    limit.record(0.1)
    clock_of(storage).advance(1)
    limit.record(0.1)
    assert limit.limit == 30


def test_coroutines_learn_alike(storage: Storage) -> None:
    """The asynchronous twin reads and records the same state."""

    async def main() -> None:
        limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=10))
        await limit.record_async(0.1)
        clock_of(storage).advance(1)
        await limit.record_async(0.1, inflight=10)
        assert await limit.limit_async() == 11

    asyncio.run(main())


def test_each_window_is_revised_once_however_many_record(postgres_storage: PostgresStorage) -> None:
    """Eight threads that record all the time revise the limit no more often than windows can end."""
    limit = AdaptiveLimit("hot", postgres_storage, algorithm=AIMD(initial=1, increase=1, maximum=100_000), window=0.05)
    began = postgres_storage.clock.monotonic_ns()

    def work(_: int) -> None:
        while postgres_storage.clock.monotonic_ns() < began + 500_000_000:
            limit.record(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    elapsed = (postgres_storage.clock.monotonic_ns() - began) / 1e9
    assert 2 <= limit.limit <= 2 + elapsed / 0.05


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("sample"), st.integers(0, 10**9), st.booleans(), st.integers(1, 50), st.sampled_from([1, 3])
            ),
            st.tuples(st.just("revise"), st.integers(0, 4), st.floats(1, 50), st.floats(0, 1), st.integers(0, 9)),
            st.tuples(st.just("count"), st.integers(0, 1), st.integers(0, 1)),
            st.tuples(st.just("tick"), st.sampled_from([0.01, 0.3, 1.0, 2.5, 7 * 86400.0])),
        ),
        max_size=60,
    )
)
def test_both_storages_agree(manual_postgres_storage: PostgresStorage, steps: list[tuple[Any, ...]]) -> None:
    """Samples, revisions and the throttle's counts give the same in PostgreSQL as by the transitions."""
    clock = clock_of(manual_postgres_storage)
    memory = MemoryStorage(ManualClock())
    clock_of(memory).advance_ns(clock.now_ns() - memory.clock.now_ns())
    key = (next(names),)
    for what, *details in steps:
        if what == "tick":
            clock.advance(*details)
            clock_of(memory).advance(*details)
            continue
        if what == "sample":
            latency, dropped, inflight, minimum = details
            asked: tuple[Any, ...] = (SAMPLE, key, latency, dropped, inflight, 10**9, minimum)
        elif what == "count":
            asked = (COUNT, key, *details, 10**10)
        else:
            asked = (REVISE, key, *details)
        assert memory.run(*asked) == manual_postgres_storage.run(*asked)
        assert memory.run(READ, key) == manual_postgres_storage.run(READ, key)


@pytest.mark.parametrize(
    ("argument", "value"), [("latency", -1), ("latency", math.nan), ("latency", math.inf), ("inflight", 0)]
)
def test_rejects_impossible_samples(argument: str, value: float) -> None:
    """A bad sample raises ValueError naming argument and value."""
    limit = AdaptiveLimit("partner_x", MemoryStorage())
    with pytest.raises(ValueError, match=f"{argument} must"):
        limit.record(**({"latency": 0.1} | {argument: value}))  # type: ignore[arg-type]


def test_a_bulkhead_follows_the_limit(storage: Storage) -> None:
    """A timeout cuts the limit; from then on fewer are let in at once, other errors change nothing."""
    limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=2, backoff=0.5))
    bulkhead = AdaptiveBulkhead(limit)
    with bulkhead.hold(timeout=30), bulkhead.hold(timeout=30):
        pass
    with pytest.raises(KeyError), bulkhead.hold():
        raise KeyError
    assert limit.limit == 2
    clock_of(storage).advance(1)
    with pytest.raises(TimeoutError), bulkhead.hold():
        raise TimeoutError
    assert limit.limit == 1
    with bulkhead.hold(timeout=30), pytest.raises(BulkheadFullError), bulkhead.hold(timeout=1):
        pytest.fail("two were let in at once")


def _window_during_a_wait(monkeypatch: pytest.MonkeyPatch, limit: AdaptiveLimit, *, dropped: bool) -> None:
    """Whenever somebody sleeps, a second goes by and a call ends, in time or not: each but the first ends a window."""
    clock = clock_of(limit.storage)

    def sleep(_: float) -> None:
        clock.advance(1)
        limit.record(0.1, dropped=dropped)

    async def sleep_async(seconds: float) -> None:
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(clock, "sleep_async", sleep_async)


def test_who_waits_is_let_in_when_the_limit_has_grown(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call waits for the limit of 1 to become 2, not for the first one's end."""
    limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=1), window=0.5)
    bulkhead = AdaptiveBulkhead(limit)
    with bulkhead.hold():
        _window_during_a_wait(monkeypatch, limit, dropped=False)
        with bulkhead.hold(timeout=10):
            assert (limit.limit, bulkhead.bulkhead.count()[0]) == (2, 2)


def test_coroutines_that_wait_are_let_in_when_the_limit_has_grown(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asynchronous twin looks the limit up as often."""

    async def main() -> None:
        limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=1), window=0.5)
        bulkhead = AdaptiveBulkhead(limit)
        async with bulkhead.hold_async():
            _window_during_a_wait(monkeypatch, limit, dropped=False)
            async with bulkhead.hold_async(timeout=10):
                assert (await limit.limit_async(), (await bulkhead.bulkhead.count_async())[0]) == (2, 2)

    asyncio.run(main())


def test_who_waits_is_not_let_in_by_a_limit_of_before(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit falls from 2 to 1 while two calls go on and a third waits: one end makes no room."""
    limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=2, backoff=0.5), window=0.5)
    bulkhead = AdaptiveBulkhead(limit)
    with bulkhead.hold():
        ends = bulkhead.bulkhead.acquire()
        _window_during_a_wait(monkeypatch, limit, dropped=True)
        slept = clock_of(storage).sleep

        def sleep(seconds: float) -> None:
            slept(seconds)
            if limit.limit == 1:
                ends.release()

        monkeypatch.setattr(clock_of(storage), "sleep", sleep)
        with pytest.raises(BulkheadFullError, match="among 1"), bulkhead.hold(timeout=10):
            pytest.fail("let in by the limit of before")


def test_a_bulkhead_follows_the_limit_in_coroutines(storage: Storage) -> None:
    """The asynchronous twin holds and records the same."""

    async def main() -> None:
        limit = AdaptiveLimit("partner_x", storage, algorithm=AIMD(initial=2, backoff=0.5), window=0.001)
        bulkhead = AdaptiveBulkhead(limit)
        async with bulkhead.hold_async(timeout=30):
            clock_of(storage).advance(1)
        clock_of(storage).advance(1)
        with pytest.raises(TimeoutError):
            async with bulkhead.hold_async(timeout=30):
                raise TimeoutError
        assert await limit.limit_async() == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("requests", "accepts", "k", "expected"),
    [(0, 0, 2, 0), (10, 5, 2, 0), (10, 4, 2, 2 / 11), (99, 0, 2, 0.99), (10, 10, 1, 0), (10, 5, 1, 5 / 11)],
)
def test_the_probability_is_that_of_the_book(requests: int, accepts: int, k: float, expected: float) -> None:
    """max(0, (requests - k accepts) / (requests + 1))."""
    assert refusal_probability(requests, accepts, k) == pytest.approx(expected)


def test_throttle_counts_in_its_window(storage: Storage) -> None:
    """Refused requests raise the share that is dropped, for everybody; a window later nothing is held against them."""
    throttle = AcceptanceThrottle("partner_x", storage, window=120, draw=lambda: 0.5)
    other = AcceptanceThrottle("partner_x", storage, window=120, draw=lambda: 0.0)
    throttle.ask()
    throttle.ask()
    with pytest.raises(ThrottledError, match="of 2 within 120 s 0 were accepted, so 67% are dropped") as caught:
        other.ask()
    assert isinstance(caught.value, RejectedError)
    assert caught.value.retry_after == 6
    clock_of(storage).advance(120)
    assert throttle.call(divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize(("capacity", "share_sent"), [(0.0, 0.05), (0.25, 0.6), (1.0, 1.0)])
def test_throttle_sends_what_the_other_side_bears_and_a_little_more(capacity: float, share_sent: float) -> None:
    """About k requests are sent for each that is accepted: hardly any to a dead server, all to a well one."""
    clock = ManualClock()
    drawn = (number * 0.6180339887498949 % 1 for number in itertools.count(1))
    throttle = AcceptanceThrottle("partner_x", MemoryStorage(clock), window=10, draw=drawn.__next__)
    sent, budget = 0, 0.0
    for request in range(6000):
        clock.advance(0.01)
        budget = min(10.0, budget + capacity)
        try:
            throttle.ask()
        except ThrottledError:
            continue
        sent += request >= 3000
        if budget >= 1:
            budget -= 1
            throttle.accepted()
    assert sent / 3000 <= share_sent
    assert sent / 3000 >= min(1.0, 1.6 * capacity)


@pytest.mark.parametrize("seed", range(2))
def test_throttle_notices_a_recovery(seed: int) -> None:
    """A dead server still sees a request now and then, and within eight windows of its return it gets nearly all."""
    clock = ManualClock()
    throttle = AcceptanceThrottle("partner_x", MemoryStorage(clock), window=10, draw=seeded(seed).random)
    sent = []
    for second in range(140):
        sent.append(0)
        for _ in range(100):
            clock.advance(0.01)
            try:
                throttle.ask()
            except ThrottledError:
                continue
            sent[-1] += 1
            if second >= 40:
                throttle.accepted()
    assert max(sent[15:40]) <= 15
    assert min(sent[120:]) >= 95


def test_throttle_works_in_coroutines(storage: Storage) -> None:
    """The asynchronous twin counts the same."""

    async def main() -> None:
        throttle = AcceptanceThrottle("partner_x", storage, draw=lambda: 0.6)
        await throttle.ask_async()
        await throttle.accepted_async()
        for _ in range(6):
            await throttle.ask_async()
        with pytest.raises(ThrottledError, match="of 7 within 120 s 1 were accepted"):
            await throttle.ask_async()

    asyncio.run(main())


class OnceAsked(MemoryStorage):
    """A storage that goes away after it was asked once."""

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Answer the first time."""
        if len(self):
            raise StorageUnavailableError("gone")
        return super().run(*arguments, **options)


def test_throttle_returns_what_it_can_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """A call that was accepted keeps its result when the storage goes away meanwhile, and the log says so."""
    throttle = AcceptanceThrottle("partner_x", OnceAsked(ManualClock()))
    assert throttle.call(divmod, 7, 2) == (3, 1)
    assert "'partner_x': an accepted call could not be counted: gone" in caplog.text
    with pytest.raises(StorageUnavailableError):
        throttle.call(divmod, 7, 2)


@pytest.mark.parametrize(
    ("argument", "value"), [("k", 0.5), ("k", math.nan), ("window", 0), ("window", math.inf), ("name", "")]
)
def test_throttle_rejects_impossible_settings(argument: str, value: object) -> None:
    """A bad argument raises ValueError naming argument and value."""
    with pytest.raises(ValueError, match=f"{argument} must"):
        AcceptanceThrottle(**({"name": "x", "storage": MemoryStorage()} | {argument: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("argument", "value"), [("window", 0), ("minimum_calls", 0), ("name", "x" * 300)])
def test_limit_rejects_impossible_settings(argument: str, value: object) -> None:
    """A bad argument raises ValueError naming argument and value."""
    with pytest.raises(ValueError, match=f"{argument} must"):
        AdaptiveLimit(**({"name": "x", "storage": MemoryStorage()} | {argument: value}))  # type: ignore[arg-type]
