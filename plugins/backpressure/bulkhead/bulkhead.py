"""At most so many at once, over all processes."""

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from backpressure.bulkhead.lease import Lease
from backpressure.bulkhead.operations import ACQUIRE, COUNT, RELEASE
from backpressure.clock import NANOSECONDS
from backpressure.errors import BulkheadFullError, StorageError
from backpressure.limiter.asking import nanoseconds, storage_timeout
from backpressure.limiter.rate import check_cost, check_name, check_seconds
from backpressure.storage.protocol import Storage
from backpressure.storage.steps import Ask, Sleep, Steps, perform, perform_async

if TYPE_CHECKING:
    from backpressure.events import Event, Listener

__all__ = ["Bulkhead"]

LARGEST_LIMIT = 1_000_000
HEAVIEST_WEIGHT = 1000
SHORTEST_POLL = 0.02
LONGEST_POLL = 2.0
POLL_PER_PLACE = 0.005
"""Who stands further back asks less often: a thousand waiters ask some 500 times a second all together."""
POLL_PER_SECOND_WAITED = 0.1
LONGEST_POLL_IN_FRONT = 0.25
"""Who has waited long already may wait a little longer: a tenth of it at most, and no more than this."""
PATIENCE = 2.0
"""How long a place in the queue outlives its holder's last word, beyond four of its polls."""
LEAVE_WITHIN = 1.0


