"""A third party's storage, which knows the protocol and nothing else of this package, does for every part of it."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Any

import pytest
from backpressure import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    Quota,
    Rate,
    RateLimiter,
    SlidingWindow,
    all_of,
)
from backpressure.adaptive import AIMD, AdaptiveLimit
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.retry import RetryBudget
from backpressure.shedding import ShedLog
from backpressure.storage import MemoryStorage, Storage
from support.file_storage import FileStorage
from support.processes import workers

if TYPE_CHECKING:
    from pathlib import Path

PERMITS = 6


def history(storage: Storage) -> list[Any]:
    """What every part answers, step by step."""
    clock = storage.clock
    assert isinstance(clock, ManualClock)
    told: list[Any] = []
    rate = RateLimiter("x", Rate(2, 1.0, burst=2), storage)
    both = all_of(RateLimiter("x", SlidingWindow(3, 1.0), storage), RateLimiter("x", Quota(5, "day"), storage))
    breaker = CircuitBreaker("x", storage, failure_threshold=2, open_for=3.0)
    bulkhead = Bulkhead("x", 1, storage, lease=2.0)
    learned = AdaptiveLimit("x", storage, algorithm=AIMD(initial=10), window=1.0)
    budget = RetryBudget("x", storage, ratio=0.5, capacity=2)
    log = ShedLog("x", storage)
    for step in range(12):
        told += [rate.try_acquire(), both.try_acquire(), rate.reserve(1)[0].delay, bool(budget.try_spend())]
        learned.record(0.1, dropped=step == 4)
        told += [learned.limit, breaker.state, bulkhead.try_acquire() is None, bulkhead.count()]
        try:
            breaker.call(int, "one" if step < 4 else "1")
        except ValueError as error:
            told.append(str(error))
        except CircuitOpenError as refusal:
            told.append(refusal.retry_after)
        log.record(f"order {step // 2}", {"step": step}, priority=step % 3, reason="late")
        clock.advance(0.4 if step % 3 else 0.9)
    log.replay(lambda item: told.append((item.key, item.payload)))
    return told


def test_it_answers_like_the_packages_own(tmp_path: Path) -> None:
    """The same calls under the same clock get the same answers from memory and from the file."""
    told = history(FileStorage(tmp_path / "state", clock=ManualClock()))
    assert told == history(MemoryStorage(ManualClock()))
    assert {"closed", "open", "half_open"} <= {each for each in told if isinstance(each, str)}


def test_processes_share_it(tmp_path: Path) -> None:
    """Four processes that ask ten times each for one of six permits get six together."""
    limit = ["rate", {"limit": 1, "period": 3600.0, "burst": PERMITS}]
    with workers(4, "take_times", file=str(tmp_path / "state"), limit=limit, times=10) as crowd:
        assert sum(crowd.run()) == PERMITS


def test_a_storage_that_is_stuck_is_what_the_limiter_says_it_is(tmp_path: Path) -> None:
    """Its typed error reaches the caller within its timeout, or the call passes where that was chosen."""
    storage = FileStorage(tmp_path / "state", timeout=0.05)
    limiter = RateLimiter("x", Rate(1, 1.0), storage)
    assert limiter.try_acquire()
    with (tmp_path / "state.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StorageUnavailableError, match=r"was locked for 0\.05 s"):
            limiter.try_acquire()
        assert RateLimiter("x", Rate(1, 1.0), storage, fail_open=True).try_acquire()


def test_whoever_is_killed_leaves_it_whole(tmp_path: Path) -> None:
    """Processes killed in the middle of asking leave no lock, and every other limit as it was."""
    limiter = RateLimiter("other", Rate(1, 3600.0, burst=200), FileStorage(tmp_path / "state", timeout=30.0))
    limit = ["rate", {"limit": 1000, "period": 1.0, "burst": 1}]
    with workers(2, "take_for", file=str(tmp_path / "state"), limit=limit, seconds=60.0) as crowd:
        crowd.start()
        granted = sum(limiter.try_acquire().allowed for _ in range(100))
        for worker in crowd.workers:
            worker.kill()
    granted += sum(limiter.try_acquire().allowed for _ in range(101))
    assert granted == 200
