"""Every interleaving of two and three clients on the breaker's transitions, explored state by state.

A client asks, calls, reports or dies; the clock ticks; each step is atomic, as it is in every storage. The search
visits each reachable state once and holds every step against a record kept apart from the breaker (what each call began
in, and when failures were reported).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
from backpressure.breaker.settings import AdmitRules, RecordRules
from backpressure.breaker.state import Admission, BreakerState, Change, Phase, Probe, Report, Result
from backpressure.breaker.transitions import admit, record

Admit = Callable[[BreakerState, AdmitRules, int, int], tuple[BreakerState, Admission]]
Record = Callable[[BreakerState, RecordRules, int, Report], tuple[BreakerState, Change | None]]

OLD = -99
"""Stands for any instant that is too far back to matter, so that states repeat and the search ends."""


class Call(NamedTuple):
    """A call on its way: what its admission said, and when a probe's lease ends."""

    epoch: int
    probe: bool
    lease_ends: int


@dataclass(frozen=True)
class World:
    """One state of the whole: breaker, calls on their way, and what an onlooker has seen. The present instant is 0."""

    breaker: BreakerState
    calls: tuple[Call | None, ...]
    reported: tuple[int, ...] = ()
    """Instants of the failures that were reported in this closed phase by calls that began in it."""
    good_probes: int = 0
    """Probes of this half-open phase that reported success in time."""


class Rules(NamedTuple):
    """A breaker that opens for 2 ticks after 2 failures within 2 ticks, and gives up a probe after 2."""

    permits: int
    threshold: int = 2
    window: int = 2
    open_for: int = 2
    lease: int = 2

    @property
    def of_admit(self) -> AdmitRules:
        """The rules of an admission."""
        return AdmitRules(self.permits, self.lease, self.open_for)

    @property
    def of_record(self) -> RecordRules:
        """The rules of a report."""
        return RecordRules(
            self.threshold, None, None, None, 1, self.window, 1, self.permits, self.open_for, 1.0, self.open_for, 0.0
        )


