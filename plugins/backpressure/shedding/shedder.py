"""CoDel for a queue that many processes take items from: its state is shared through the storage."""

import os

from backpressure.checks import check_name, check_number, check_seconds, check_whole
from backpressure.clock import NANOSECONDS
from backpressure.shedding.codel import CoDelRules, CoDelState, emptied, taken
from backpressure.storage.protocol import Argument, Feature, Operation, Outcome, Storage

FEATURE = Feature("codel", version=1, folder=os.path.dirname(__file__), tables=("codel",))  # noqa: PTH120 - pathlib is slow to import
KEPT_NS = 86400 * NANOSECONDS
LONGEST_WAIT = 100 * 366 * 86400.0
EMPTY = -1
"""Stands in the place of the items left when the queue was found empty."""


def _taken(states: tuple[CoDelState | None], now: int, interval: int, target: int, *item: int) -> Outcome:
    state = states[0] or CoDelState()
    waited, remaining = item
    state, shed = (
        (emptied(state), False)
        if remaining == EMPTY
        else taken(state, CoDelRules(interval, target), now, waited, remaining)
    )
    return Outcome((state,), (shed,), 32 * interval + KEPT_NS)


TAKEN = Operation("codel_taken_1", FEATURE, _taken)


class CoDelShedder:
    """Says which of the items taken from a queue to shed, because the queue has stood for too long.

    Whoever takes an item from the queue asks about it first; one statement an item.

    Args:
        name: The queue's name; 1 to 255 bytes in UTF-8.
        storage: Where the state lives.
        interval: Seconds of standing delay after which shedding begins; about the longest time that a normal burst
            needs to drain.
        target: Seconds of waiting that are good; None: a twentieth of the interval, as the RFC recommends.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(self, name: str, storage: Storage, *, interval: float, target: float | None = None) -> None:
        self.name = check_name(name)
        self.storage = storage
        check_seconds("interval", interval)
        self.interval = interval
        self.target = interval / 20 if target is None else target
        check_number("target", self.target, 0.00001, interval, " s")
        self._rules = (round(interval * NANOSECONDS), round(self.target * NANOSECONDS))

    def taken(self, waited: float, remaining: int) -> bool:
        """Whether to shed the item just taken.

        Args:
            waited: Seconds it spent in the queue.
            remaining: Items left in the queue. The last one is never shed: there is nothing behind it to help.
        """
        shed: bool = self.storage.run(TAKEN, (self.name,), *self._item(waited, remaining))[0]
        return shed

    def emptied(self) -> None:
        """The queue was found empty: no delay stands."""
        self.storage.run(TAKEN, (self.name,), *self._rules, 0, EMPTY)

    async def taken_async(self, waited: float, remaining: int) -> bool:
        """Whether to shed the item just taken; see `taken`."""
        shed: bool = (await self.storage.run_async(TAKEN, (self.name,), *self._item(waited, remaining)))[0]
        return shed

    async def emptied_async(self) -> None:
        """The queue was found empty: no delay stands."""
        await self.storage.run_async(TAKEN, (self.name,), *self._rules, 0, EMPTY)

    def _item(self, waited: float, remaining: int) -> tuple[Argument, ...]:
        # Clocks of producers differ: an item that seems to come from the future has not waited.
        check_number("waited", waited, -LONGEST_WAIT, LONGEST_WAIT, " s")
        check_whole("remaining", remaining, 0, 2**62)
        return *self._rules, max(0, round(waited * NANOSECONDS)), remaining
