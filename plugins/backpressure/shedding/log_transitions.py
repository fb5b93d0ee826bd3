"""The record of what was shed, as operations of the storage: recorded once, claimed by one at a time, replayed once."""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from backpressure.storage.protocol import Feature, Operation, Outcome, Result

FEATURE = Feature("shed", version=1, folder=os.path.dirname(__file__), tables=("shed",))  # noqa: PTH120 - pathlib is slow to import


class Entry(NamedTuple):
    """An item that was shed. Instants are nanoseconds.

    Attributes:
        item: Its key; unique within a log.
        priority: Higher is replayed first.
        waited: Seconds it had waited.
        reason: Why it was shed.
        payload: What is needed to do it later, as JSON.
        shed_at: When.
        tries: How often it was claimed.
        claim: The claim that holds it, or that replayed it; 0: none.
        claim_ends: When that claim ends.
        replayed_at: When it was replayed; 0: not yet.
        expires: When it is forgotten, replayed or not.
    """

    item: str
    priority: int
    waited: float
    reason: str
    payload: str
    shed_at: int
    tries: int = 0
    claim: int = 0
    claim_ends: int = 0
    replayed_at: int = 0
    expires: int = 0

    def state(self, now: int) -> str:
        """Where it stands."""
        if self.replayed_at:
            return "replayed"
        return "claimed" if self.claim_ends > now else "waiting"


Log = dict[str, Entry]
"""Never changed in place: a transition makes a new one."""


def _record(states: tuple[Log | None], now: int, *arguments: Any) -> Outcome:
    log = _living(states[0], now)
    item, priority, waited, reason, payload, keep = arguments
    fresh = item not in log
    if fresh:
        log[item] = Entry(item, priority, waited, reason, payload, now, expires=now + keep)
    return _outcome(log, now, (fresh,))


def _claim(states: tuple[Log | None], now: int, claim: int, most: int, *bounds: int) -> Outcome:
    log = _living(states[0], now)
    lease, max_tries = bounds
    open_to_me = [
        entry
        for entry in log.values()
        if not entry.replayed_at and (entry.claim == claim or (entry.claim_ends <= now and entry.tries < max_tries))
    ]
    chosen = sorted(open_to_me, key=lambda entry: (entry.claim != claim, *_rank(entry)))[:most]
    claimed = [
        entry._replace(tries=entry.tries + (entry.claim != claim), claim=claim, claim_ends=now + lease)
        for entry in chosen
    ]
    log.update((entry.item, entry) for entry in claimed)
    return _outcome(log, now, _columns(sorted(claimed, key=_rank), *_SHOWN))


def _settle(states: tuple[Log | None], now: int, item: str, claim: int, *done: bool) -> Outcome:
    log = _living(states[0], now)
    entry = log.get(item)
    settled = entry is not None and entry.claim == claim and (not entry.replayed_at or done[0])
    if entry is not None and settled and not entry.replayed_at:
        log[item] = entry._replace(replayed_at=now if done[0] else 0, claim=entry.claim if done[0] else 0, claim_ends=0)
    return _outcome(log, now, (settled,))


def _list(states: tuple[Log | None], now: int, most: int) -> Outcome:
    log = _living(states[0], now)
    entries = sorted(log.values(), key=lambda entry: (entry.shed_at, entry.item))[:most]
    return _outcome(log, now, _columns(entries, *_SHOWN, lambda entry: entry.state(now)))


def _count(states: tuple[Log | None], now: int) -> Outcome:
    log = _living(states[0], now)
    found = [entry.state(now) for entry in log.values()]
    return _outcome(log, now, tuple(found.count(state) for state in ("waiting", "claimed", "replayed")))


_SHOWN: tuple[Callable[[Entry], Any], ...] = (
    lambda entry: entry.item,
    lambda entry: entry.priority,
    lambda entry: entry.waited,
    lambda entry: entry.reason,
    lambda entry: entry.payload,
    lambda entry: entry.shed_at,
    lambda entry: entry.tries,
)


def _living(log: Log | None, now: int) -> Log:
    return {item: entry for item, entry in (log or {}).items() if entry.expires > now}


def _rank(entry: Entry) -> tuple[int, int, str]:
    return -entry.priority, entry.shed_at, entry.item


def _columns(entries: Iterable[Entry], *columns: Callable[[Entry], Any]) -> Result:
    listed = list(entries)
    # PostgreSQL has no empty aggregate: no entries are no lists.
    return tuple([column(entry) for entry in listed] or None for column in columns)


def _outcome(log: Log, now: int, result: Result) -> Outcome:
    keep = max((entry.expires - now for entry in log.values()), default=0)
    return Outcome((log or None,), result, keep)


RECORD = Operation("shed_record_1", FEATURE, _record, durable=True)
CLAIM = Operation("shed_claim_1", FEATURE, _claim, durable=True)
SETTLE = Operation("shed_settle_1", FEATURE, _settle, durable=True)
LIST = Operation("shed_list_1", FEATURE, _list)
COUNT = Operation("shed_count_1", FEATURE, _count)
