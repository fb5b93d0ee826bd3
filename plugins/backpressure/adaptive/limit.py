"""A concurrency limit that all processes learn together."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backpressure.adaptive.algorithms import AIMD, LimitAlgorithm, LimitState, WindowSample
from backpressure.adaptive.transitions import READ, REVISE, SAMPLE
from backpressure.checks import check_count, check_name, check_number, check_seconds
from backpressure.clock import NANOSECONDS, seconds
from backpressure.storage.protocol import Argument, Result, Storage
from backpressure.storage.steps import Ask, Steps, perform, perform_async

if TYPE_CHECKING:
    from backpressure.events import Listener

FULL = 2**31 - 1
"""Stands for 'as many as the limit allows' when the caller does not know how many calls are under way."""
LONGEST_LATENCY = 86400.0


class AdaptiveLimit:
    """How many calls the other side bears at once, learned from how they end.

    Each call that ended is one statement; the one that ends a window costs a second one, for all. The limit itself is
    enforced by a bulkhead: `AdaptiveBulkhead` puts the two together.

    Args:
        name: Who is called; 1 to 255 bytes in UTF-8.
        storage: Where what was learned lives.
        algorithm: How the limit follows what is measured.
        window: Seconds over which samples are collected before the limit is revised; several times a call's duration.
        minimum_calls: Calls that a window must have; it goes on until it has.
        listeners: Told of every revision that changed the limit by a whole call or more.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        name: str,
        storage: Storage,
        *,
        algorithm: LimitAlgorithm | None = None,
        window: float = 1.0,
        minimum_calls: int = 1,
        listeners: "Iterable[Listener]" = (),
    ) -> None:
        self.name = check_name(name)
        self.storage = storage
        self.algorithm: LimitAlgorithm = algorithm or AIMD()
        check_seconds("window", window)
        check_count("minimum_calls", minimum_calls, 1_000_000)
        self._window = (round(window * NANOSECONDS), minimum_calls)
        self._listeners = tuple(listeners)

    @property
    def limit(self) -> int:
        """Calls that may be under way at once, over all processes."""
        return perform(self.storage, self.look_up())

    async def limit_async(self) -> int:
        """Calls that may be under way at once, over all processes."""
        return await perform_async(self.storage, self.look_up())

    def look_up(self, timeout: float | None = None) -> Steps[int]:
        """Calls that may be under way at once, as a step of a longer procedure."""
        return self._whole((yield Ask(READ, (self.name,), (), timeout)))

    def record(self, latency: float, *, dropped: bool = False, inflight: int | None = None) -> None:
        """Tell how a call ended.

        Args:
            latency: Seconds it took; of no meaning when it was dropped.
            dropped: It was refused or failed for overload: a timeout, 429, 503. Not any other failure.
            inflight: Calls that were under way at once, this one included, as a bulkhead counts them. None: as many as
                the limit allows. A limit that is not used does not grow.
        """
        row = self.storage.run(SAMPLE, (self.name,), *self._sample(latency, inflight, dropped=dropped))
        revision = self._revision(row)
        if revision is not None and self.storage.run(REVISE, (self.name,), *revision)[0]:
            self._tell(row, revision)

    async def record_async(self, latency: float, *, dropped: bool = False, inflight: int | None = None) -> None:
        """Tell how a call ended; see `record`."""
        row = await self.storage.run_async(SAMPLE, (self.name,), *self._sample(latency, inflight, dropped=dropped))
        revision = self._revision(row)
        if revision is not None and (await self.storage.run_async(REVISE, (self.name,), *revision))[0]:
            self._tell(row, revision)

    def _whole(self, row: Result) -> int:
        limit, baseline, windows = row[:3]
        return self._allowed(LimitState(limit or self.algorithm.initial, baseline, windows))

    def _allowed(self, state: LimitState) -> int:
        return max(1, math.floor(self.algorithm.allowed(state)))

    def _sample(self, latency: float, inflight: int | None, *, dropped: bool) -> tuple[Argument, ...]:
        check_number("latency", latency, 0, LONGEST_LATENCY, " s")
        if inflight is not None:
            check_count("inflight", inflight, FULL)
        return round(latency * NANOSECONDS), dropped, FULL if inflight is None else inflight, *self._window

    def _revision(self, row: Result) -> tuple[int, float, float, int] | None:
        """Version, limit, baseline and windows to be written; None when the window goes on."""
        limit, baseline, windows, version, due, calls, dropped, latency, inflight = row
        if not due:
            return None
        measured = calls - dropped
        mean = seconds(latency) / measured if measured else 0.0
        before = LimitState(limit or self.algorithm.initial, baseline, windows)
        after = self.algorithm.update(before, WindowSample(calls, dropped, mean, inflight))
        return version, after.limit, after.baseline, after.windows

    def _tell(self, row: Result, revision: tuple[int, float, float, int]) -> None:
        before, after = self._whole(row), self._allowed(LimitState(*revision[1:]))
        if self._listeners and before != after:
            from backpressure.adaptive.events import LimitRevised  # noqa: PLC0415 - slow to import, and few listen
            from backpressure.events import publish  # noqa: PLC0415 - the same

            publish(self._listeners, LimitRevised(self.name, before, after))
