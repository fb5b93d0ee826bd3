"""A bulkhead whose limit is learned: the limit from `AdaptiveLimit`, its enforcement from `Bulkhead`."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from backpressure.adaptive.limit import AdaptiveLimit
from backpressure.bulkhead import Bulkhead
from backpressure.clock import seconds
from backpressure.errors import StorageError
from backpressure.retry.failure import http_status
from backpressure.storage.steps import Steps

OVERLOAD_STATUS = frozenset({408, 429, 503, 504})
"""HTTP statuses by which a server says that it has too much to do."""


def is_overload(exception: BaseException) -> bool:
    """Whether an exception says that the other side is overloaded: a timeout, or such an HTTP status."""
    return isinstance(exception, TimeoutError) or http_status(exception) in OVERLOAD_STATUS


class _Learned(Bulkhead):
    """A bulkhead that looks the limit up before each attempt."""

    def __init__(self, adaptive: AdaptiveLimit, lease: float) -> None:
        super().__init__(adaptive.name, max(1, int(adaptive.algorithm.initial)), adaptive.storage, lease=lease)
        self._adaptive = adaptive

    def _current_limit(self, timeout: float | None) -> Steps[int]:
        self.limit = yield from self._adaptive.look_up(timeout)
        return self.limit


class AdaptiveBulkhead:
    """At most as many calls at once, over all processes, as the other side has been found to bear.

        with adaptive.hold(timeout=60):
            ...

    Who waits goes by the limit as it is at each attempt, not by that of when he came. A call costs five statements, and
    two more for each further attempt; it is meant for calls that take many times as long.

    Args:
        adaptive: The limit and how it is learned; the bulkhead takes its name and storage.
        lease: Seconds that a permit is held without renewal; see `Bulkhead`.
        is_overload: Says which exceptions of a call mean that it was dropped for overload. Calls that raise anything
            else are not counted: a wrong password says nothing about load.
    """

    def __init__(
        self,
        adaptive: AdaptiveLimit,
        *,
        lease: float = 30.0,
        is_overload: Callable[[BaseException], bool] = is_overload,
    ) -> None:
        self.adaptive = adaptive
        self.bulkhead: Bulkhead = _Learned(adaptive, lease)
        self._is_overload = is_overload

    @contextlib.contextmanager
    def hold(self, *, timeout: float | None = None) -> Iterator[None]:
        """Wait for a permit and hold it for the length of the block.

        Raises:
            BulkheadFullError: None came free within `timeout` seconds.
            StorageError: The storage could not be asked.
        """
        with self.bulkhead.acquire(timeout=timeout):
            inflight = max(1, self.bulkhead.count()[0])
            began = self._now_ns()
            try:
                yield
            except BaseException as error:
                if self._is_overload(error):
                    with _lost():
                        self.adaptive.record(self._since(began), dropped=True, inflight=inflight)
                raise
            with _lost():
                self.adaptive.record(self._since(began), inflight=inflight)

    @contextlib.asynccontextmanager
    async def hold_async(self, *, timeout: float | None = None) -> AsyncIterator[None]:  # noqa: ASYNC109 - bounds a queue
        """Wait for a permit and hold it for the length of the block; see `hold`."""
        async with await self.bulkhead.acquire_async(timeout=timeout):
            inflight = max(1, (await self.bulkhead.count_async())[0])
            began = self._now_ns()
            try:
                yield
            except BaseException as error:
                if self._is_overload(error):
                    with _lost():
                        await self.adaptive.record_async(self._since(began), dropped=True, inflight=inflight)
                raise
            with _lost():
                await self.adaptive.record_async(self._since(began), inflight=inflight)

    def _now_ns(self) -> int:
        return self.adaptive.storage.clock.monotonic_ns()

    def _since(self, began_ns: int) -> float:
        return seconds(self._now_ns() - began_ns)


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Let the call's own result or exception stand, though it can't be learned from."""
    try:
        yield
    except StorageError as error:
        import logging  # noqa: PLC0415 - slow to import, and rarely needed

        logging.getLogger("backpressure.adaptive").warning("a call's end could not be recorded: %s", error)
