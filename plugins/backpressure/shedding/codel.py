"""Shedding by age: CoDel, controlled delay, after RFC 8289 (Nichols and Jacobson), for work that waits in a queue.

Not the length of a queue is the trouble but standing time in it: a burst that drains is welcome, a queue that never
drains only makes everything late. So nothing is shed until every item taken from the queue has waited longer than
`target` for a whole `interval`; then one is shed, and the next ones sooner and sooner (the interval divided by the
square root of their number) until the waiting time is below the target again.

Pure functions: the one who takes items from the queue asks about each, in the order taken.
"""

import math
from dataclasses import dataclass, replace

from backpressure.checks import check_seconds

MEMORY = 16
"""Intervals for which the rate of an earlier time of shedding is remembered (RFC 8289, section 5.5)."""


@dataclass(frozen=True, slots=True)
class CoDelSettings:
    """How long items may wait.

    Attributes:
        interval: Seconds of standing delay after which shedding begins; about the longest time that a normal burst
            needs to drain.
        target: Seconds of waiting that are good; None: a twentieth of the interval, as the RFC recommends.

    Raises:
        ValueError: A setting is outside its range.
    """

    interval: float
    target: float | None = None

    def __post_init__(self) -> None:
        check_seconds("interval", self.interval)
        if self.target is not None:
            check_seconds("target", self.target)
            if self.target > self.interval:
                raise ValueError(f"target must be at most the interval, {self.interval}, not {self.target}")

    @property
    def good_delay(self) -> float:
        """Seconds of waiting that are good."""
        return self.interval / 20 if self.target is None else self.target


@dataclass(frozen=True, slots=True)
class CoDelState:
    """What CoDel remembers between two items. Instants are seconds on any clock that does not jump.

    Attributes:
        first_above: When shedding may begin, if the delay stays above the target; None while it is below.
        shedding: Whether it sheds.
        next_shed: When the next item is shed, while shedding.
        count: Items shed in this time of shedding.
        last_count: `count` as this time of shedding began.
        due: Whether `next_shed` must move on if the next item, too, has waited too long.
    """

    first_above: float | None = None
    shedding: bool = False
    next_shed: float = 0.0
    count: int = 0
    last_count: int = 0
    due: bool = False


def taken(
    state: CoDelState, settings: CoDelSettings, now: float, waited: float, remaining: int
) -> tuple[CoDelState, bool]:
    """Whether to shed the item just taken from the queue.

    Args:
        state: What the last call returned.
        settings: Target and interval.
        now: The instant at which it is taken.
        waited: Seconds it spent in the queue.
        remaining: Items left in the queue. The last one is never shed: there is nothing behind it to help.
    """
    state, too_long = _judge(state, settings, now, waited, remaining)
    if state.shedding:
        if not too_long:
            return replace(state, shedding=False, due=False), False
        if state.due:
            state = replace(state, next_shed=_next(state.next_shed, settings, state.count), due=False)
        if now < state.next_shed:
            return state, False
        return replace(state, count=state.count + 1, due=True), True
    if not too_long:
        return state, False
    shed_before = state.count - state.last_count
    recent = now - state.next_shed < MEMORY * settings.interval
    count = shed_before if shed_before > 1 and recent else 1
    state = replace(
        state, shedding=True, count=count, last_count=count, next_shed=_next(now, settings, count), due=False
    )
    return state, True


def emptied(state: CoDelState) -> CoDelState:
    """The state after the queue was found empty: no delay stands, and shedding ends."""
    return replace(state, first_above=None, shedding=False, due=False)


def _judge(
    state: CoDelState, settings: CoDelSettings, now: float, waited: float, remaining: int
) -> tuple[CoDelState, bool]:
    """Whether the delay has been above the target for a whole interval."""
    if waited < settings.good_delay or remaining < 1:
        return replace(state, first_above=None), False
    if state.first_above is None:
        return replace(state, first_above=now + settings.interval), False
    return state, now >= state.first_above


def _next(instant: float, settings: CoDelSettings, count: int) -> float:
    return instant + settings.interval / math.sqrt(count)
