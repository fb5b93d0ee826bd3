"""The bulkhead's queue, as pure functions. `bulkhead_1.sql` says the same in SQL.

Who asks joins a queue. Its order is start-time fair queueing (Goyal, Vin, Cheng 1996): each tenant has a virtual time
that advances by cost / weight with each permit it gets, and the lowest comes first; of equals, who came first. One
tenant alone is served in the order of arrival. A caller gets its permit when it asks and all who are before it fit as
well: nobody overtakes, so that a costly call is not starved by cheap ones, and nobody has to be woken.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from backpressure.storage.protocol import Outcome

__all__ = ["BulkheadState", "Entry", "acquire", "count", "release", "renew"]

SCALE = 1_000_000
"""Virtual time that one unit of cost takes of a tenant of weight 1."""


class Entry(NamedTuple):
    """Somebody who holds a permit or waits for one. `expires` is the end of the lease, or of the place in the queue."""

    token: str
    tenant: bytes
    weight: int
    cost: int
    arrival: int
    expires: int


class BulkheadState(NamedTuple):
    """One bulkhead's record.

    Attributes:
        arrivals: number given to the latest arrival.
        virtual: the start tag at which the queue stands.
        finished: each tenant's virtual time, where it is ahead of `virtual`.
        holders: who holds permits.
        waiters: who waits.
    """

    arrivals: int = 0
    virtual: int = 0
    finished: tuple[tuple[bytes, int], ...] = ()
    holders: tuple[Entry, ...] = ()
    waiters: tuple[Entry, ...] = ()


def acquire(  # noqa: PLR0917 - a storage passes arguments by place
    states: tuple[Any, ...],
    now: int,
    token: str,
    tenant: bytes,
    weight: int,
    cost: int,
    limit: int,
    lease: int,
    patience: int,
    arrival: int,
) -> Outcome:
    """Ask for a permit, or ask again.

    `lease` and `patience` are how long the permit, or the place in the queue, is kept without another word; `patience`
    0 does not queue. `arrival` is the number got when first asked, 0 the first time: it keeps a place that lapsed.

    The result is (granted, arrival, cost of all who are before, nanoseconds until the first lease ends or 0).
    """
    state = _living(states[0], now)
    if any(holder.token == token for holder in state.holders):
        holders = tuple(h._replace(expires=now + lease) if h.token == token else h for h in state.holders)
        return _outcome(state._replace(holders=holders), now, granted=True, arrival=arrival, ahead=0)
    if arrival == 0:
        # It may ask for the first time again, if its connection broke before the answer came.
        places = [waiter.arrival for waiter in state.waiters if waiter.token == token]
        arrival = places[0] if places else state.arrivals + 1
    state = state._replace(arrivals=max(state.arrivals, arrival))
    me = Entry(token, tenant, weight, cost, arrival, now + patience)
    waiters = (*(waiter for waiter in state.waiters if waiter.token != token), me)
    queue = _in_order(state, waiters)
    ahead = 0
    for tag, waiter in queue:
        if waiter.token == token:
            mine = tag
            break
        ahead += waiter.cost
    granted = sum(holder.cost for holder in state.holders) + ahead + cost <= limit
    if granted:
        finished = dict(state.finished) | {tenant: mine + cost * SCALE // weight}
        virtual = queue[0][0]
        state = state._replace(
            virtual=virtual,
            finished=tuple(sorted((name, tag) for name, tag in finished.items() if tag > virtual)),
            holders=(*state.holders, me._replace(expires=now + lease)),
            waiters=tuple(waiter for waiter in waiters if waiter.token != token),
        )
    else:
        state = state._replace(waiters=waiters if patience else tuple(w for w in waiters if w.token != token))
    return _outcome(state, now, granted=granted, arrival=arrival, ahead=ahead)


def renew(states: tuple[Any, ...], now: int, token: str, lease: int) -> Outcome:
    """Prolong a lease; the result is (still held,)."""
    state = _living(states[0], now)
    held = any(holder.token == token for holder in state.holders)
    holders = tuple(h._replace(expires=now + lease) if h.token == token else h for h in state.holders)
    return Outcome((state._replace(holders=holders),), (held,), _keep(state._replace(holders=holders), now))


def release(states: tuple[Any, ...], now: int, token: str) -> Outcome:
    """Give a permit back, or leave the queue; the result is (was still held,)."""
    state = _living(states[0], now)
    held = any(holder.token == token for holder in state.holders)
    state = state._replace(
        holders=tuple(holder for holder in state.holders if holder.token != token),
        waiters=tuple(waiter for waiter in state.waiters if waiter.token != token),
    )
    return Outcome((state,), (held,), _keep(state, now))


def count(states: tuple[Any, ...], now: int) -> Outcome:
    """Look without touching; the result is (cost of the permits held, number of callers who wait)."""
    state = _living(states[0], now)
    in_use = sum(holder.cost for holder in state.holders)
    return Outcome(states, (in_use, len(state.waiters)), _keep(states[0] or state, now))


def _living(state: BulkheadState | None, now: int) -> BulkheadState:
    state = state or BulkheadState()
    return state._replace(
        holders=tuple(holder for holder in state.holders if holder.expires > now),
        waiters=tuple(waiter for waiter in state.waiters if waiter.expires > now),
    )


def _in_order(state: BulkheadState, waiters: tuple[Entry, ...]) -> list[tuple[int, Entry]]:
    """The queue with each waiter's start tag."""
    tags: dict[bytes, int] = defaultdict(lambda: state.virtual, state.finished)
    queue = []
    for waiter in sorted(waiters, key=lambda each: (each.arrival, each.token)):
        queue.append((tags[waiter.tenant], waiter))
        tags[waiter.tenant] += waiter.cost * SCALE // waiter.weight
    return sorted(queue, key=lambda each: (each[0], each[1].arrival, each[1].token))


def _outcome(state: BulkheadState, now: int, *, granted: bool, arrival: int, ahead: int) -> Outcome:
    first_end = min((holder.expires for holder in state.holders), default=now) - now
    return Outcome((state,), (granted, arrival, ahead, first_end), _keep(state, now))


def _keep(state: BulkheadState, now: int) -> int:
    return max((entry.expires for entry in (*state.holders, *state.waiters)), default=now) - now
