"""All interleavings of two and three clients on the limiters' transitions, against an oracle that tries every instant.

An operation is atomic, so that whatever processes do at once comes down to an order of operations with time passing in
between. All of them are gone through, up to a depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from backpressure import Rate, SlidingWindow
from backpressure.limiter import transitions
from backpressure.limiter.rate import GCRA, Spec

PERIOD = 20
"""Time goes in units here: twenty are a window, ten an interval of the rate."""
BURST = 2
RATE = Spec(GCRA, BURST, PERIOD // 2, "UTC")
WINDOW = Spec(1, BURST, PERIOD, "UTC")
START = 1000
NEVER = 10**9


def allowed(spec: Spec, starts: list[int]) -> bool:
    """Whether the calls that start then, in ascending order, keep to the limit."""
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            count, time = last - first + 1, starts[last] - begin
            if spec.kind == GCRA and (count - spec.limit) * spec.period > time:
                return False
            if spec.kind != GCRA and count > spec.limit and time < spec.period:
                return False
    return True


def earliest(specs: tuple[Spec, ...], starts: list[int], now: int, cost: int) -> int:
    """The first instant from which the call would keep to all limits, found by trying each."""
    instant = max(now, *starts, 0)
    while not all(allowed(spec, [*starts, *[instant] * cost]) for spec in specs):
        instant += 1
    return instant


def take(specs: tuple[Spec, ...], states: tuple[Any, ...], now: int, cost: int, wait: int) -> Any:
    """Ask for one permit of all limits."""
    kinds, limits, periods, zones = (list(column) for column in zip(*specs, strict=True))
    return transitions.take(states, now, kinds, limits, periods, zones, 0, 1, cost, wait)


class Moment(NamedTuple):
    """Where an interleaving stands: the records, the time, and the starts given so far."""

    states: tuple[Any, ...]
    now: int
    starts: tuple[int, ...]


ACTIONS = [("take", 1), ("take", 2), ("wait", 1), ("wait", 2), ("tick", 3), ("tick", 10)]


def after(specs: tuple[Spec, ...], moment: Moment, action: tuple[str, int]) -> Moment:
    """Do one thing, and hold the answer against the oracle's."""
    kind, amount = action
    if kind == "tick":
        return moment._replace(now=moment.now + amount)
    horizon = NEVER if kind == "wait" else 0
    outcome = take(specs, moment.states, moment.now, amount, horizon)
    granted, _, (wait,), _, _ = outcome.result
    expected = earliest(specs, list(moment.starts), moment.now, amount)
    assert wait == expected - moment.now
    assert granted == (wait <= horizon)
    if not granted:
        assert outcome.states == moment.states, "a refusal takes nothing"
        return moment
    starts = (*moment.starts, *[expected] * amount)
    assert all(allowed(spec, list(starts)) for spec in specs)
    return Moment(outcome.states, moment.now, starts)


def walk(specs: tuple[Spec, ...], moment: Moment, depth: int, seen: set[tuple[Moment, int]]) -> int:
    """Go through all that can happen from here; returns the number of moments."""
    if depth == 0 or (moment, depth) in seen:
        return 0
    seen.add((moment, depth))
    return sum(1 + walk(specs, after(specs, moment, action), depth - 1, seen) for action in ACTIONS)


@pytest.mark.parametrize("specs", [(RATE,), (WINDOW,), (RATE, WINDOW)], ids=["rate", "window", "both as one"])
def test_any_order_of_operations_gives_exactly_what_the_limit_allows(specs: tuple[Spec, ...]) -> None:
    """Each answer is the oracle's: no permit too early, none later than need be, none lost to a refusal."""
    nobody = Moment((None,) * len(specs), START, ())
    assert walk(specs, nobody, 6, set()) > 4000


class Client(NamedTuple):
    """Asks until it has its permit, and comes back when it is told to.

    `due` is when it asks next, None at its end; `told` is how many had their permits when it was refused, -1 before.
    """

    due: int | None = START
    told: int = -1


def turns(clients: tuple[Client, ...], now: int) -> Iterator[int]:
    """Whose turn it may be."""
    return (number for number, client in enumerate(clients) if client.due is not None and client.due <= now)


def interleavings(spec: Spec, state: Any, now: int, clients: tuple[Client, ...], granted: list[int]) -> int:
    """Let the clients ask in every order, whoever is due at an instant; returns the number of ends."""
    waiting = [client.due for client in clients if client.due is not None]
    if not waiting:
        assert allowed(spec, granted)
        ideal: list[int] = []
        for _ in clients:
            ideal.append(earliest((spec,), ideal, START, 1))
        assert granted == ideal, "together they get what one who reserves them all gets, in whatever order they ask"
        return 1
    ready = list(turns(clients, now))
    if not ready:
        return interleavings(spec, state, min(waiting), clients, granted)
    ends = 0
    for number in ready:
        outcome = take((spec,), (state,), now, 1, 0)
        passed, _, (wait,), _, _ = outcome.result
        if clients[number].told == len(granted):
            assert passed, "whoever comes back when told to, and was not forestalled, is not refused"
        client = Client(None) if passed else Client(now + wait, len(granted))
        others = (*clients[:number], client, *clients[number + 1 :])
        ends += interleavings(spec, outcome.states[0], now, others, [*granted, now] if passed else granted)
    return ends


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("spec", [RATE, WINDOW], ids=["rate", "window"])
def test_clients_that_come_back_as_told_lose_nothing(spec: Spec, count: int) -> None:
    """Whoever of two, three or five is quicker each time: all get their permits, as early as the limit allows."""
    assert interleavings(spec, None, START, (Client(),) * count, []) > 0


def test_the_specs_are_those_of_the_classes() -> None:
    """The numbers used here mean what the public classes mean by them."""
    assert Rate(2, PERIOD / 1e9 * 1e6, BURST).spec._replace(period=RATE.period) == RATE
    assert SlidingWindow(BURST, 20.0).spec._replace(period=WINDOW.period) == WINDOW
