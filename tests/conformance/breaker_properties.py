"""What a circuit breaker owes to processes that share it, each property as one measurement for any subject."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from conformance.breakers import BreakerSubject, Settings
from conformance.properties import NOT_KILLED, ONE_CLOCK, PROCESSES, SKEW, Verdict, kind
from support.processes import Crowd, workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.subjects import Place

__all__ = ["BREAKER_PROPERTIES", "BreakerTrial"]

LEASE = 1.0
FOR_LONG = Settings(threshold=PROCESSES, open_for=600.0, lease=LEASE)
AT_ONCE = Settings(threshold=1, open_for=0.3, lease=LEASE)
AT_THE_FIRST = FOR_LONG._replace(threshold=1)
FOR_A_WHILE = Settings(threshold=1, open_for=2.0, lease=LEASE)
NO_LATER = 2.0


class BreakerTrial(NamedTuple):
    """One subject, its place, and processes to try it with."""

    subject: BreakerSubject
    place: Place
    crew: Crowd

    def arguments(self, settings: Settings, **more: Any) -> dict[str, Any]:
        """What every job gets."""
        return {"subject": self.subject.name, "place": self.place, "settings": settings, **more}

    def run(self, job: str, settings: Settings, count: int = PROCESSES, **more: Any) -> list[Any]:
        """Have some of the crew do a job."""
        return Crowd(self.crew.workers[:count]).run(job, **self.arguments(settings, **more))

    def open(self, settings: Settings, **more: Any) -> None:
        """Let failures open it."""
        self.run("call_until_refused", settings, 1, times=1, seconds=5.0, **more)


def failures_add_up(trial: BreakerTrial) -> Verdict:
    """One failure of each of eight processes that make one call opens a breaker with a threshold of eight."""
    with workers(PROCESSES, "call_once", kind(trial.subject.store), **trial.arguments(FOR_LONG, fails=True)) as crowd:
        passed = sum(report["passed"] for report in crowd.run())
    (report,) = trial.run("call_once", FOR_LONG, 1, fails=False)
    return Verdict(passed == PROCESSES and not report["passed"], "lets a ninth pass" if report["passed"] else "is open")


def open_is_open(trial: BreakerTrial) -> Verdict:
    """After any process was refused, no call that is asked for in any process passes."""
    reports = trial.run("call_until_refused", FOR_LONG, times=30, seconds=6.0)
    refused = [at for report in reports for at in report["refused"]]
    if not refused:
        return Verdict(holds=False, seen="never opened")
    late = sum(asked > min(refused) for report in reports for asked in report["asked"])
    return Verdict(late == 0, f"{late} passed later")


def one_probe(trial: BreakerTrial) -> Verdict:
    """Half-open, one call runs at a time, however many ask."""
    most = 0
    for _ in range(4):
        trial.open(AT_ONCE)
        time.sleep(AT_ONCE.open_for)
        reports = trial.run("call_prepared", AT_ONCE, seconds=0.25)
        runs = [ran for ran in reports if ran]
        # Those that began while the first one was still on its way; afterwards it is closed, and all may run.
        first_end = min((ran[1] for ran in runs), default=0.0)
        most = max(most, sum(ran[0] < first_end for ran in runs))
    return Verdict(most == 1, f"{most} at once")


def killed_prober(trial: BreakerTrial) -> Verdict:
    """When the prober is killed, another call passes within its lease and two seconds."""
    if trial.subject.store == "memory":
        return NOT_KILLED
    trial.open(AT_ONCE)
    time.sleep(AT_ONCE.open_for)
    with workers(1, "call_and_hang", **trial.arguments(AT_ONCE, hang=True)) as crowd:
        crowd.start()
        assert crowd.workers[0].hear() == "held"
        crowd.workers[0].kill()
    (after,) = trial.run("call_until_passed", AT_ONCE, 1, seconds=LEASE + NO_LATER)
    return Verdict(after is not None, "never" if after is None else f"after {after:.1f} s")


def late_results(trial: BreakerTrial) -> Verdict:
    """A call that began before the breaker opened, and succeeds afterwards, does not close it."""
    slow = Crowd(trial.crew.workers[:1])
    slow.prepare("call_prepared", **trial.arguments(AT_THE_FIRST, seconds=1.0)).start()
    time.sleep(0.3)
    opener = Crowd(trial.crew.workers[1:2])
    opener.run("call_until_refused", **trial.arguments(AT_THE_FIRST, times=1, seconds=0.3))
    slow.workers[0].hear()
    (report,) = opener.run("call_once", **trial.arguments(AT_THE_FIRST, fails=False))
    return Verdict(not report["passed"], "closed by it" if report["passed"] else "stays open")


def skewed_breakers(trial: BreakerTrial) -> Verdict:
    """Between clocks ten seconds apart it stays open for its two seconds, and no longer."""
    if trial.subject.store == "memory":
        return ONE_CLOCK
    seen = []
    for skew in (-SKEW, SKEW):
        trial.open(FOR_A_WHILE, skew=skew)
        (after,) = trial.run("call_until_passed", FOR_A_WHILE, 1, seconds=2 * FOR_A_WHILE.open_for, skew=-skew)
        seen.append(after)
    good = all(after is not None and 0.5 * FOR_A_WHILE.open_for < after for after in seen)
    told = ("never" if after is None else f"{after:.1f} s" for after in seen)
    return Verdict(good, f"open for {' and '.join(told)}")


def killed_callers(trial: BreakerTrial) -> Verdict:
    """After processes were killed in the middle of calls, another one has its answer within two seconds."""
    if trial.subject.store == "memory":
        return NOT_KILLED
    with workers(4, "call_and_hang", **trial.arguments(AT_ONCE, hang=False)) as crowd:
        crowd.start()
        time.sleep(0.4)
        for worker in crowd.workers:
            worker.kill()
    (report,) = trial.run("call_once", AT_ONCE, 1, fails=False)
    took = report["ended"] - report["began"]
    return Verdict(took < NO_LATER, f"after {took:.2f} s")


BREAKER_PROPERTIES: dict[str, Callable[[BreakerTrial], Verdict]] = {
    "failures of one-call processes add up": failures_add_up,
    "after anybody saw it open, no call passes": open_is_open,
    "half-open, one probe at a time": one_probe,
    "a killed prober is replaced": killed_prober,
    "late results change nothing": late_results,
    "clocks 5 s off change nothing": skewed_breakers,
    "SIGKILL leaves nothing locked": killed_callers,
}
