"""A server whose clock was wrong and is set back by an hour: limits hold, and nobody waits for the hour again."""

from __future__ import annotations

import pytest
from backpressure import Bulkhead, CircuitBreaker, CircuitOpenError, Quota, Rate, RateLimiter, SlidingWindow, all_of
from backpressure.adaptive import AIMD, AcceptanceThrottle, AdaptiveLimit
from backpressure.clock import ManualClock
from backpressure.retry.budget import RetryBudget
from backpressure.shedding import CoDelShedder
from backpressure.storage import Storage

HOUR = 3600.0


def clock(storage: Storage) -> ManualClock:
    """The storage's clock, which tests move."""
    assert isinstance(storage.clock, ManualClock)
    return storage.clock


@pytest.mark.parametrize("rate", [Rate(1, 10.0, 2), SlidingWindow(2, 20.0)], ids=["rate", "window"])
def test_a_limit_goes_on_from_where_it_stood(storage: Storage, rate: Rate | SlidingWindow) -> None:
    """No permit is won by the step, and the next one comes when the refusal says."""
    limiter = RateLimiter("x", rate, storage)
    assert [bool(limiter.try_acquire()) for _ in range(3)] == [True, True, False]
    clock(storage).step(-HOUR)
    refusal = limiter.try_acquire()
    assert not refusal
    assert refusal.retry_after <= 20.0
    clock(storage).advance(refusal.retry_after)
    assert limiter.try_acquire()
    assert not limiter.try_acquire(cost=2)


def test_waits_do_not_pile_up(storage: Storage) -> None:
    """Who reserves starts while permits are there is not put behind an hour that has been before."""
    limiter = RateLimiter("x", Rate(1, 1.0, 1), storage)
    limiter.try_acquire()
    clock(storage).step(-HOUR)
    assert not limiter.try_acquire()
    for _ in range(3):
        clock(storage).advance(5.0)
        assert limiter.reserve(1)[0].delay == 0.0


def test_several_limits_go_on_together(storage: Storage) -> None:
    """All or nothing holds across the step, too."""
    rate, window = RateLimiter("r", Rate(1, 10.0), storage), RateLimiter("w", SlidingWindow(5, 60.0), storage)
    both = all_of(rate, window)
    assert both.try_acquire()
    clock(storage).step(-HOUR)
    assert not both.try_acquire()
    clock(storage).advance(10.0)
    assert both.try_acquire()
    assert window.try_acquire().remaining == 2


def test_a_servers_word_moves_with_the_clock(storage: Storage) -> None:
    """`Retry-After: 30` is over after thirty seconds, whatever the clock was."""
    limiter = RateLimiter("x", Rate(100, 1.0, 10), storage)
    limiter.try_acquire()
    limiter.adopt({"Retry-After": "30"})
    clock(storage).step(-HOUR)
    assert limiter.try_acquire().retry_after == pytest.approx(30.0)
    limiter.adopt({"Retry-After": "30"})
    clock(storage).advance(30.0)
    assert limiter.try_acquire()


def test_a_quota_spent_in_the_future_counts_today(storage: Storage) -> None:
    """What was used in a day that has not come yet is used; the next day is fresh."""
    limiter = RateLimiter("x", Quota(2, "day"), storage)
    assert [bool(limiter.try_acquire()) for _ in range(2)] == [True, True]
    clock(storage).step(-5 * 86400.0)
    assert not limiter.try_acquire()
    clock(storage).advance(86400.0)
    assert limiter.try_acquire()


def test_a_breaker_stays_open_for_its_time(storage: Storage) -> None:
    """An open breaker stays open for the rest of its open time, and not for the hour."""
    breaker = CircuitBreaker("x", storage, failure_threshold=1, open_for=30.0)
    with pytest.raises(OSError, match="down"), breaker:
        raise OSError("down")
    clock(storage).step(-HOUR)
    with pytest.raises(CircuitOpenError) as refusal, breaker:
        pass
    assert refusal.value.retry_after == pytest.approx(30.0)
    clock(storage).advance(30.0)
    with breaker:
        assert breaker.snapshot().probes == 1
    assert breaker.state == "closed"


def test_failures_before_the_step_grow_old(storage: Storage) -> None:
    """The window goes on sliding: what failed before the step counts for one window more, and no longer."""
    breaker = CircuitBreaker("x", storage, failure_threshold=2, window=60.0, failure_rate=0.9, minimum_calls=3)
    for pause in (0.0, 61.0):
        with pytest.raises(OSError, match="down"), breaker:
            raise OSError("down")
        clock(storage).step(-HOUR)
        breaker.call(int)
        clock(storage).advance(pause + 61.0)
        assert breaker.state == "closed"
    snapshot = breaker.snapshot()
    assert (snapshot.failures, snapshot.calls) == (0, 0)


def test_a_lease_ends_when_it_should(storage: Storage) -> None:
    """A killed holder's permit comes back after its lease, by the time that really passed."""
    bulkhead = Bulkhead("x", 1, storage, lease=10.0)
    assert bulkhead.try_acquire() is not None
    clock(storage).step(-HOUR)
    assert bulkhead.try_acquire() is None
    clock(storage).advance(10.0)
    assert bulkhead.try_acquire() is not None


def test_what_only_learns_goes_on_learning(storage: Storage) -> None:
    """Adaptive limit, throttle, CoDel and retry budget work on; the budget grants nothing for the step."""
    limit = AdaptiveLimit("x", storage, algorithm=AIMD(initial=10), window=1.0)
    throttle = AcceptanceThrottle("x", storage, window=10.0, draw=lambda: 0.99)
    shedder = CoDelShedder("x", storage, interval=1.0)
    budget = RetryBudget("x", storage, capacity=1, refill=0.1)
    limit.record(0.1)
    throttle.ask()
    shedder.taken(5.0, 3)
    assert budget.try_spend()
    clock(storage).step(-HOUR)
    assert not budget.try_spend()
    clock(storage).advance(1.5)
    throttle.ask()
    verdicts = []
    for _ in range(3):
        limit.record(0.1, dropped=True)
        verdicts.append(shedder.taken(5.0, 3))
        clock(storage).advance(1.5)
    assert limit.limit < 10
    assert True in verdicts
    clock(storage).advance(10.0)
    assert budget.try_spend()
