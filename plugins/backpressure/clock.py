"""Clocks: what time it is, and how to wait.

Only the storage's clock decides anything. A clock on the client is used to wait and to measure how long something took.
"""

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "seconds"]

NANOSECONDS = 1_000_000_000


def seconds(nanoseconds: int) -> float:
    """Turn nanoseconds into seconds."""
    return nanoseconds / NANOSECONDS


class Clock(Protocol):
    """Tells the time and waits."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary instant; never goes backwards. For lengths of time only."""
        ...

    def sleep(self, delay: float) -> None:
        """Wait `delay` seconds."""
        ...

    async def sleep_async(self, delay: float) -> None:
        """Wait `delay` seconds and let other coroutines run."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary instant; never goes backwards."""
        return time.monotonic_ns()

    def sleep(self, delay: float) -> None:
        """Wait `delay` seconds."""
        time.sleep(delay)

    async def sleep_async(self, delay: float) -> None:
        """Wait `delay` seconds and let other coroutines run."""
        import asyncio  # noqa: PLC0415 - slow to import, and a caller without an event loop never needs it

        await asyncio.sleep(delay)


class ManualClock:
    """A clock that stands still until it is told to move, for tests. Sleeping moves it.

    Args:
        start: seconds since 1970-01-01 UTC at which it stands first.

    Attributes:
        slept: every wait so far, in seconds.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = round(start * NANOSECONDS)
        self._monotonic = 0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._now

    def monotonic_ns(self) -> int:
        """Nanoseconds moved forward so far."""
        return self._monotonic

    def advance(self, delay: float) -> None:
        """Move forward by `delay` seconds.

        Raises:
            ValueError: `delay` is negative; `step` moves the time of day backwards.
        """
        if delay < 0:
            raise ValueError(f"delay must not be negative, not {delay!r}; step() sets the time of day back")
        self.advance_ns(-int(-delay * NANOSECONDS // 1))

    def advance_ns(self, nanoseconds: int) -> None:
        """Move forward by a number of nanoseconds."""
        self._now += nanoseconds
        self._monotonic += nanoseconds

    def step(self, delay: float) -> None:
        """Set the time of day forward or back, as an administrator might; no time passes."""
        self._now += round(delay * NANOSECONDS)

    def sleep(self, delay: float) -> None:
        """Move forward by `delay` seconds at once."""
        self.slept.append(delay)
        self.advance(max(0.0, delay))

    async def sleep_async(self, delay: float) -> None:
        """Move forward by `delay` seconds at once."""
        self.sleep(delay)
