"""What a deferred task waits by: a trigger that wakes it when it is worth asking again, and not with all the others."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from backpressure.airflow.admission import PROBES, Admission, Turn
from backpressure.airflow.connection import ConnectionStorage
from backpressure.bulkhead import Bulkhead
from backpressure.clock import NANOSECONDS
from backpressure.errors import BulkheadFullError, StorageError
from backpressure.limiter import Rate, RateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["TurnTrigger"]

WAKES_WITHIN = 60.0
"""Seconds for which a bulkhead's permit is held for a task that was woken and has not started yet. A task that is
cleared in between is missed for as long."""
LONGEST_SLEEP = 60.0
"""Seconds after which the time of day is looked at again: it may have been set."""
LONGEST_POLL = 5.0
"""Seconds after which a breaker is looked at again that is half-open, or has been opened by an operator."""
AFTER_ERROR = 5.0
"""Seconds after which a storage that did not answer is asked again, on average."""


class TurnTrigger(BaseTrigger):
    """Waits for a task's turn. What it knows is in its arguments, from which another triggerer makes it again.

    Until the given instant it sleeps. Then it waits for what the task has to wait for:

    - "breaker": until the breaker is closed, or wants to be probed; of all who wait no more are woken to probe than the
      breaker lets pass. When it has closed, they are woken at random times within `spread`, without a place in line:
      each takes one when it is there, and waits for that by a new trigger. A place that was taken here would be taken
      again after each move of the trigger, behind the first one.
    - "bulkhead": in the bulkhead's own queue, in the order of arrival; the event carries the permit's lease. A trigger
      that is moved queues again, behind those who came before that; a lease of which nobody was told any more ends.

    Args:
        admission: `Admission.to_dict()`.
        turn: how far the task has come.
        at: seconds since 1970 until which nothing is asked.
        wait_for: "breaker", "bulkhead", or None for the instant alone.
        fraction: places this trigger among those that wait alike, from 0 to below 1; drawn when it is first made.
    """

    def __init__(
        self,
        admission: dict[str, Any],
        turn: list[Any],
        at: float,
        wait_for: str | None = None,
        fraction: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own signature
        self.admission = admission
        self.turn = turn
        self.at = at
        self.wait_for = wait_for
        self.fraction = random.random() if fraction is None else fraction  # noqa: S311 - spreads load

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as JSON."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            "admission": self.admission,
            "turn": list(self.turn),
            "at": self.at,
            "wait_for": self.wait_for,
            "fraction": self.fraction,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then wake the task once."""
        admission = Admission.from_dict(self.admission)
        turn = Turn(*self.turn)
        if self.wait_for is not None:
            await self._look_up(admission)
        await self._sleep_until(admission, self.at)
        if self.wait_for == "breaker":
            turn = await self._past_breaker(admission, turn)
        elif self.wait_for == "bulkhead" and admission.bulkhead is not None:
            turn = await self._queue(admission, admission.bulkhead, turn)
        yield TriggerEvent(list(turn))  # type: ignore[no-untyped-call]  # the same

    async def _look_up(self, admission: Admission) -> None:
        """Look the connections up while there is time: the first look-up of a triggerer's life takes it seconds."""
        for part in (admission.breaker, admission.bulkhead, admission.limiter):
            if part is not None and isinstance(part.storage, ConnectionStorage):
                with contextlib.suppress(StorageError):  # it is said when it matters
                    await part.storage.look_up_async()

    async def _past_breaker(self, admission: Admission, turn: Turn) -> Turn:
        breaker = admission.breaker
        assert breaker is not None
        permits, lease = breaker.settings.half_open_permits, breaker.settings.probe_lease
        probes = RateLimiter(PROBES + breaker.name, Rate(permits, lease, burst=permits), breaker.storage)
        while admission.left(turn) > 0:
            try:
                found = await breaker.snapshot_async()
                if found.state == "closed":
                    await admission.clock.sleep_async(min(admission.left(turn), admission.spread * self.fraction))
                    return turn._replace(placed=False)  # a place that came while it was open is over
                pause = found.opens_again_in or LONGEST_POLL  # an operator's order has no end
                if found.state == "half_open":
                    if found.probes < permits and (await probes.try_acquire_async()).allowed:
                        return turn
                    pause = min(lease, LONGEST_POLL)
            except StorageError as error:
                self.log.warning("asking again for %s: %s", breaker.name, error)
                pause = AFTER_ERROR
            # Whoever waits alike asks at another moment of the next tenth.
            await admission.clock.sleep_async(
                min(LONGEST_SLEEP, admission.left(turn), pause * (1 + self.fraction / 10))
            )
        return turn

    async def _queue(self, admission: Admission, bulkhead: Bulkhead, turn: Turn) -> Turn:
        # A lease that outlives the start of the task that it is for; the task goes on with the bulkhead's own.
        patient = Bulkhead(
            bulkhead.name,
            bulkhead.limit,
            bulkhead.storage,
            lease=max(bulkhead.lease, WAKES_WITHIN),
            weights=bulkhead.weights,
        )
        while (left := admission.left(turn)) > 0:
            try:
                timeout = left if admission.max_wait is not None else None
                lease = await patient.acquire_async(admission.permits, admission.tenant, timeout=timeout)
                return turn._replace(lease=lease.token)
            except BulkheadFullError:
                break
            except StorageError as error:
                self.log.warning("asking again for %s: %s", bulkhead.name, error)
                await admission.clock.sleep_async(AFTER_ERROR * (0.5 + self.fraction))
        return turn

    async def _sleep_until(self, admission: Admission, at: float) -> None:
        while (left := at - admission.clock.now_ns() / NANOSECONDS) > 0:
            await admission.clock.sleep_async(min(LONGEST_SLEEP, left))
