"""What every limiter promises, on every storage."""

from backpressure import Decision, Rate, RateLimiter


def test_a_rate_gives_its_burst_then_one_permit_an_interval(storage):
    """After a pause the burst is there at once, then permits come evenly."""
    limiter = RateLimiter("x", Rate(limit=10, period=1.0, burst=3), storage)
    assert [limiter.try_acquire() for _ in range(4)] == [(True, 0.0, 2), (True, 0, 1), (True, 0, 0), (False, 0.1, 0)]
    storage.clock.advance(0.1)
    assert limiter.try_acquire() == Decision(allowed=True, retry_after=0.0, remaining=0)
