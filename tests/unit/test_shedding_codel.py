"""CoDel against the RFC's own loop, and what it does to a queue that stands."""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable

import pytest
from backpressure.clock import ManualClock
from backpressure.shedding import CoDelShedder
from backpressure.storage import MemoryStorage, PostgresStorage, Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECOND = 1_000_000_000
names = (f"queue {number}" for number in itertools.count())


class LoopOfTheRfc:
    """The dequeue routine of RFC 8289, section 5.5, written down loop by loop as an oracle."""

    def __init__(self, target: int, interval: int) -> None:
        self.target, self.interval = target, interval
        self.queue: deque[int] = deque()
        self.dropped: list[int] = []
        self.first_above = self.drop_next = 0
        self.count = self.last_count = 0
        self.dropping = False

    def dodequeue(self, now: int) -> tuple[int | None, bool]:
        if not self.queue:
            self.first_above = 0
            return None, False
        item = self.queue.popleft()
        if now - item < self.target or len(self.queue) < 1:
            self.first_above = 0
            return item, False
        if self.first_above == 0:
            self.first_above = now + self.interval
            return item, False
        return item, now >= self.first_above

    def dequeue(self, now: int) -> int | None:
        item, ok = self.dodequeue(now)
        if self.dropping:
            if not ok:
                self.dropping = False
            while now >= self.drop_next and self.dropping:
                assert item is not None
                self.dropped.append(item)
                self.count += 1
                item, ok = self.dodequeue(now)
                if not ok:
                    self.dropping = False
                else:
                    self.drop_next += round(self.interval / math.sqrt(self.count))
        elif ok:
            assert item is not None
            self.dropped.append(item)
            item, ok = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.last_count
            self.count = delta if delta > 1 and now - self.drop_next < 16 * self.interval else 1
            self.drop_next = now + round(self.interval / math.sqrt(self.count))
            self.last_count = self.count
        return item


class Queue:
    """A queue whose items are asked about as they are taken; instants are nanoseconds."""

    def __init__(self, asked: Callable[[int, int], bool], emptied: Callable[[], None]) -> None:
        self.asked = asked
        self.emptied = emptied
        self.queue: deque[int] = deque()
        self.dropped: list[int] = []

    def dequeue(self, now: int) -> int | None:
        while self.queue:
            item = self.queue.popleft()
            if not self.asked(now - item, len(self.queue)):
                return item
            self.dropped.append(item)
        self.emptied()
        return None


def queue_of(storage: Storage, *, interval: float, target: float) -> Queue:
    """A queue shed by a `CoDelShedder` of its own."""
    shedder = CoDelShedder(next(names), storage, interval=interval, target=target)
    return Queue(lambda waited, remaining: shedder.taken(waited / SECOND, remaining), shedder.emptied)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 40.0]), st.integers(0, 4), st.integers(0, 3)), max_size=200
    )
)
def test_sheds_exactly_what_the_rfc_drops(steps: list[tuple[float, int, int]]) -> None:
    """For any arrivals and departures the same items are delivered and shed as by the loop in the RFC."""
    storage = MemoryStorage(ManualClock())
    check_against_the_rfc(storage, steps)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 40.0]), st.integers(0, 4), st.integers(0, 3)),
        min_size=20,
        max_size=60,
    )
)
def test_postgres_sheds_exactly_what_the_rfc_drops(
    manual_postgres_storage: PostgresStorage, steps: list[tuple[float, int, int]]
) -> None:
    """The same in PostgreSQL."""
    check_against_the_rfc(manual_postgres_storage, steps)


