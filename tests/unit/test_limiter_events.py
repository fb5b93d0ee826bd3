"""What limiters tell their listeners, and what they do while the storage is away."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from backpressure import KeyRotation, Rate, RateLimitedError, RateLimiter, SlidingWindow, StorageError, all_of
from backpressure.clock import ManualClock
from backpressure.errors import StorageAccessError, StorageUnavailableError
from backpressure.events import Event, FailedOpen, PermitGranted, PermitRefused, ServerLimitAdopted, publish
from backpressure.storage import MemoryStorage


class Away(MemoryStorage):
    """A storage that answers every operation with an error."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(ManualClock())
        self.error = error
        self.timeouts: list[float | None] = []

    def run(self, *_arguments: Any, timeout: float | None = None) -> Any:
        """Fail."""
        self.timeouts.append(timeout)
        raise self.error


AWAY = StorageUnavailableError("away")


def test_grants_and_refusals_are_told() -> None:
    """Each decision reaches the listeners with name, cost and time."""
    heard: list[Event] = []
    storage = MemoryStorage(ManualClock())
    limiter = RateLimiter("x", Rate(1, 10.0, burst=2), storage, listeners=[heard.append])
    limiter.try_acquire(cost=2)
    limiter.try_acquire()
    limiter.acquire(timeout=20.0)
    with pytest.raises(RateLimitedError):
        limiter.acquire(timeout=1.0)
    limiter.adopt({"Retry-After": "30"})
    limiter.adopt({"RateLimit": '"d";r=4;t=60'})
    assert heard == [
        PermitGranted("x", cost=2, delay=0.0),
        PermitRefused("x", cost=1, retry_after=10.0),
        PermitGranted("x", cost=1, delay=10.0),
        PermitRefused("x", cost=1, retry_after=10.0),
        ServerLimitAdopted("x", remaining=None, reset=30.0),
        ServerLimitAdopted("x", remaining=4, reset=60.0),
    ]


def test_limits_asked_as_one_tell_one_event() -> None:
    """Several limits and several keys speak under their common name."""
    heard: list[Event] = []
    storage = MemoryStorage(ManualClock())
    limiters = [RateLimiter(name, SlidingWindow(1, 10.0), storage) for name in "ab"]
    all_of(*limiters).try_acquire()
    both = type(all_of(*limiters))(limiters, listeners=[heard.append])
    both.try_acquire()
    KeyRotation(limiters, listeners=[heard.append]).try_acquire()
    assert heard == [PermitRefused("a + b", 1, 10.0), PermitRefused("a | b", 1, 10.0)]


def test_a_listener_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged with the event, the others hear it, and the decision stands."""
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError(event.name)

    with caplog.at_level(logging.ERROR):
        publish([fail, heard.append], Event("x"))
    assert heard == [Event("x")]
    assert "failed on Event(name='x')" in caplog.text


def test_without_its_storage_a_limiter_lets_nobody_through() -> None:
    """By default no call passes without a permit: the typed error reaches the caller."""
    limiter = RateLimiter("x", Rate(1, 1.0), Away(AWAY))
    for ask in (limiter.try_acquire, limiter.acquire, limiter.reset, lambda: limiter.reserve(1)):
        with pytest.raises(StorageUnavailableError):
            ask()
    with pytest.raises(StorageUnavailableError):
        asyncio.run(limiter.try_acquire_async())


def test_storage_and_permit_have_the_timeout_each() -> None:
    """A permit is taken if it comes in time from the storage's answer on, however much of it the storage took."""

    class Slow(MemoryStorage):
        def run(self, *arguments: Any, **options: Any) -> Any:
            self.clock.sleep(8.0)
            return super().run(*arguments, **options)

    clock = ManualClock()
    limiter = RateLimiter("x", Rate(1, 17.0), Slow(clock))
    began = clock.monotonic_ns()
    limiter.acquire(timeout=10.0)
    limiter.acquire(timeout=10.0)
    assert (clock.monotonic_ns() - began) / 1e9 == pytest.approx(8.0 + 17.0)
    with pytest.raises(RateLimitedError):
        limiter.acquire(timeout=8.0)


def test_a_response_is_not_lost_to_a_storage_that_went_away() -> None:
    """What a server says can't be adopted without a storage: told to fail open that is an event, else an error."""
    heard: list[Event] = []
    limiter = RateLimiter("x", Rate(1, 10.0), Away(AWAY), fail_open=True, listeners=[heard.append])
    said = limiter.adopt({"Retry-After": "30"})
    assert said is not None
    assert said.retry_after == 30
    assert asyncio.run(limiter.adopt_async({"Retry-After": "30"})) == said
    assert heard == [FailedOpen("x", AWAY)] * 2
    strict = RateLimiter("x", Rate(1, 10.0), Away(AWAY), listeners=[heard.append])
    with pytest.raises(StorageUnavailableError):
        strict.adopt({"Retry-After": "30"})
    with pytest.raises(StorageAccessError):
        RateLimiter("x", Rate(1, 10.0), Away(StorageAccessError("no")), fail_open=True).adopt({"Retry-After": "30"})
    assert len(heard) == 2


def test_told_to_fail_open_it_lets_everybody_through() -> None:
    """With `fail_open` every call passes while the storage is away, and listeners hear of each."""
    heard: list[Event] = []
    storage = Away(AWAY)
    limiter = RateLimiter("x", Rate(1, 1.0), storage, fail_open=True, listeners=[heard.append])
    assert limiter.try_acquire()
    assert limiter.acquire(timeout=1.0)
    assert [permit.delay for permit in limiter.reserve(3)] == [0.0] * 3
    assert asyncio.run(limiter.try_acquire_async())
    assert heard.count(FailedOpen("x", AWAY)) == 4
    rotation = KeyRotation([RateLimiter(name, Rate(1, 1.0), storage) for name in "ab"], fail_open=True)
    assert (bool(rotation.try_acquire()), rotation.try_acquire().name) == (True, "a")


def test_failing_open_forgives_absence_only() -> None:
    """A wrong password is an error to be mended, and no reason to call without a limit."""
    limiter = RateLimiter("x", Rate(1, 1.0), Away(StorageAccessError("wrong password")), fail_open=True)
    with pytest.raises(StorageAccessError):
        limiter.try_acquire()


def test_the_storage_gets_no_longer_than_the_caller_has() -> None:
    """A waiting call's timeout bounds the storage too; one that does not wait leaves the storage its own."""
    storage = Away(AWAY)
    limiter = RateLimiter("x", Rate(1, 1.0), storage, fail_open=True)
    for timeout in (30.0, 0.01, 0.0, None):
        limiter.acquire(timeout=timeout)
    limiter.try_acquire()
    assert storage.timeouts == [30.0, 0.1, None, None, None]
