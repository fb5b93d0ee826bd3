"""Bad limits, names and costs are refused where they are written down, each named with its value."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from backpressure import KeyRotation, Quota, Rate, RateLimiter, SlidingWindow, all_of
from backpressure.clock import ManualClock
from backpressure.errors import BackpressureError, BulkheadFullError, RateLimitedError, RejectedError
from backpressure.limiter.rate import LONGEST_NAME
from backpressure.retry import RetryBudget
from backpressure.storage import MemoryStorage
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rate(0, 1.0), "limit must be a number above 0 and up to 1000000000, not 0"),
        (lambda: Rate(-1, 1.0), "limit must be a number above 0 .* not -1"),
        (lambda: Rate(NAN, 1.0), "limit must be a number above 0 .* not nan"),
        (lambda: Rate(INFINITE, 1.0), "limit must be a number above 0 .* not inf"),
        (lambda: Rate(limit=True, period=1.0), "limit must be a number above 0 .* not True"),
        (lambda: Rate("10", 1.0), "limit must be a number above 0 .* not '10'"),
        (lambda: Rate(None, 1.0), "limit must be a number above 0 .* not None"),
        (lambda: Rate(10**400, 1.0), "limit must be a number above 0 .* not 1000"),
        (lambda: RetryBudget("x", MemoryStorage(), capacity=10**400), "capacity must be a number from 1 .* not 1000"),
        (lambda: Rate(10**10, 1.0), "limit must be a number above 0 .* not 10000000000"),
        (lambda: Rate(10, 0), "period must be a number above 0 and up to 31622400 s, not 0"),
        (lambda: Rate(10, -1.0), "period must be a number above 0 .* not -1.0"),
        (lambda: Rate(10, NAN), "period must be a number above 0 .* not nan"),
        (lambda: Rate(10, INFINITE), "period must be a number above 0 .* not inf"),
        (lambda: Rate(10, 1e9), "period must be a number above 0 .* not 1000000000.0"),
        (lambda: Rate(10, 1.0, burst=0), "burst must be a whole number from 1 to 1000000000, not 0"),
        (lambda: Rate(10, 1.0, burst=1.5), "burst must be a whole number .* not 1.5"),
        (lambda: Rate(10, 1.0, burst=True), "burst must be a whole number .* not True"),
        (lambda: Rate(10**9, 1.0), "limit 1000000000 in period 1.0 s is above 1000000 a second: count in larger units"),
        (
            lambda: Rate(1, 86400.0, burst=10_000),
            "burst 10000 would take more than ten years to fill at 1 in 86400.0 s",
        ),
        (lambda: Rate(1e-300, 1.0), "burst 1 would take more than ten years to fill"),
        (lambda: SlidingWindow(0, 1.0), "limit must be a whole number from 1 to 100000, not 0"),
        (lambda: SlidingWindow(1.5, 1.0), "limit must be a whole number .* not 1.5"),
        (lambda: SlidingWindow(100_001, 1.0), "limit must be a whole number .* not 100001"),
        (lambda: SlidingWindow(10, NAN), "period must be a number above 0 .* not nan"),
        (lambda: Quota(0, "day"), "limit must be a whole number from 1 to 1000000000, not 0"),
        (lambda: Quota(1, "week"), "every must be 'day' or 'month', not 'week'"),
        (lambda: Quota(1, "day", zone="Mars/Olympus"), "zone must be the IANA name .* not 'Mars/Olympus'"),
        (lambda: Quota(1, "day", zone="../../etc/passwd"), "zone must be the IANA name"),
        (lambda: Quota(1, "day", zone=""), "zone must be the IANA name .* not ''"),
    ],
)
def test_bad_limits_are_refused(make: Callable[[], Any], message: str) -> None:
    """The error names the argument and its value, and for what is absurd, the remedy."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name must be text of 1 to 255 bytes in UTF-8, not ''"),
        (None, "name must be text .* not None"),
        (b"x", "name must be text .* not b'x'"),
        ("x" * 256, "name must have at most 255 bytes in UTF-8; 'xxxxxxxxxxxxxxxxxxxx'… has 256"),
        ("é" * 128, "name must have at most 255 bytes in UTF-8; .* has 256"),
        ("\ud800", "name must be Unicode text"),
    ],
)
def test_bad_names_are_refused(name: Any, message: str) -> None:
    """Names are text of bounded length in bytes."""
    with pytest.raises(ValueError, match=message):
        RateLimiter(name, Rate(1, 1.0), MemoryStorage())


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST_NAME // 4))
def test_any_unicode_is_a_name(name: str) -> None:
    """Control characters, emoji and right-to-left text included."""
    assert RateLimiter(name, Rate(1, 60.0), MemoryStorage()).try_acquire()


