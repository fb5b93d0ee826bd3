"""Every interleaving of two and three clients on the breaker's transitions, explored state by state.

A client asks, calls, reports or dies; the clock ticks; each step is atomic, as it is in every storage. The search
visits each reachable state once and holds every step against a record kept apart from the breaker (what each call began
in, and when failures were reported).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.state import Admission, BreakerState, Change, Outcome, Phase, Probe, Report
from backpressure.breaker.transitions import admit, record

Admit = Callable[[BreakerState, BreakerSettings, float, str], tuple[BreakerState, Admission]]
Record = Callable[[BreakerState, BreakerSettings, float, Report], tuple[BreakerState, Change | None]]

OLD = -99.0
"""Stands for any instant that is too far back to matter, so that states repeat and the search ends."""


class Call(NamedTuple):
    """A call on its way: what its admission said, and when a probe's lease ends."""

    epoch: int
    token: str | None
    lease_ends: float


@dataclass(frozen=True)
class World:
    """One state of the whole: breaker, calls on their way, and what an onlooker has seen. The present instant is 0."""

    breaker: BreakerState
    calls: tuple[Call | None, ...]
    reported: tuple[float, ...] = ()
    """Instants of the failures that were reported in this closed phase by calls that began in it."""
    good_probes: int = 0
    """Probes of this half-open phase that reported success in time."""


class Explorer:
    """Breadth-first search over all worlds that can be reached."""

    def __init__(
        self,
        settings: BreakerSettings,
        clients: int,
        admit: Admit = admit,
        record: Record = record,
    ) -> None:
        self.settings = settings
        self.admit = admit
        self.record = record
        self.start = World(BreakerState(since=OLD, open_until=OLD), (None,) * clients)
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
                following.extend(self.report(world, client, call, outcome) for outcome in Outcome)
        return following

    def ask(self, world: World, client: int) -> World:
        """A client asks to call."""
        before = world.breaker
        after, answer = self.admit(before, self.settings, 0.0, f"probe of {client}")
        if before.phase is Phase.OPEN and before.open_until > 0:
            assert not answer.allowed, "a call passed an open breaker"
            assert answer.retry_after == before.open_until
        if before.phase is Phase.CLOSED:
            assert answer.allowed, "a closed breaker refused"
            assert after == before
        if not answer.allowed:
            assert after == before, "a refusal changed the state"
            assert answer.retry_after > 0
            return world
        self.phases.add((before.phase, after.phase))
        lease_ends = self.settings.probe_lease if answer.token else 0.0
        good = world.good_probes if after.epoch == before.epoch else 0
        return replace(
            with_call(world, client, Call(answer.epoch, answer.token, lease_ends)), breaker=after, good_probes=good
        )

    def report(self, world: World, client: int, call: Call, outcome: Outcome) -> World:
        """A client's call ends and is reported."""
        before = world.breaker
        after, change = self.record(before, self.settings, 0.0, Report(call.epoch, call.token, outcome))
        self.phases.add((before.phase, after.phase))
        assert (change is None) == (before.phase is after.phase)
        following = replace(with_call(world, client, None), breaker=after)
        counts = call.epoch == before.epoch and (call.token is None or call.lease_ends > 0)
        if not counts or outcome is Outcome.IGNORED:
            assert change is None, "a late or ignored result changed the phase"
            assert replace(after, probes=before.probes) == before
            return following
        if before.phase is Phase.CLOSED:
            return self.check_closed(world, following, outcome)
        return self.check_half_open(world, following, outcome)

    def check_closed(self, world: World, following: World, outcome: Outcome) -> World:
        """A result in the closed phase opens the breaker exactly when the onlooker has counted enough failures."""
        reported = (*world.reported, 0.0) if outcome is Outcome.FAILURE else world.reported
        recent = [at for at in reported if at > -self.settings.window]
        must_open = outcome is Outcome.FAILURE and len(recent) >= (self.settings.failure_threshold or 0)
        assert (following.breaker.phase is Phase.OPEN) == must_open
        if must_open:
            assert following.breaker.open_until == self.settings.open_for
        return replace(following, reported=() if must_open else reported)

    def check_half_open(self, world: World, following: World, outcome: Outcome) -> World:
        """A probe's failure opens for the full time; as many successes as permits close."""
        if outcome is Outcome.FAILURE:
            assert following.breaker.phase is Phase.OPEN
            assert following.breaker.open_until == self.settings.open_for
            return replace(following, good_probes=0)
        good = world.good_probes + 1
        closes = good == self.settings.half_open_permits
        assert (following.breaker.phase is Phase.CLOSED) == closes
        return replace(following, good_probes=0 if closes else good)

    def check(self, world: World) -> None:
        """What must hold in every world."""
        breaker, permits = world.breaker, self.settings.half_open_permits
        probing = [c for c in world.calls if c and c.token and c.epoch == breaker.epoch and c.lease_ends > 0]
        assert len(probing) <= permits, "more probes at once than permits"
        if breaker.phase is Phase.HALF_OPEN:
            assert len(probing) + breaker.successes <= permits
        self.check_recovery(breaker)

    def check_recovery(self, breaker: BreakerState) -> None:
        """If every client dies now, a newcomer is let through when the leases or the open time end, and can close."""
        now = max(self.settings.probe_lease, breaker.open_until)
        for number in range(self.settings.half_open_permits + 1):
            breaker, answer = self.admit(breaker, self.settings, now, f"newcomer {number}")
            assert answer.allowed, "the breaker stays shut though nobody is there"
            breaker, _ = self.record(breaker, self.settings, now, Report(answer.epoch, answer.token, Outcome.SUCCESS))
        assert breaker.phase is Phase.CLOSED


