"""A storage of one's own: state in a file, shared by the processes of one host. It is short, and in no hurry."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import time
from typing import TYPE_CHECKING, Any

from backpressure.clock import Clock, SystemClock
from backpressure.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backpressure.storage import Argument, Operation, Result

PAUSE = 0.001


class FileStorage:
    """Applies an operation's transition to the records of a file, while it holds a lock."""

    def __init__(self, path: Path, timeout: float = 5.0, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._path = path
        self._timeout = timeout

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation."""
        with self._locked(self._timeout if timeout is None else timeout):
            last, records = self._read()
            now = max(last, self.clock.now_ns())  # read while the lock is held, and never before a record's last change
            names = [(operation.feature.name, key) for key in keys]
            found = [records.pop(name, (None, 0)) for name in names]
            states = tuple(state if ends > now else None for state, ends in found)
            outcome = operation.transition(states, now, *arguments)
            for name, state in zip(names, outcome.states, strict=True):
                records[name] = (state, now + outcome.keep_ns)
            self._write((now, {name: each for name, each in records.items() if each[0] is not None and each[1] > now}))
        return outcome.result

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; it waits for nothing but a lock that is held for an instant."""
        return self.run(operation, keys, *arguments, timeout=timeout)

    def close(self) -> None:
        """Nothing is held between operations."""

    def _read(self) -> tuple[int, dict[tuple[str, str], tuple[Any, int]]]:
        if not self._path.exists():
            return 0, {}
        found: tuple[int, dict[tuple[str, str], tuple[Any, int]]] = pickle.loads(self._path.read_bytes())  # noqa: S301 - its own
        return found

    def _write(self, state: Any) -> None:
        # Whoever is killed leaves the old file or the new one.
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_bytes(pickle.dumps(state))
        new.replace(self._path)

    @contextlib.contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        """Hold the lock, which the system takes from whoever dies."""
        descriptor = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + timeout
        try:
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise StorageUnavailableError(f"{self._path} was locked for {timeout:g} s")
                time.sleep(PAUSE)
            yield
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
