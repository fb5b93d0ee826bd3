"""What every limiter promises, on every storage."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from backpressure import (
    Decision,
    KeyRotation,
    Quota,
    Rate,
    RateLimitedError,
    RateLimiter,
    SlidingWindow,
    all_of,
)

if TYPE_CHECKING:
    from backpressure.storage import Storage

LIMITS = {
    "rate": Rate(limit=5, period=10.0, burst=5),
    "window": SlidingWindow(limit=5, period=10.0),
    "quota": Quota(limit=5, every="day"),
}


@pytest.fixture(params=LIMITS)
def limiter(request: pytest.FixtureRequest, storage: Storage) -> RateLimiter:
    """Five permits, then none for a while: of each kind of limit."""
    return RateLimiter("x", LIMITS[request.param], storage)


def _midnight(storage: Storage, year: int, month: int, day: int, hour: int = 0) -> None:
    """Move the storage's clock to an instant in UTC."""
    target = int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 10**9
    storage.clock.advance_ns(target - storage.clock.now_ns())


def test_permits_run_out(limiter: RateLimiter) -> None:
    """As many permits as the limit says, then refusals that say when to come back."""
    assert [limiter.try_acquire().remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = limiter.try_acquire()
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert refused.retry_after > 0


def test_a_caller_that_comes_back_when_told_is_not_refused(limiter: RateLimiter, storage: Storage) -> None:
    """Alone, whoever waits for `retry_after` gets its permit, time after time, and one nanosecond earlier does not."""
    for _ in range(5):
        limiter.try_acquire()
    for _ in range(12):
        refused = limiter.try_acquire()
        if not refused:
            storage.clock.advance_ns(int(refused.retry_after * 1e9) - 1000)
            assert not limiter.try_acquire()
            storage.clock.advance(limiter.try_acquire().retry_after)
        assert limiter.try_acquire()


def test_cost_takes_that_much(limiter: RateLimiter) -> None:
    """A call of cost 3 takes three permits, or none when there are fewer."""
    assert limiter.try_acquire(cost=3) == Decision(allowed=True, retry_after=0.0, remaining=2)
    assert not limiter.try_acquire(cost=3)
    assert limiter.try_acquire(cost=2) == Decision(allowed=True, retry_after=0.0, remaining=0)


def test_a_refusal_costs_nothing(limiter: RateLimiter) -> None:
    """However often it is asked in vain, the next permit comes no later."""
    limiter.try_acquire(cost=5)
    first, *_, last = [limiter.try_acquire() for _ in range(20)]
    assert first == last


def test_a_reset_forgets(limiter: RateLimiter) -> None:
    """After a reset all permits are there again."""
    limiter.try_acquire(cost=5)
    limiter.reset()
    assert limiter.try_acquire(cost=5)
    asyncio.run(limiter.reset_async())
    assert limiter.try_acquire(cost=5)


def test_waiting_takes_as_long_as_the_limit_says(limiter: RateLimiter, storage: Storage) -> None:
    """A waiting call starts when its permit is due, and waits once: nobody polls."""
    limiter.try_acquire(cost=5)
    due = limiter.try_acquire().retry_after
    assert limiter.acquire(timeout=200_000) == Decision(allowed=True, retry_after=0.0, remaining=0)
    assert storage.clock.slept == [due]


def test_a_wait_that_is_too_long_is_known_at_once_and_takes_nothing(limiter: RateLimiter, storage: Storage) -> None:
    """The error says when the permit would be there, nobody slept, and nothing was taken."""
    limiter.try_acquire(cost=5)
    due = limiter.try_acquire()
    with pytest.raises(
        RateLimitedError, match=r"limiter 'x' has no permit within 0.5 s: the next is free in"
    ) as caught:
        limiter.acquire(timeout=0.5)
    assert caught.value.retry_after == due.retry_after
    assert storage.clock.slept == []
    assert limiter.try_acquire() == due


def test_a_reservation_spreads_the_starts(limiter: RateLimiter, storage: Storage) -> None:
    """A batch gets one start for each call, in order, as its limit allows; who comes later is put behind it."""
    permits = limiter.reserve(7)
    assert [permit.delay for permit in permits[:5]] == [0.0] * 5
    assert 0 < permits[5].delay <= permits[6].delay
    now = storage.clock.now_ns() / 1e9
    assert [permit.at for permit in permits] == pytest.approx([now + permit.delay for permit in permits])
    assert limiter.try_acquire().retry_after >= permits[6].delay


def test_a_reservation_is_all_or_nothing(limiter: RateLimiter) -> None:
    """A batch whose last call would start too late reserves nothing."""
    with pytest.raises(RateLimitedError, match="no permit within 1 s"):
        limiter.reserve(7, max_wait=1.0)
    assert limiter.try_acquire(cost=5)


def test_coroutines_ask_the_same(limiter: RateLimiter, storage: Storage) -> None:
    """Each asynchronous method does what its twin does."""

    async def ask() -> None:
        assert (await limiter.try_acquire_async(cost=2)).remaining == 3
        assert [permit.delay for permit in await limiter.reserve_async(3)] == [0.0] * 3
        with pytest.raises(RateLimitedError):
            await limiter.acquire_async(timeout=0.1)
        due = (await limiter.try_acquire_async()).retry_after
        assert await limiter.acquire_async(timeout=200_000)
        assert storage.clock.slept == [due]

    asyncio.run(ask())


def test_limits_with_one_name_and_different_kinds_are_apart(storage: Storage) -> None:
    """A rate, a window and a quota of one name do not share permits."""
    for limit in (*LIMITS.values(), Quota(5, "month")):
        assert RateLimiter("x", limit, storage).try_acquire(cost=5)


def test_limiters_of_one_name_share_their_permits(storage: Storage) -> None:
    """Two limiter objects of one storage and name are one limit."""
    first, second = (RateLimiter("x", Rate(1, 60.0), storage) for _ in range(2))
    assert first.try_acquire()
    assert not second.try_acquire()


def test_a_rate_gives_its_burst_then_one_permit_an_interval(storage: Storage) -> None:
    """After a pause the burst is there at once, then permits come evenly."""
    limiter = RateLimiter("x", Rate(limit=10, period=1.0, burst=3), storage)
    assert [limiter.try_acquire() for _ in range(4)] == [(True, 0.0, 2), (True, 0, 1), (True, 0, 0), (False, 0.1, 0)]
    storage.clock.advance(0.1)
    assert limiter.try_acquire() == Decision(allowed=True, retry_after=0.0, remaining=0)
    storage.clock.advance(60.0)
    assert limiter.try_acquire() == Decision(allowed=True, retry_after=0.0, remaining=2)


def test_a_rate_does_not_drift(storage: Storage) -> None:
    """A rate whose interval is no whole number of microseconds keeps to it over thousands of permits."""
    limiter = RateLimiter("x", Rate(limit=7, period=1.0, burst=1), storage)
    delays = [permit.delay for permit in limiter.reserve(7_001)]
    assert delays[7_000] == pytest.approx(1_000.0, abs=1e-5)
    assert delays[7_000] >= 1_000.0


def test_waiting_callers_are_served_in_order(storage: Storage) -> None:
    """Reserved starts follow one another by one interval, in the order of asking."""
    limiter = RateLimiter("x", Rate(limit=10, period=1.0), storage)
    starts = [limiter.reserve(1)[0].delay for _ in range(5)]
    assert starts == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_window_counts_exactly(storage: Storage) -> None:
    """Permits come back one by one, each a period after it was given."""
    limiter = RateLimiter("x", SlidingWindow(limit=3, period=10.0), storage)
    for _ in range(3):
        assert limiter.try_acquire()
        storage.clock.advance(2.0)
    assert limiter.try_acquire() == Decision(allowed=False, retry_after=4.0, remaining=0)
    storage.clock.advance(4.0)
    assert limiter.try_acquire()
    assert limiter.try_acquire() == Decision(allowed=False, retry_after=2.0, remaining=0)


def test_a_raised_window_keeps_what_it_counted(storage: Storage) -> None:
    """A limit that is raised or lowered while it is in use forgets none of the calls that still count."""
    small, large = (RateLimiter("x", SlidingWindow(limit, period=10.0), storage) for limit in (3, 6))
    for _ in range(2):
        small.try_acquire()
        storage.clock.advance(1.0)
    assert large.try_acquire(cost=3).remaining == 1
    assert small.try_acquire() == Decision(allowed=False, retry_after=10.0, remaining=0)
    storage.clock.advance(8.0)
    assert large.try_acquire(cost=2).remaining == 0
    storage.clock.advance(2.0)
    assert large.try_acquire().remaining == 3


def test_a_daily_quota_starts_afresh_at_midnight(storage: Storage) -> None:
    """A day's quota ends with the day of its time zone, not of UTC."""
    _midnight(storage, 2030, 1, 15, 20)
    limiter = RateLimiter("x", Quota(limit=2, every="day", zone="Europe/Berlin"), storage)
    assert [limiter.try_acquire().allowed for _ in range(3)] == [True, True, False]
    assert limiter.try_acquire().retry_after == 3 * 3600.0
    storage.clock.advance(3 * 3600.0)
    assert limiter.try_acquire().remaining == 1


def test_a_monthly_quota_lasts_its_month(storage: Storage) -> None:
    """A month has as many days as it has."""
    _midnight(storage, 2032, 2, 27)
    limiter = RateLimiter("x", Quota(limit=1, every="month"), storage)
    assert limiter.try_acquire()
    assert limiter.try_acquire().retry_after == 3 * 86400.0
    _midnight(storage, 2032, 3, 1)
    assert limiter.try_acquire()
    assert limiter.try_acquire().retry_after == 31 * 86400.0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2030, 3, 31), 23),
        ("Europe/Berlin", (2030, 10, 27), 25),
        ("Asia/Kathmandu", (2030, 10, 27), 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(
    storage: Storage, zone: str, day: tuple[int, int, int], hours: int
) -> None:
    """A day on which the clocks change has 23 or 25 hours."""
    year, month, number = day
    _midnight(storage, year, month, number - 1, 12)
    limiter = RateLimiter("x", Quota(limit=1, every="day", zone=zone), storage)
    _, this_day, the_next = limiter.reserve(3)
    assert the_next.at - this_day.at == hours * 3600.0


def test_a_reservation_may_reach_over_several_quotas(storage: Storage) -> None:
    """What does not fit into a day goes to the days that follow, each with its own quota."""
    _midnight(storage, 2030, 1, 15)
    limiter = RateLimiter("x", Quota(limit=2, every="day"), storage)
    assert [permit.delay / 86400 for permit in limiter.reserve(5)] == [0, 0, 1, 1, 2]
    assert limiter.try_acquire().retry_after == 2 * 86400.0


def test_several_limits_agree_or_none_gives(storage: Storage) -> None:
    """All limits give a permit, or none loses one, and the wait is that of the slowest."""
    each = RateLimiter("key", Rate(limit=1, period=1.0, burst=3), storage)
    total = RateLimiter("all", SlidingWindow(limit=2, period=10.0), storage)
    day = RateLimiter("day", Quota(limit=100, every="day"), storage)
    together = all_of(each, total, day)
    assert [together.try_acquire() for _ in range(3)] == [(True, 0.0, 1), (True, 0.0, 0), (False, 10.0, 0)]
    assert each.try_acquire().remaining == 0, "the third attempt took nothing of the key's three"
    assert day.try_acquire().remaining == 97
    assert together.acquire(timeout=20.0)
    assert storage.clock.slept == [10.0]


def test_several_limits_reserve_as_one(storage: Storage) -> None:
    """A batch over two limits keeps to both."""
    fast = RateLimiter("fast", Rate(limit=10, period=1.0), storage)
    slow = RateLimiter("slow", SlidingWindow(limit=2, period=1.0), storage)
    delays = [permit.delay for permit in all_of(fast, slow).reserve(5)]
    assert delays == pytest.approx([0.0, 0.1, 1.0, 1.1, 2.0])


def test_rotation_takes_the_key_with_most_left(storage: Storage) -> None:
    """Of several keys the fullest is used, and when all are empty, the one that is free first."""
    keys = [RateLimiter(name, SlidingWindow(limit, period=10.0), storage) for name, limit in [("a", 1), ("b", 3)]]
    rotation = KeyRotation(keys)
    assert [rotation.try_acquire().name for _ in range(4)] == ["b", "b", "a", "b"]
    choice = rotation.try_acquire()
    assert not choice
    assert choice.decision.retry_after == 10.0
    storage.clock.advance(4.0)
    assert rotation.acquire(timeout=10.0).name in {"a", "b"}
    assert storage.clock.slept == [6.0]


def test_rotation_in_coroutines(storage: Storage) -> None:
    """The asynchronous twins rotate too, and time out too."""
    rotation = KeyRotation([RateLimiter(name, Rate(1, 60.0), storage) for name in "ab"])

    async def ask() -> list[str]:
        names = [(await rotation.acquire_async(timeout=1.0)).name, (await rotation.try_acquire_async()).name]
        with pytest.raises(RateLimitedError, match=r"limiter 'a \| b' has no permit within 1 s"):
            await rotation.acquire_async(timeout=1.0)
        return names

    assert asyncio.run(ask()) == ["a", "b"]


def test_a_server_that_says_wait_is_obeyed(limiter: RateLimiter, storage: Storage) -> None:
    """After `Retry-After` nobody gets a permit before, and then as usual."""
    said = limiter.adopt({"Retry-After": "7"})
    assert said is not None
    assert said.retry_after == 7.0
    assert limiter.try_acquire() == Decision(allowed=False, retry_after=7.0, remaining=0)
    storage.clock.advance(7.0)
    assert limiter.try_acquire(cost=5)


def test_a_shorter_word_does_not_undo_a_longer_one(limiter: RateLimiter) -> None:
    """Answers that overtake one another never shorten a wait."""
    limiter.adopt({"Retry-After": "7"})
    limiter.adopt({"Retry-After": "2"})
    assert limiter.try_acquire().retry_after == 7.0


def test_what_a_server_still_takes_is_counted_down(limiter: RateLimiter, storage: Storage) -> None:
    """Two calls left for thirty seconds: two permits, then none until they are renewed."""
    limiter.adopt({"RateLimit": '"default";r=2;t=30'})
    assert [limiter.try_acquire().allowed for _ in range(3)] == [True, True, False]
    assert limiter.try_acquire().retry_after == 30.0
    storage.clock.advance(30.0)
    assert limiter.try_acquire()


def test_calls_under_way_are_not_counted_twice(limiter: RateLimiter) -> None:
    """An answer that left the server before the last calls came in does not give their permits back."""
    limiter.adopt({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "30"})
    limiter.try_acquire(cost=2)
    limiter.adopt({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "30"})
    assert limiter.try_acquire().allowed
    assert not limiter.try_acquire().allowed


def test_a_new_window_of_the_servers_is_taken_over(limiter: RateLimiter, storage: Storage) -> None:
    """When the server's count was renewed, the old one holds nobody back any more."""
    limiter.adopt({"RateLimit": '"default";r=1;t=10'})
    assert limiter.try_acquire()
    storage.clock.advance(9.5)
    limiter.adopt({"RateLimit": '"default";r=100;t=60'})
    assert limiter.try_acquire(cost=4)


def test_nothing_left_means_wait(limiter: RateLimiter) -> None:
    """A server that takes no more until its reset is not asked before."""
    asyncio.run(limiter.adopt_async({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}))
    assert limiter.try_acquire().retry_after == 12.0


def test_a_servers_word_is_kept_for_a_day_at_most(limiter: RateLimiter) -> None:
    """A server that says a month is asked again tomorrow."""
    limiter.adopt({"Retry-After": str(30 * 86400)})
    assert limiter.try_acquire().retry_after == 86400.0


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"X-RateLimit-Limit": "60"}, {"RateLimit": "💥"}])
def test_headers_without_a_limit_change_nothing(limiter: RateLimiter, headers: dict[str, str]) -> None:
    """Garbage, and headers that say nothing, are passed over."""
    limiter.adopt(headers)
    assert limiter.try_acquire(cost=5)


def test_a_clock_that_was_set_back_gives_no_permit_twice(limiter: RateLimiter, storage: Storage) -> None:
    """Time that goes backwards brings no permit; the limit goes on when the clock has caught up."""
    limiter.try_acquire(cost=5)
    storage.clock.step(-5.0)
    assert not limiter.try_acquire()
    storage.clock.advance(5.0)
    assert not limiter.try_acquire(cost=5)