class Explorer:
    """Breadth-first search over all worlds that can be reached."""

    def __init__(self, rules: Rules, clients: int, admit: Admit = admit, record: Record = record) -> None:
        self.rules = rules
        self.admit = admit
        self.record = record
        self.start = shifted(World(BreakerState(since=OLD, open_until=OLD), (None,) * clients), 0)
        self.seen = {self.start}
        self.phases: set[tuple[Phase, Phase]] = set()

    def run(self) -> int:
        """Visit every reachable world and return how many there are."""
        frontier = [self.start]
        while frontier:
            fresh = []
            for world in frontier:
                self.check(world)
                for following in self.steps(world):
                    key = shifted(following, 0)
                    if key not in self.seen:
                        self.seen.add(key)
                        fresh.append(key)
            frontier = fresh
        return len(self.seen)

    def steps(self, world: World) -> list[World]:
        """All worlds that one step leads to."""
        following = [shifted(world, 1)]
        for client, call in enumerate(world.calls):
            if call is None:
                following.append(self.ask(world, client))
            else:
                following.append(with_call(world, client, None))
                following.extend(self.report(world, client, call, result) for result in Result)
        return following

    def ask(self, world: World, client: int) -> World:
        """A client asks to call."""
        before = world.breaker
        after, answer = self.admit(before, self.rules.of_admit, 0, client)
        if before.phase is Phase.OPEN and before.open_until > 0:
            assert not answer.allowed, "a call passed an open breaker"
            assert answer.retry_after_ns == before.open_until
        if before.phase is Phase.CLOSED:
            assert answer.allowed, "a closed breaker refused"
            assert after == before
        again = self.admit(after, self.rules.of_admit, 0, client)
        assert (again[0], again[1].allowed) == (after, answer.allowed), "the same question asked twice counts twice"
        if not answer.allowed:
            assert after == before, "a refusal changed the state"
            assert answer.retry_after_ns > 0
            return world
        self.phases.add((before.phase, after.phase))
        lease_ends = self.rules.lease if answer.probe else 0
        good = world.good_probes if after.epoch == before.epoch else 0
        return replace(
            with_call(world, client, Call(answer.epoch, answer.probe, lease_ends)), breaker=after, good_probes=good
        )

    def report(self, world: World, client: int, call: Call, result: Result) -> World:
        """A client's call ends and is reported."""
        before, report = world.breaker, Report(client, call.epoch, result)
        after, change = self.record(before, self.rules.of_record, 0, report)
        assert self.record(after, self.rules.of_record, 0, report) == (after, None), "a report counts twice"
        self.phases.add((before.phase, after.phase))
        assert (change is None) == (before.phase is after.phase)
        following = replace(with_call(world, client, None), breaker=after)
        counts = call.epoch == before.epoch and (not call.probe or call.lease_ends > 0)
        if not counts or result is Result.IGNORED:
            assert change is None, "a late or ignored result changed the phase"
            assert after._replace(probes=before.probes) == before
            return following
        if before.phase is Phase.CLOSED:
            return self.check_closed(world, following, result)
        return self.check_half_open(world, following, result)

    def check_closed(self, world: World, following: World, result: Result) -> World:
        """A result in the closed phase opens the breaker exactly when the onlooker has counted enough failures."""
        reported = (*world.reported, 0) if result is Result.FAILURE else world.reported
        recent = [at for at in reported if at > -self.rules.window]
        must_open = result is Result.FAILURE and len(recent) >= self.rules.threshold
        assert (following.breaker.phase is Phase.OPEN) == must_open
        if must_open:
            assert following.breaker.open_until == self.rules.open_for
        return replace(following, reported=() if must_open else reported)

    def check_half_open(self, world: World, following: World, result: Result) -> World:
        """A probe's failure opens for the full time; as many successes as permits close."""
        if result is Result.FAILURE:
            assert following.breaker.phase is Phase.OPEN
            assert following.breaker.open_until == self.rules.open_for
            return replace(following, good_probes=0)
        good = world.good_probes + 1
        closes = good == self.rules.permits
        assert (following.breaker.phase is Phase.CLOSED) == closes
        return replace(following, good_probes=0 if closes else good)

    def check(self, world: World) -> None:
        """What must hold in every world."""
        breaker, permits = world.breaker, self.rules.permits
        probing = [c for c in world.calls if c and c.probe and c.epoch == breaker.epoch and c.lease_ends > 0]
        assert len(probing) <= permits, "more probes at once than permits"
        if breaker.phase is Phase.HALF_OPEN:
            assert len(probing) + breaker.successes <= permits
        self.check_recovery(breaker)

    def check_recovery(self, breaker: BreakerState) -> None:
        """If every client dies now, a newcomer is let through when the leases or the open time end, and can close."""
        now = max(self.rules.lease, breaker.open_until)
        for number in range(self.rules.permits + 1):
            breaker, answer = self.admit(breaker, self.rules.of_admit, now, 200 + number)
            assert answer.allowed, "the breaker stays shut though nobody is there"
            breaker, _ = self.record(
                breaker, self.rules.of_record, now, Report(200 + number, answer.epoch, Result.SUCCESS)
            )
        assert breaker.phase is Phase.CLOSED


def with_call(world: World, client: int, call: Call | None) -> World:
    """The world with one client's call replaced."""
    return replace(world, calls=tuple(call if n == client else old for n, old in enumerate(world.calls)))