def check_against_the_rfc(storage: Storage, steps: list[tuple[float, int, int]]) -> None:
    """Put the same items through both queues and compare all that comes out."""
    clock = storage.clock
    assert isinstance(clock, ManualClock)
    rfc, ours = LoopOfTheRfc(SECOND // 2, 2 * SECOND), queue_of(storage, interval=2.0, target=0.5)
    for pause, arrivals, departures in steps:
        clock.advance(pause)
        now = clock.now_ns()
        for _ in range(arrivals):
            rfc.queue.append(now)
            ours.queue.append(now)
        for _ in range(departures):
            assert ours.dequeue(now) == rfc.dequeue(now)
        assert ours.dropped == rfc.dropped
    assert list(ours.queue) == list(rfc.queue)


def serve(arrivals: list[float], service: float, *, interval: float, target: float) -> tuple[list[float], Queue]:
    """One server takes items as they come; returns the waiting times of those served, in seconds."""
    clock = ManualClock(0.0)
    queue, waits = queue_of(MemoryStorage(clock), interval=interval, target=target), []
    coming = deque(round(at * SECOND) for at in arrivals)
    while coming or queue.queue:
        while coming and coming[0] <= clock.now_ns():
            queue.queue.append(coming.popleft())
        item = queue.dequeue(clock.now_ns())
        if item is not None:
            waits.append((clock.now_ns() - item) / SECOND)
            clock.advance(service)
        elif coming:
            clock.advance_ns(coming[0] - clock.now_ns())
    return waits, queue


def test_leaves_a_burst_alone() -> None:
    """A burst that drains within the interval is served whole, though every item of it waits."""
    waits, queue = serve([0.0] * 20, 1.0, interval=30.0, target=1.0)
    assert len(waits) == 20
    assert queue.dropped == []


def test_bounds_the_wait_of_a_standing_queue() -> None:
    """Under lasting overload of a tenth the wait settles near the target; without shedding it would only grow."""
    arrivals = [n * 0.9 for n in range(2000)]
    waits, queue = serve(arrivals, 1.0, interval=20.0, target=2.0)
    unshed = len(arrivals) * 0.1
    settled = sorted(waits[len(waits) // 2 :])
    assert settled[len(settled) // 2] < unshed / 4
    assert 0.05 < len(queue.dropped) / len(arrivals) < 0.25


def test_all_who_take_from_one_queue_share_its_state(storage: Storage) -> None:
    """What one taker saw counts for the next: the delay stood for an interval, whoever measured it."""
    one, other = (CoDelShedder("queue", storage, interval=10) for _ in range(2))
    assert isinstance(storage.clock, ManualClock)
    assert not one.taken(5.0, 100)
    storage.clock.advance(10)
    assert other.taken(15.0, 99)
    assert not one.taken(15.0, 98)


def test_coroutines_share_it_too(storage: Storage) -> None:
    """The asynchronous twin asks about the same state; the last item of a queue is never shed."""

    async def main() -> None:
        shedder = CoDelShedder("queue", storage, interval=10)
        assert isinstance(storage.clock, ManualClock)
        assert not await shedder.taken_async(5.0, 100)
        storage.clock.advance(10)
        await shedder.emptied_async()
        assert not await shedder.taken_async(15.0, 100)
        storage.clock.advance(10)
        assert not await shedder.taken_async(25.0, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "value"),
    [("interval", 0), ("interval", math.nan), ("interval", math.inf), ("target", 11), ("target", 0), ("name", "")],
)
def test_rejects_impossible_settings(name: str, value: object) -> None:
    """Settings that make no sense are refused by name and value."""
    with pytest.raises(ValueError, match=f"{name} must"):
        CoDelShedder(**({"name": "q", "storage": MemoryStorage(), "interval": 10} | {name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("waited", "remaining"), [(math.nan, 1), (math.inf, 1), (1.0, -1), (1.0, 2.5)])
def test_rejects_impossible_items(waited: float, remaining: int) -> None:
    """An item that waited for no number of seconds, or a negative rest of the queue, is refused."""
    with pytest.raises(ValueError, match=r"(waited|remaining) must"):
        CoDelShedder("q", MemoryStorage(), interval=10).taken(waited, remaining)