class Bulkhead:
    """At most `limit` at once, over every process that uses the same storage and name.

    Permits are leases: whoever holds one renews it, and a killed holder's permit comes back when its lease ends.
    Callers wait in the order of arrival; with tenants, each tenant gets its share of the permits by weight, and within
    a tenant the order of arrival holds.

        with bulkhead.acquire(timeout=60):
            ...

    Args:
        name: 1 to 255 bytes in UTF-8.
        limit: permits, 1 to 1 000 000.
        storage: where the state lives.
        lease: seconds that a permit is held without renewal, and so the longest time that a killed holder's is missing.
        weights: share of each tenant, 1 to 1000; 1 for those not named.
        listeners: told of every decision; see `backpressure.events`.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        name: str,
        limit: int,
        storage: Storage,
        *,
        lease: float = 30.0,
        weights: Mapping[str, int] | None = None,
        listeners: Iterable["Listener"] = (),
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_LIMIT:
            raise ValueError(f"limit must be a whole number from 1 to {LARGEST_LIMIT}, not {limit!r}")
        self.name = check_name(name)
        self.limit = limit
        self.storage = storage
        self.lease = check_seconds("lease", lease)
        self.lease_ns = math.ceil(lease * NANOSECONDS)
        self.keys = (name,)
        self.weights = {check_name(tenant): _checked(tenant, weight) for tenant, weight in (weights or {}).items()}
        self._listeners = tuple(listeners)

    def __repr__(self) -> str:
        return f"Bulkhead({self.name!r}, {self.limit!r})"

    def try_acquire(self, cost: int = 1, tenant: str = "") -> Lease | None:
        """Take a permit if one is free and nobody waits for it.

        Args:
            cost: how many permits, 1 to `limit`.
            tenant: on whose behalf; "" for nobody's in particular.

        Raises:
            ValueError: `cost` or `tenant` is out of range.
            StorageError: the storage could not be asked.
        """
        try:
            return self.acquire(cost, tenant, timeout=0.0)
        except BulkheadFullError:
            return None

    async def try_acquire_async(self, cost: int = 1, tenant: str = "") -> Lease | None:
        """Take a permit if one is free, without blocking the event loop; see `try_acquire`."""
        try:
            return await self.acquire_async(cost, tenant, timeout=0.0)
        except BulkheadFullError:
            return None

    def acquire(self, cost: int = 1, tenant: str = "", timeout: float | None = None) -> Lease:
        """Wait for a permit.

        Args:
            cost: how many permits, 1 to `limit`.
            tenant: on whose behalf; "" for nobody's in particular.
            timeout: seconds to wait at most; None for as long as it takes. Leaving the queue may take the storage one
                second more.

        Raises:
            BulkheadFullError: none came free in time.
            ValueError: `cost`, `tenant` or `timeout` is out of range.
            StorageError: the storage could not be asked.
        """
        return perform(self.storage, self._acquire(cost, tenant, timeout))

    async def acquire_async(self, cost: int = 1, tenant: str = "", timeout: float | None = None) -> Lease:  # noqa: ASYNC109 - bounds a queue
        """Wait for a permit, without blocking the event loop; see `acquire`."""
        return await perform_async(self.storage, self._acquire(cost, tenant, timeout))

    def count(self) -> tuple[int, int]:
        """Permits in use, and callers waiting."""
        in_use, waiting = self.storage.run(COUNT, self.keys)
        return in_use, waiting

    async def count_async(self) -> tuple[int, int]:
        """Permits in use, and callers waiting, without blocking the event loop."""
        in_use, waiting = await self.storage.run_async(COUNT, self.keys)
        return in_use, waiting

    def tell_released(self, cost: int, held: float) -> None:
        """Publish that a permit was given back; leases call this."""
        if self._listeners:
            from backpressure.events import PermitReleased  # noqa: PLC0415 - only for those who listen

            self._publish(PermitReleased(self.name, cost, held))

    def tell_lost(self, cost: int) -> None:
        """Publish that a permit ran out while it was held; leases call this."""
        if self._listeners:
            from backpressure.events import LeaseLost  # noqa: PLC0415 - only for those who listen

            self._publish(LeaseLost(self.name, cost))

    def _acquire(self, cost: int, tenant: str, timeout: float | None) -> Steps[Lease]:
        check_cost(cost, self.limit, "limit")
        weight = self.weights.get(tenant, 1) if tenant == "" else self.weights.get(check_name(tenant), 1)
        nanoseconds("timeout", timeout)
        token = os.urandom(16).hex()
        clock = self.storage.clock
        started = clock.monotonic_ns()
        left, pause, arrival = timeout, SHORTEST_POLL, 0
        queued = True
        try:
            while True:
                patience = 0 if timeout == 0 else math.ceil((PATIENCE + 4 * pause) * NANOSECONDS)
                limit = yield from self._current_limit(storage_timeout(left))
                asked = clock.monotonic_ns()
                who = (token, tenant.encode(), weight, cost, limit, self.lease_ns, patience, arrival)
                granted, arrival, ahead, first_end = yield Ask(ACQUIRE, self.keys, who, storage_timeout(left))
                waited = (clock.monotonic_ns() - started) / NANOSECONDS
                queued = patience > 0
                if granted:
                    self._tell(cost, waited)
                    return Lease(self, token, cost, asked)
                if timeout is not None:
                    left = timeout - waited
                    if left <= 0:
                        raise self._full(cost, timeout, first_end / NANOSECONDS)  # noqa: TRY301 - leaves the queue below
                pause = _pause(ahead, waited)
                yield Sleep(pause if left is None else min(pause, left))
        except BaseException:
            if queued:
                with contextlib.suppress(StorageError):
                    yield Ask(RELEASE, self.keys, (token,), LEAVE_WITHIN)
            raise

    def _current_limit(self, timeout: float | None) -> Steps[int]:  # noqa: ARG002 - for limits that are looked up
        """The permits that there are now, asked before each attempt."""
        yield from ()
        return self.limit

    def _tell(self, cost: int, waited: float) -> None:
        if self._listeners:
            from backpressure.events import PermitGranted  # noqa: PLC0415 - only for those who listen

            self._publish(PermitGranted(self.name, cost, waited))

    def _full(self, cost: int, timeout: float, retry_after: float) -> BulkheadFullError:
        if self._listeners:
            from backpressure.events import PermitRefused  # noqa: PLC0415 - only for those who listen

            self._publish(PermitRefused(self.name, cost, retry_after))
        return BulkheadFullError(
            f"bulkhead {self.name!r} had no permit of cost {cost} among {self.limit} within {timeout:g} s; the first "
            f"lease ends in {retry_after:.3f} s unless it is renewed",
            retry_after,
        )

    def _publish(self, event: "Event") -> None:
        from backpressure.events import publish  # noqa: PLC0415 - only for those who listen

        publish(self._listeners, event)


def _pause(ahead: int, waited: float) -> float:
    """Seconds until the next poll."""
    by_place = SHORTEST_POLL + POLL_PER_PLACE * ahead
    return min(LONGEST_POLL, max(by_place, min(POLL_PER_SECOND_WAITED * waited, LONGEST_POLL_IN_FRONT)))


def _checked(tenant: str, weight: int) -> int:
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HEAVIEST_WEIGHT:
        raise ValueError(
            f"weights must be whole numbers from 1 to {HEAVIEST_WEIGHT}; that of tenant {tenant!r} is {weight!r}"
        )
    return weight
