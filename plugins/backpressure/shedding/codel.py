"""Shedding by age: CoDel, controlled delay, after RFC 8289 (Nichols and Jacobson), for work that waits in a queue.

Not the length of a queue is the trouble but standing time in it: a burst that drains is welcome, a queue that never
drains only makes everything late. So nothing is shed until every item taken from the queue has waited longer than
`target` for a whole `interval`; then one is shed, and the next ones sooner and sooner (the interval divided by the
square root of their number) until the waiting time is below the target again.

Pure functions here; `CoDelShedder` shares the state between all who take items from one queue.
"""

import math
from typing import NamedTuple

MEMORY = 16
"""Intervals for which the rate of an earlier time of shedding is remembered (RFC 8289, section 5.5)."""


class CoDelRules(NamedTuple):
    """How long items may wait, in nanoseconds.

    Attributes:
        interval: Standing delay after which shedding begins.
        target: Waiting that is good.
    """

    interval: int
    target: int


class CoDelState(NamedTuple):
    """What CoDel remembers between two items. Instants are nanoseconds.

    Attributes:
        first_above: When shedding may begin, if the delay stays above the target; 0 while it is below.
        shedding: Whether it sheds.
        next_shed: When the next item is shed, while shedding.
        number: Items shed in this time of shedding; at its start, the number that its rate goes on from.
        began_at: `number` as this time of shedding began.
        due: Whether `next_shed` must move on if the next item, too, has waited too long.
    """

    first_above: int = 0
    shedding: bool = False
    next_shed: int = 0
    number: int = 0
    began_at: int = 0
    due: bool = False


def taken(state: CoDelState, rules: CoDelRules, now: int, waited: int, remaining: int) -> tuple[CoDelState, bool]:
    """Whether to shed the item just taken from the queue.

    Args:
        state: What the last call returned.
        rules: Target and interval.
        now: The instant at which it is taken.
        waited: Nanoseconds it spent in the queue.
        remaining: Items left in the queue. The last one is never shed: there is nothing behind it to help.
    """
    state, too_long = _judge(state, rules, now, waited, remaining)
    if state.shedding:
        if not too_long:
            return state._replace(shedding=False, due=False), False
        if state.due:
            state = state._replace(next_shed=_next(state.next_shed, rules, state.number), due=False)
        if now < state.next_shed:
            return state, False
        return state._replace(number=state.number + 1, due=True), True
    if not too_long:
        return state, False
    shed_before = state.number - state.began_at
    recent = now - state.next_shed < MEMORY * rules.interval
    number = shed_before if shed_before > 1 and recent else 1
    return (
        state._replace(shedding=True, number=number, began_at=number, next_shed=_next(now, rules, number), due=False),
        True,
    )


def emptied(state: CoDelState) -> CoDelState:
    """The state after the queue was found empty: no delay stands, and shedding ends."""
    return state._replace(first_above=0, shedding=False, due=False)


def _judge(state: CoDelState, rules: CoDelRules, now: int, waited: int, remaining: int) -> tuple[CoDelState, bool]:
    """Whether the delay has been above the target for a whole interval."""
    if waited < rules.target or remaining < 1:
        return state._replace(first_above=0), False
    if state.first_above == 0:
        return state._replace(first_above=now + rules.interval), False
    return state, now >= state.first_above


def _next(instant: int, rules: CoDelRules, number: int) -> int:
    return instant + round(rules.interval / math.sqrt(number))
