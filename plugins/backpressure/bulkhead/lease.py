"""A permit held for a time."""

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backpressure.bulkhead.operations import RELEASE, RENEW
from backpressure.clock import NANOSECONDS
from backpressure.errors import StorageError
from backpressure.limiter.asking import SHORTEST_STORAGE_TIMEOUT

if TYPE_CHECKING:
    import asyncio

    from backpressure.bulkhead.bulkhead import Bulkhead

__all__ = ["Lease"]

RENEWALS_PER_LEASE = 3
"""Two may fail before the lease ends."""

_log = logging.getLogger("backpressure.bulkhead")


class Lease:
    """A bulkhead's permit. It ends when it is released, or when its time is over and nobody renewed it.

    As a context manager, `with` or `async with`, it renews itself in the background and is released at the end.

    Attributes:
        cost: how many of the bulkhead's permits it holds.
        token: its name in the storage: whoever knows it can take the lease over, `Lease(bulkhead, token, cost)`.
    """

    def __init__(self, bulkhead: "Bulkhead", token: str, cost: int, asked_ns: int | None = None) -> None:
        self.cost = cost
        self._bulkhead = bulkhead
        self.token = token
        self._since = bulkhead.storage.clock.monotonic_ns()
        self._ends = (self._since if asked_ns is None else asked_ns) + bulkhead.lease_ns
        self._told_lost = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """Whether the lease ended while it was held: somebody else may hold the permit by now.

        Known from the storage, and from this process's own clock when the storage can't be asked.
        """
        return self._told_lost or (
            not self._over.is_set() and self._bulkhead.storage.clock.monotonic_ns() >= self._ends
        )

    def renew(self) -> bool:
        """Hold it for another full lease from now; False when it is lost.

        Raises:
            StorageError: the storage could not be asked; the lease runs on.
        """
        bulkhead, asked = self._bulkhead, self._bulkhead.storage.clock.monotonic_ns()
        row = bulkhead.storage.run(RENEW, bulkhead.keys, self.token, bulkhead.lease_ns, timeout=self._within)
        return self._kept(row[0], asked)

    async def renew_async(self) -> bool:
        """Hold it for another full lease from now, without blocking the event loop."""
        bulkhead, asked = self._bulkhead, self._bulkhead.storage.clock.monotonic_ns()
        arguments = (self.token, bulkhead.lease_ns)
        row = await bulkhead.storage.run_async(RENEW, bulkhead.keys, *arguments, timeout=self._within)
        return self._kept(row[0], asked)

    def release(self) -> bool:
        """Give it back; False when it was lost, or released before.

        Raises:
            StorageError: the storage could not be asked; the permit is free when the lease ends.
        """
        ran_out = self._end()
        held: bool = False
        try:
            held = self._bulkhead.storage.run(RELEASE, self._bulkhead.keys, self.token)[0]
        finally:
            self._given_back(held, ran_out)
        return held

    async def release_async(self) -> bool:
        """Give it back, without blocking the event loop."""
        ran_out = self._end()
        held: bool = False
        try:
            held = (await self._bulkhead.storage.run_async(RELEASE, self._bulkhead.keys, self.token))[0]
        finally:
            self._given_back(held, ran_out)
        return held

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._renew_on, name=f"lease of {self._bulkhead.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except StorageError:
            # The body's own result or exception matters more; the permit comes back by itself.
            _log.warning("bulkhead %r: a permit could not be given back, its lease will end", self._bulkhead.name)

    async def __aenter__(self) -> Self:
        import asyncio  # noqa: PLC0415 - whoever comes here has it

        self._task = asyncio.create_task(self._renew_on_async())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        try:
            await self.release_async()
        except StorageError:
            _log.warning("bulkhead %r: a permit could not be given back, its lease will end", self._bulkhead.name)

    def _renew_on(self) -> None:
        while not self._over.wait(self._bulkhead.lease / RENEWALS_PER_LEASE):
            try:
                if not self.renew():
                    return
            except StorageError as error:
                _log.warning("bulkhead %r: a lease was not renewed: %s", self._bulkhead.name, error)

    async def _renew_on_async(self) -> None:
        import asyncio  # noqa: PLC0415 - whoever comes here has it

        while True:
            await asyncio.sleep(self._bulkhead.lease / RENEWALS_PER_LEASE)
            try:
                if not await self.renew_async():
                    return
            except StorageError as error:
                _log.warning("bulkhead %r: a lease was not renewed: %s", self._bulkhead.name, error)

    @property
    def _within(self) -> float:
        """Seconds for a renewal: one that hangs must not keep the next from being tried in time."""
        return max(SHORTEST_STORAGE_TIMEOUT, self._bulkhead.lease / RENEWALS_PER_LEASE)

    def _kept(self, held: bool, asked_ns: int) -> bool:  # noqa: FBT001 - a storage's answer
        if held:
            # From before the question: the storage's lease ends later than this.
            self._ends = asked_ns + self._bulkhead.lease_ns
        elif not self._over.is_set():
            self._lose()
        return held

    def _end(self) -> bool:
        """Renew no more; whether the time was over by this process's own clock, maybe unnoticed until now."""
        ran_out = self.lost
        self._over.set()
        return ran_out

    def _given_back(self, held: bool, ran_out: bool) -> None:  # noqa: FBT001 - a storage's answer
        if held:
            seconds = (self._bulkhead.storage.clock.monotonic_ns() - self._since) / NANOSECONDS
            self._bulkhead.tell_released(self.cost, seconds)
        elif ran_out:
            self._lose()

    def _lose(self) -> None:
        if not self._told_lost:
            self._told_lost = True
            self._bulkhead.tell_lost(self.cost)