def shifted(world: World, ticks: int) -> World:
    """The world some ticks later: all instants relative to the new present, what no longer matters gone."""
    breaker = world.breaker

    def moved(instant: int) -> int:
        return instant - ticks if instant - ticks > -4 else OLD

    # Only whether a call's epoch is the present one matters, so the present one is called 0.
    calls = tuple(
        call and Call(0 if call.epoch == breaker.epoch else -1, call.probe, max(call.lease_ends - ticks, 0))
        for call in world.calls
    )
    # A dead client's probe keeps its lease, under a number that no new call has.
    alive = {client for client, call in enumerate(calls) if call and call.lease_ends}
    probes = tuple(
        Probe(probe.call if probe.call in alive else 100 + place, probe.ends - ticks)
        for place, probe in enumerate(probe for probe in breaker.probes if probe.ends > ticks)
    )
    return World(
        breaker._replace(
            epoch=0,
            since=OLD,
            openings=min(breaker.openings, 1),
            consecutive=0,
            hosts=(),
            open_until=moved(breaker.open_until),
            failures=tuple(moved(at) for at in breaker.failures if moved(at) > OLD),
            probes=probes,
            recent=(),
            expires=0,
        ),
        calls,
        tuple(moved(at) for at in world.reported if moved(at) > OLD),
        world.good_probes,
    )


@pytest.mark.parametrize(("clients", "permits"), [(2, 1), (2, 2), (3, 1), (3, 2)])
def test_no_interleaving_breaks_the_breaker(clients: int, permits: int) -> None:
    """No order of asking, reporting, dying and ticking lets through too many, opens wrongly or shuts for good."""
    explorer = Explorer(Rules(permits), clients)
    worlds = explorer.run()
    changes = {(before, after) for before, after in explorer.phases if before is not after}
    assert changes == {
        (Phase.CLOSED, Phase.OPEN),
        (Phase.OPEN, Phase.HALF_OPEN),
        (Phase.HALF_OPEN, Phase.OPEN),
        (Phase.HALF_OPEN, Phase.CLOSED),
    }
    assert worlds > 300


def counts_results_of_any_epoch(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a late result counts against whatever state the breaker is in now."""
    return record(state, rules, now, report._replace(epoch=state.epoch))


def lets_successes_clear_failures(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a success forgets the failures within the window."""
    after, change = record(state, rules, now, report)
    forgets = report.result is Result.SUCCESS and report.epoch == state.epoch
    return (after._replace(failures=()) if forgets else after), change


def believes_given_up_probes(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a probe's report counts although its lease has ended."""
    if state.phase is Phase.HALF_OPEN and report.epoch == state.epoch:
        others = tuple(probe for probe in state.probes if probe.call != report.call)
        state = state._replace(probes=(*others, Probe(report.call, now + 1)))
    return record(state, rules, now, report)


def counts_a_report_twice(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a report that arrives twice after a broken connection is counted twice."""
    return record(state._replace(recent=()), rules, now, report)


def never_gives_up_probes(
    state: BreakerState, rules: AdmitRules, now: int, call: int
) -> tuple[BreakerState, Admission]:
    """Fault: a dead prober keeps its permit for ever."""
    return admit(state, rules._replace(lease_ns=1000), now, call)


def lets_everybody_probe(state: BreakerState, rules: AdmitRules, now: int, call: int) -> tuple[BreakerState, Admission]:
    """Fault: half-open lets all callers pass, as breakers do that keep no permits."""
    return admit(state, rules._replace(permits=3), now, call)


def forgets_that_it_is_open(
    state: BreakerState, rules: AdmitRules, now: int, call: int
) -> tuple[BreakerState, Admission]:
    """Fault: a caller sees the state of a moment ago, as with a cached copy."""
    return admit(state._replace(open_until=min(state.open_until, now + 1)), rules, now + 1, call)


@pytest.mark.parametrize(
    ("faulty_admit", "faulty_record"),
    [
        (admit, counts_results_of_any_epoch),
        (admit, lets_successes_clear_failures),
        (admit, believes_given_up_probes),
        (admit, counts_a_report_twice),
        (never_gives_up_probes, record),
        (lets_everybody_probe, record),
        (forgets_that_it_is_open, record),
    ],
)
def test_the_search_finds_typical_faults(faulty_admit: Admit, faulty_record: Record) -> None:
    """The search is sharp: it rejects each of the faults that breakers are known for, with two clients already."""
    with pytest.raises(AssertionError):
        Explorer(Rules(permits=1), 2, faulty_admit, faulty_record).run()
