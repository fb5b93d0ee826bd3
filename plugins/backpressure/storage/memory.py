"""State in the process's own memory, shared by its threads and event loops."""

import os
import threading
import weakref
from typing import Any

from backpressure.clock import NANOSECONDS, Clock, SystemClock
from backpressure.storage.protocol import Argument, Operation, Result

__all__ = ["MemoryStorage"]

_SWEPT_PER_OPERATION = 2
SET_BACK_NS = 60 * NANOSECONDS
"""A clock set back by less is waited for; one set back by more was wrong before."""

_storages: weakref.WeakSet["MemoryStorage"] = weakref.WeakSet()


def _unlock_after_fork() -> None:
    # Another thread of the parent may have held a lock at the fork; that thread is not there to release it.
    for storage in _storages:
        storage._lock = threading.Lock()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_after_fork)


class MemoryStorage:
    """Applies every operation's transition under one lock.

    Args:
        clock: tells the storage's time; `ManualClock` in tests.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._now = 0
        self._offset = 0
        self._records: dict[tuple[str, str], tuple[Any, int]] = {}
        self._sweep: list[tuple[str, str]] = []
        _storages.add(self)

    def __len__(self) -> int:
        """Number of records held, expired ones that were not swept yet included."""
        return len(self._records)

    def run(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ARG002 - part of the protocol; memory answers at once
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        feature = operation.feature.name
        with self._lock:
            now = self._tell_time()
            states = tuple(self._state((feature, key), now) for key in keys)
            outcome = operation.transition(states, now, *arguments)
            for key, state in zip(keys, outcome.states, strict=True):
                if state is None:
                    self._records.pop((feature, key), None)
                else:
                    self._records[feature, key] = (state, now + outcome.keep_ns)
            self._drop_expired(now)
        return outcome.result

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; see `Storage.run_async`."""
        return self.run(operation, keys, *arguments, timeout=timeout)

    def close(self) -> None:
        """Forget nothing: there is nothing to release."""

    def _tell_time(self) -> int:
        """The storage's time never goes back: after a small step it stands still, after a large one it goes on."""
        now = self.clock.now_ns() + self._offset
        if self._now - now >= SET_BACK_NS:
            self._offset += self._now - now
            now = self._now
        self._now = max(self._now, now)
        return self._now

    def _state(self, record: tuple[str, str], now: int) -> Any:
        state, expires = self._records.get(record, (None, 0))
        return state if expires > now else None

    def _drop_expired(self, now: int) -> None:
        # Two records looked at for each operation, which makes one at most: the sweep always catches up.
        for _ in range(_SWEPT_PER_OPERATION):
            if not self._sweep:
                self._sweep = list(self._records)
            if self._sweep:
                record = self._sweep.pop()
                if self._records.get(record, (None, now + 1))[1] <= now:
                    del self._records[record]
