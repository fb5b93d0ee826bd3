"""CoDel against the RFC's own loop, and what it does to a queue that stands."""

import math
from collections import deque

import pytest
from backpressure.shedding.codel import CoDelSettings, CoDelState, emptied, taken
from hypothesis import given
from hypothesis import strategies as st


class LoopOfTheRfc:
    """The dequeue routine of RFC 8289, section 5.5, written down loop by loop as an oracle."""

    def __init__(self, target: float, interval: float) -> None:
        self.target, self.interval = target, interval
        self.queue: deque[float] = deque()
        self.dropped: list[float] = []
        self.first_above = self.drop_next = 0.0
        self.count = self.last_count = 0
        self.dropping = False

    def dodequeue(self, now: float) -> tuple[float | None, bool]:
        if not self.queue:
            self.first_above = 0.0
            return None, False
        item = self.queue.popleft()
        if now - item < self.target or len(self.queue) < 1:
            self.first_above = 0.0
            return item, False
        if self.first_above == 0.0:
            self.first_above = now + self.interval
            return item, False
        return item, now >= self.first_above

    def dequeue(self, now: float) -> float | None:
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
                    self.drop_next += self.interval / math.sqrt(self.count)
        elif ok:
            assert item is not None
            self.dropped.append(item)
            item, ok = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.last_count
            self.count = delta if delta > 1 and now - self.drop_next < 16 * self.interval else 1
            self.drop_next = now + self.interval / math.sqrt(self.count)
            self.last_count = self.count
        return item


class Queue:
    """The same queue with our functions asked about each item."""

    def __init__(self, settings: CoDelSettings) -> None:
        self.settings = settings
        self.state = CoDelState()
        self.queue: deque[float] = deque()
        self.dropped: list[float] = []

    def dequeue(self, now: float) -> float | None:
        while self.queue:
            item = self.queue.popleft()
            self.state, shed = taken(self.state, self.settings, now, now - item, len(self.queue))
            if not shed:
                return item
            self.dropped.append(item)
        self.state = emptied(self.state)
        return None


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 40.0]), st.integers(0, 4), st.integers(0, 3)), max_size=200
    )
)
def test_sheds_exactly_what_the_rfc_drops(steps: list[tuple[float, int, int]]) -> None:
    """For any arrivals and departures the same items are delivered and shed as by the loop in the RFC."""
    rfc, ours = LoopOfTheRfc(0.5, 2.0), Queue(CoDelSettings(interval=2.0, target=0.5))
    now = 1.0
    for pause, arrivals, departures in steps:
        now += pause
        for _ in range(arrivals):
            rfc.queue.append(now)
            ours.queue.append(now)
        for _ in range(departures):
            assert ours.dequeue(now) == rfc.dequeue(now)
        assert ours.dropped == rfc.dropped
    assert list(ours.queue) == list(rfc.queue)


def serve(settings: CoDelSettings, arrivals: list[float], service: float) -> tuple[list[float], Queue]:
    """One server takes items as they come; returns the waiting times of those served."""
    queue, waits, coming, now = Queue(settings), [], deque(arrivals), 0.0
    while coming or queue.queue:
        while coming and coming[0] <= now:
            queue.queue.append(coming.popleft())
        item = queue.dequeue(now)
        if item is None:
            now = coming[0] if coming else now
            continue
        waits.append(now - item)
        now += service
    return waits, queue


def test_leaves_a_burst_alone() -> None:
    """A burst that drains within the interval is served whole, though every item of it waits."""
    waits, queue = serve(CoDelSettings(interval=30.0, target=1.0), [0.0] * 20, 1.0)
    assert len(waits) == 20
    assert queue.dropped == []


def test_bounds_the_wait_of_a_standing_queue() -> None:
    """Under lasting overload of a tenth the wait settles near the target; without shedding it would only grow."""
    arrivals = [n * 0.9 for n in range(2000)]
    waits, queue = serve(CoDelSettings(interval=20.0, target=2.0), arrivals, 1.0)
    unshed = len(arrivals) * 0.1
    settled = sorted(waits[len(waits) // 2 :])
    assert settled[len(settled) // 2] < unshed / 4
    assert 0.05 < len(queue.dropped) / len(arrivals) < 0.25


@pytest.mark.parametrize(("interval", "target"), [(0, None), (math.nan, None), (math.inf, None), (1, 2), (1, 0)])
def test_rejects_impossible_settings(interval: float, target: float | None) -> None:
    """Settings that make no sense are refused by name and value."""
    with pytest.raises(ValueError, match="must"):
        CoDelSettings(interval=interval, target=target)
