"""What a concurrency limiter owes to processes that share it, each property as one measurement for any subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from conformance.bulkheads import BulkheadSubject, Permits
from conformance.properties import NOT_KILLED, ONE_CLOCK, PROCESSES, SKEW, Verdict
from support.processes import Crowd, workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.subjects import Place

__all__ = ["BULKHEAD_PROPERTIES", "BulkheadTrial"]

THREE = Permits(limit=3, lease=10.0)
ONE = Permits(limit=1, lease=1.0)
NO_LATER = 2.0


class BulkheadTrial(NamedTuple):
    """One subject, its place, and processes to try it with."""

    subject: BulkheadSubject
    place: Place
    crew: Crowd

    def arguments(self, settings: Permits, **more: Any) -> dict[str, Any]:
        """What every job gets."""
        return {"subject": self.subject.name, "place": self.place, "settings": settings, **more}

    def run(self, job: str, settings: Permits, **more: Any) -> list[Any]:
        """Have the crew do a job."""
        return self.crew.run(job, **self.arguments(settings, **more))


def _at_once(held: list[tuple[float, float]]) -> int:
    return max(sum(began <= start < ended for began, ended in held) for start, _ in held)


def _hold(trial: BulkheadTrial, settings: Permits, **more: Any) -> list[tuple[float, float]]:
    reports = trial.run("hold_in_turn_of", settings, times=4, seconds=0.05, **more)
    return [(began, ended) for report in reports for began, ended in report]


def never_more(trial: BulkheadTrial) -> Verdict:
    """Eight processes hold their permits in turn, never more of them at once than there are, and all get theirs."""
    held = _hold(trial, THREE)
    most = _at_once(held)
    return Verdict(most == THREE.limit and len(held) == 4 * PROCESSES, f"{most} at once of {THREE.limit}")


def arrival(trial: BulkheadTrial) -> Verdict:
    """With one permit, who came first is served first."""
    each = [{"after": 0.3 + 0.15 * number} for number in range(PROCESSES)]
    settings = Permits(1, 10.0)
    reports = trial.run("hold_in_turn_of", settings, each=each, times=1, seconds=0.4)
    order = sorted(range(PROCESSES), key=lambda number: reports[number][0][0])
    overtaken = sum(earlier > later for place, earlier in enumerate(order) for later in order[place:])
    return Verdict(overtaken == 0, f"{overtaken} overtakings")


def killed_holder(trial: BulkheadTrial) -> Verdict:
    """A killed holder's permit is there again within its lease and two seconds."""
    if trial.subject.store == "memory":
        return NOT_KILLED
    with workers(1, "hold_and_hang", **trial.arguments(ONE)) as crowd:
        crowd.start()
        assert crowd.workers[0].hear() == "held"
        crowd.workers[0].kill()
    waiter = Crowd(trial.crew.workers[:1])
    (after,) = waiter.run("wait_for_one", **trial.arguments(ONE, seconds=ONE.lease + NO_LATER))
    return Verdict(after is not None, "never" if after is None else f"after {after:.1f} s")


def living_holder(trial: BulkheadTrial) -> Verdict:
    """A holder that lives keeps its permit for longer than one lease."""
    holder, waiter = Crowd(trial.crew.workers[:1]), Crowd(trial.crew.workers[1:2])
    holder.prepare("hold_in_turn_of", **trial.arguments(ONE, times=1, seconds=2.5 * ONE.lease)).start()
    waiter.prepare("hold_in_turn_of", **trial.arguments(ONE, times=1, seconds=0.05, after=0.5)).start()
    (held,), (next_held,) = (trial.crew.workers[number].hear_report() for number in range(2))
    early = held[1] - next_held[0]
    return Verdict(early <= 0, f"given away {early:.1f} s early" if early > 0 else "is kept")


def skewed_holders(trial: BulkheadTrial) -> Verdict:
    """With clocks five seconds off, either way, and leases of one second, no more hold one than there are."""
    if trial.subject.store == "memory":
        return ONE_CLOCK
    each = [{"skew": SKEW if number % 2 else -SKEW} for number in range(PROCESSES)]
    most = _at_once(_hold(trial, Permits(THREE.limit, ONE.lease), each=each))
    return Verdict(most <= THREE.limit, f"{most} at once of {THREE.limit}")


BULKHEAD_PROPERTIES: dict[str, Callable[[BulkheadTrial], Verdict]] = {
    "never more at once, and all get theirs": never_more,
    "in order of arrival": arrival,
    "a killed holder's permit comes back": killed_holder,
    "a living holder keeps its permit": living_holder,
    "clocks 5 s off change nothing": skewed_holders,
}