def with_call(world: World, client: int, call: Call | None) -> World:
    """The world with one client's call replaced."""
    return replace(world, calls=tuple(call if n == client else old for n, old in enumerate(world.calls)))


def shifted(world: World, seconds: float) -> World:
    """The world some seconds later: all instants relative to the new present, what no longer matters gone."""
    breaker = world.breaker

    def moved(instant: float) -> float:
        return max(instant - seconds, OLD) if instant - seconds > -4 else OLD

    # Only whether a call's epoch is the present one matters, so the present one is called 0.
    calls = tuple(
        call and Call(0 if call.epoch == breaker.epoch else -1, call.token, max(call.lease_ends - seconds, 0.0))
        for call in world.calls
    )
    return World(
        replace(
            breaker,
            epoch=0,
            since=OLD,
            openings=min(breaker.openings, 1),
            consecutive=0,
            hosts=(),
            open_until=moved(breaker.open_until),
            failures=tuple(moved(at) for at in breaker.failures if moved(at) > OLD),
            probes=tuple(
                probe._replace(expires=probe.expires - seconds) for probe in breaker.probes if probe.expires > seconds
            ),
        ),
        calls,
        tuple(moved(at) for at in world.reported if moved(at) > OLD),
        world.good_probes,
    )


SETTINGS = BreakerSettings(failure_threshold=2, window=2, open_for=2, half_open_permits=1, probe_lease=2)


@pytest.mark.parametrize(("clients", "permits"), [(2, 1), (2, 2), (3, 1), (3, 2)])
def test_no_interleaving_breaks_the_breaker(clients: int, permits: int) -> None:
    """No order of asking, reporting, dying and ticking lets through too many, opens wrongly or shuts for good."""
    explorer = Explorer(replace(SETTINGS, half_open_permits=permits), clients)
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
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a late result counts against whatever state the breaker is in now."""
    return record(state, settings, now, replace(report, epoch=state.epoch))


def lets_successes_clear_failures(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a success forgets the failures within the window."""
    after, change = record(state, settings, now, report)
    forgets = report.outcome is Outcome.SUCCESS and report.epoch == state.epoch
    return (replace(after, failures=()) if forgets else after), change


def believes_given_up_probes(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    """Fault: a probe's report counts although its lease has ended."""
    revived = tuple(probe._replace(expires=now + 1) for probe in state.probes)
    if report.token and report.token not in {probe.token for probe in revived}:
        revived = (*revived, Probe(report.token, now + 1))
    after, change = record(replace(state, probes=revived), settings, now, report)
    return (replace(after, probes=state.probes) if after.phase is state.phase else after), change


def never_gives_up_probes(
    state: BreakerState, settings: BreakerSettings, now: float, token: str
) -> tuple[BreakerState, Admission]:
    """Fault: a dead prober keeps its permit for ever."""
    return admit(state, replace(settings, probe_lease=1e6), now, token)


def lets_everybody_probe(
    state: BreakerState, settings: BreakerSettings, now: float, token: str
) -> tuple[BreakerState, Admission]:
    """Fault: half-open lets all callers pass, as breakers do that keep no permits."""
    return admit(state, replace(settings, half_open_permits=3), now, token)


@pytest.mark.parametrize(
    ("faulty_admit", "faulty_record"),
    [
        (admit, counts_results_of_any_epoch),
        (admit, lets_successes_clear_failures),
        (admit, believes_given_up_probes),
        (never_gives_up_probes, record),
        (lets_everybody_probe, record),
    ],
)
def test_the_search_finds_typical_faults(faulty_admit: Admit, faulty_record: Record) -> None:
    """The search is sharp: it rejects each of the faults that breakers are known for, with two clients already."""
    with pytest.raises(AssertionError):
        Explorer(SETTINGS, 2, faulty_admit, faulty_record).run()
