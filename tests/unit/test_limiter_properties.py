"""What limiters hold for every sequence of calls: shown on the pure transitions, against models that just count."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from backpressure import Rate, RateLimiter, SlidingWindow
from backpressure.clock import ManualClock
from backpressure.storage import MemoryStorage
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

rates = st.builds(
    Rate,
    limit=st.one_of(st.integers(1, 1000), st.floats(0.01, 1000.0)),
    period=st.sampled_from([0.1, 0.3, 1.0, 7.0, 60.0]),
    burst=st.integers(1, 8),
)
pauses = st.lists(st.one_of(st.just(0), st.integers(0, 10**9), st.integers(0, 10**11)), min_size=1, max_size=60)


def _starts(limiter: RateLimiter, clock: ManualClock, pauses: list[int], costs: list[int]) -> list[tuple[int, int]]:
    """Instants and costs of the calls that were let through."""
    granted = []
    for pause, cost in zip(pauses, costs * len(pauses), strict=False):
        clock.advance_ns(pause)
        if limiter.try_acquire(cost):
            granted.append((clock.now_ns(), cost))
    return granted


@given(rate=rates, pauses=pauses, data=st.data())
def test_no_stretch_of_time_gets_more_than_the_rate_and_the_burst(
    rate: Rate, pauses: list[int], data: st.DataObject
) -> None:
    """Between any two permits, at most `limit / period * time + burst` were given, to the last nanosecond."""
    costs = data.draw(st.lists(st.integers(1, rate.burst), min_size=1, max_size=5))
    clock = ManualClock()
    granted = _starts(RateLimiter("x", rate, MemoryStorage(clock)), clock, pauses, costs)
    per_ns = Fraction(rate.limit) / (Fraction(rate.period) * 10**9)
    for first, (start, _) in enumerate(granted):
        total = 0
        for end, cost in granted[first:]:
            total += cost
            assert total <= per_ns * (end - start) + rate.burst


@given(rate=rates, pauses=pauses)
def test_no_window_of_one_period_gets_more_than_limit_and_burst(rate: Rate, pauses: list[int]) -> None:
    """Wherever a window of one period begins, it holds at most `limit + burst` permits."""
    clock = ManualClock()
    granted = _starts(RateLimiter("x", rate, MemoryStorage(clock)), clock, pauses, [1])
    period = int(rate.period * 1e9)
    for start, _ in granted:
        assert sum(start <= at < start + period for at, _ in granted) <= rate.limit + rate.burst


@given(rate=rates, count=st.integers(1, 300))
def test_a_rate_loses_no_permit(rate: Rate, count: int) -> None:
    """Callers that always wait get the rate, short by less than 0.1 % for rounding, and never above it."""
    delays = [permit.delay for permit in RateLimiter("x", rate, MemoryStorage(ManualClock())).reserve(count)]
    ideal = max(0.0, (count - rate.burst) * rate.period / rate.limit)
    assert ideal <= delays[-1] * (1 + 1e-12) + 1e-9
    assert delays[-1] <= ideal * 1.001 + 1e-6
    assert all(first <= second for first, second in pairwise(delays))


@given(limit=st.integers(1, 6), pauses=pauses, period=st.sampled_from([0.5, 1.0, 10.0]), data=st.data())
def test_a_window_is_exact(limit: int, pauses: list[int], period: float, data: st.DataObject) -> None:
    """A call passes if and only if those of the last period leave room for it."""
    costs = data.draw(st.lists(st.integers(1, limit), min_size=1, max_size=5))
    clock = ManualClock()
    limiter = RateLimiter("x", SlidingWindow(limit, period), MemoryStorage(clock))
    log: list[tuple[int, int]] = []
    for pause, cost in zip(pauses, costs * len(pauses), strict=False):
        clock.advance_ns(pause)
        used = sum(each for at, each in log if at > clock.now_ns() - int(period * 1e9))
        decision = limiter.try_acquire(cost)
        assert decision.allowed == (used + cost <= limit)
        if decision:
            log.append((clock.now_ns(), cost))
        assert decision.remaining == limit - used - cost * decision.allowed


@given(rate=rates, pauses=pauses)
def test_a_serial_caller_that_waits_as_told_is_never_refused(rate: Rate, pauses: list[int]) -> None:
    """Alone, coming back after `retry_after` always succeeds."""
    clock = ManualClock()
    limiter = RateLimiter("x", rate, MemoryStorage(clock))
    for pause in pauses:
        clock.advance_ns(pause)
        decision = limiter.try_acquire()
        if not decision:
            clock.advance(decision.retry_after)
            assert limiter.try_acquire()


class TokenBucket(RuleBasedStateMachine):
    """A rate against a bucket of exact fractions that is filled as time passes."""

    @initialize(limit=st.integers(1, 50), period=st.sampled_from([1.0, 3.0, 60.0]), burst=st.integers(1, 6))
    def make(self, limit: int, period: float, burst: int) -> None:
        """Start with a full bucket."""
        self.clock = ManualClock()
        self.rate = Rate(limit, period, burst)
        self.limiter = RateLimiter("x", self.rate, MemoryStorage(self.clock))
        self.interval = self.rate.spec.period
        self.tokens = Fraction(burst)

    @rule(pause=st.one_of(st.integers(0, 10**10), st.integers(0, 10**8)))
    def advance(self, pause: int) -> None:
        """Time fills the bucket, and no further than its brim."""
        self.clock.advance_ns(pause)
        self.tokens = min(Fraction(self.rate.burst), self.tokens + Fraction(pause, self.interval))

    @rule(cost=st.integers(1, 6))
    def ask(self, cost: int) -> None:
        """A permit is given when the bucket holds as much."""
        assume(cost <= self.rate.burst)
        decision = self.limiter.try_acquire(cost)
        assert decision.allowed == (self.tokens >= cost)
        if decision:
            self.tokens -= cost
        else:
            assert decision.retry_after == pytest.approx(float((cost - self.tokens) * self.interval) / 1e9)

    @rule(cost=st.integers(1, 6))
    def wait(self, cost: int) -> None:
        """A waiting call takes from the bucket now what time will bring."""
        assume(cost <= self.rate.burst)
        (permit,) = self.limiter.reserve(1, cost)
        assert permit.delay == pytest.approx(float(max(0, cost - self.tokens) * self.interval) / 1e9)
        self.tokens -= cost

    @precondition(lambda self: hasattr(self, "tokens"))
    @invariant()
    def the_rest_agrees(self) -> None:
        """What is left is what a look would find; asking for what is not there changes nothing."""
        if self.tokens < 1:
            assert self.limiter.try_acquire().remaining == 0


TokenBucket.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestTokenBucket = TokenBucket.TestCase