@pytest.mark.parametrize("cost", [0, -1, 1.5, NAN, True, "1", None])
def test_bad_costs_are_refused(cost: Any) -> None:
    """A cost is a whole number from 1, for every way of asking."""
    limiter = RateLimiter("x", Rate(10, 1.0, burst=5), MemoryStorage(ManualClock()))
    for ask in (limiter.try_acquire, limiter.acquire, lambda cost: limiter.reserve(1, cost)):
        with pytest.raises(ValueError, match="cost must be a whole number from 1, not"):
            ask(cost)
    assert limiter.try_acquire(cost=5)


def test_a_cost_that_can_never_be_granted_is_refused() -> None:
    """A cost above the burst, or above the smallest of several, is an error and not an endless wait."""
    storage = MemoryStorage(ManualClock())
    small = RateLimiter("small", Rate(10, 1.0, burst=2), storage)
    large = RateLimiter("large", SlidingWindow(10, 1.0), storage)
    for limiter in (small, all_of(large, small), KeyRotation([large, small])):
        with pytest.raises(ValueError, match="cost must not exceed the burst 2, or it could never be granted; it is 3"):
            limiter.acquire(cost=3)


@pytest.mark.parametrize("timeout", [1e300, 10**400, 3e6])
def test_an_absurd_timeout_is_a_long_one(timeout: float) -> None:
    """Whoever would wait for ever waits for its permit, in memory and as long as a storage can wait."""
    clock = ManualClock()
    limiter = RateLimiter("x", Rate(10, 1.0), MemoryStorage(clock))
    limiter.acquire()
    limiter.acquire(timeout=timeout)
    assert clock.slept == [pytest.approx(0.1)]


@pytest.mark.parametrize("timeout", [-1, NAN, INFINITE, True, "1"])
def test_bad_timeouts_are_refused(timeout: Any) -> None:
    """A timeout is a number of seconds from 0, or None."""
    limiter = RateLimiter("x", Rate(10, 1.0), MemoryStorage(ManualClock()))
    with pytest.raises(ValueError, match="timeout must be a number of seconds from 0, or None, not"):
        limiter.acquire(timeout=timeout)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, 10_001])
def test_bad_counts_are_refused(count: Any) -> None:
    """A batch has one to ten thousand calls."""
    limiter = RateLimiter("x", Rate(10, 1.0), MemoryStorage(ManualClock()))
    with pytest.raises(ValueError, match="count must be a whole number from 1 to 10000, not"):
        limiter.reserve(count)


def test_several_limits_need_one_storage_and_different_names() -> None:
    """Limits that could not be asked in one statement, or would be asked twice, are refused."""
    storage = MemoryStorage()
    limiter = RateLimiter("x", Rate(1, 1.0), storage)
    with pytest.raises(ValueError, match=r"limiters must share one storage object .* \['x', 'y'\] do not"):
        all_of(limiter, RateLimiter("y", Rate(1, 1.0), MemoryStorage()))
    with pytest.raises(ValueError, match=r"limiters must be one or more, each named once, not \['x', 'x'\]"):
        all_of(limiter, RateLimiter("x", Rate(5, 1.0), storage))
    for make in (all_of, lambda: KeyRotation([])):
        with pytest.raises(ValueError, match="limiters must be one or more, not none"):
            make()


@pytest.mark.parametrize("limit", [Rate(10, 1.0, 3), SlidingWindow(10, 1.0), Quota(10, "day", "Europe/Berlin")])
def test_limits_are_values(limit: Any) -> None:
    """A limit can be compared, hashed, shown and sent to another process; nobody can change it."""
    again = pickle.loads(pickle.dumps(limit))  # noqa: S301 - its own
    assert again == limit
    assert hash(again) == hash(limit)
    assert repr(limit).startswith(f"{type(limit).__name__}(limit=10")
    with pytest.raises(AttributeError):
        limit.limit = 11


@pytest.mark.parametrize("error", [RateLimitedError("why", 1.5), BulkheadFullError("why", 1.5)])
def test_refusals_travel_between_processes(error: RejectedError) -> None:
    """An error keeps its message and `retry_after` when it is pickled."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    assert (str(again), again.retry_after, type(again)) == ("why", 1.5, type(error))
    assert isinstance(again, BackpressureError)
