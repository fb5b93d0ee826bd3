"""What a limiter owes to processes that share it, each property as one measurement that any subject can take.

A verdict holds, does not hold, or was not measured (None): the subject does not offer what would be measured.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from conformance.subjects import Limit, Place, Subject
from support.processes import Crowd, ThreadWorker, Worker, workers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NOT_KILLED", "ONE_CLOCK", "PROCESSES", "PROPERTIES", "SKEW", "TOO_SHORT", "Trial", "Verdict", "kind"]

PROCESSES = 8
BUSY = Limit(limit=50, period=1.0, burst=25)
SCARCE = Limit(limit=5, period=60.0, burst=5)
SKEW = 5.0


class Verdict(NamedTuple):
    """Whether a property holds, and what was seen."""

    holds: bool | None
    seen: str


ONE_CLOCK = Verdict(None, "one process has one clock")
NOT_KILLED = Verdict(None, "threads are not killed")
TOO_SHORT = Verdict(None, "a day is longer than a trial")


def kind(store: str) -> type[Worker | ThreadWorker]:
    """What shares such a store: processes, or threads."""
    return ThreadWorker if store == "memory" else Worker


class Trial(NamedTuple):
    """One subject, its place, and processes to try it with."""

    subject: Subject
    place: Place
    crew: Crowd
    seconds: float

    def run(self, job: str, limit: Limit, crowd: Crowd | None = None, **arguments: Any) -> list[Any]:
        """Have the crew, or another crowd, do a job with the subject."""
        return (crowd or self.crew).run(job, subject=self.subject.name, place=self.place, limit=limit, **arguments)

    def burst(self, limit: Limit) -> int:
        """What may come at once: windows and quotas allow all of theirs."""
        return limit.limit if self.subject.window or self.subject.calendar else limit.burst

    def most(self, limit: Limit, seconds: float) -> float:
        """What may come within so many seconds."""
        return self.burst(limit) + (0 if self.subject.calendar else limit.limit * seconds)

    def least(self, limit: Limit, seconds: float) -> float:
        """What the limit is to give to those who ask all the time, for so many seconds."""
        if self.subject.calendar:
            return limit.limit
        return limit.limit * (int(seconds) if self.subject.window else seconds)


def one_call_processes(trial: Trial) -> Verdict:
    """Processes that ask once each get exactly as many permits as there are."""
    arguments = {"subject": trial.subject.name, "place": trial.place, "limit": SCARCE}
    with workers(10, "ask_once", kind(trial.subject.store), **arguments) as crowd:
        granted = sum(crowd.run())
    return Verdict(granted == SCARCE.burst, f"{granted} of {SCARCE.burst}")


def _busy(trial: Trial, **arguments: Any) -> tuple[list[tuple[float, float]], float, float]:
    reports = trial.run("ask_for", BUSY, seconds=trial.seconds, **arguments)
    granted = sorted((before, after) for report in reports for before, after in report["granted"])
    together = min(report["ended"] for report in reports) - max(report["began"] for report in reports)
    overall = max(report["ended"] for report in reports) - min(report["began"] for report in reports)
    return granted, together, overall


def never_above(trial: Trial) -> Verdict:
    """Eight busy processes never get more than `rate * time + burst`."""
    granted, _, overall = _busy(trial)
    most = trial.most(BUSY, overall)
    return Verdict(len(granted) <= most, f"{len(granted) / most:.0%} of the most")


def hardly_below(trial: Trial) -> Verdict:
    """Eight busy processes get at least 97 % of the rate."""
    granted, together, _ = _busy(trial)
    least = trial.least(BUSY, together)
    return Verdict(len(granted) >= 0.97 * least, f"{len(granted) / least:.0%} of the rate")


def no_window_above(trial: Trial) -> Verdict:
    """No window of one period holds more than `limit + burst` (an exact window: than its limit)."""
    granted, _, _ = _busy(trial)
    most = BUSY.limit + (0 if trial.subject.window or trial.subject.calendar else BUSY.burst)
    # Counted are the permits that surely lie within one period: asked for in it, and had in it.
    fullest = max(
        sum(start <= before and after < start + BUSY.period for before, after in granted) for start, _ in granted
    )
    return Verdict(fullest <= most, f"{fullest} of {most}")


def no_false_refusals(trial: Trial) -> Verdict:
    """Processes that together ask for half of the rate, evenly, are never refused."""
    if trial.subject.calendar:
        return TOO_SHORT
    reports = trial.run("ask_for", BUSY, seconds=trial.seconds, pause=PROCESSES / (BUSY.limit / 2))
    refused = sum(report["refused"] for report in reports)
    asked = refused + sum(len(report["granted"]) for report in reports)
    return Verdict(refused == 0, f"{refused / asked:.0%} refused")


def come_back_as_told(trial: Trial) -> Verdict:
    """A caller that is alone and comes back when it is told to is never refused again."""
    if trial.subject.calendar:
        return TOO_SHORT
    (in_vain,) = trial.run("ask_as_told", BUSY, Crowd(trial.crew.workers[:1]), rounds=BUSY.limit + 20)
    return Verdict(None, "tells no time") if in_vain is None else Verdict(in_vain == 0, f"{in_vain} in vain")


def skewed_clocks(trial: Trial) -> Verdict:
    """Clients whose clocks are five seconds off, either way, get together what the rate allows."""
    if trial.subject.store == "memory":
        return ONE_CLOCK
    each = [{"skew": SKEW if number % 2 else -SKEW} for number in range(PROCESSES)]
    granted, together, overall = _busy(trial, each=each)
    least, most = trial.least(BUSY, together), trial.most(BUSY, overall)
    return Verdict(0.97 * least <= len(granted) <= most, f"{len(granted) / least:.0%} of the rate")


def killed_processes(trial: Trial) -> Verdict:
    """After processes were killed in the middle of asking, another one gets its permit within two periods."""
    if trial.subject.store == "memory":
        return NOT_KILLED
    if trial.subject.calendar:
        return TOO_SHORT
    arguments = {"subject": trial.subject.name, "place": trial.place, "limit": BUSY, "seconds": 60.0}
    with workers(4, "ask_for", **arguments) as crowd:
        crowd.start()
        trial.run("ask_for", BUSY, Crowd(trial.crew.workers[:1]), seconds=0.3)
        for worker in crowd.workers:
            worker.kill()
    began = time.monotonic()
    (report,) = trial.run("ask_for", BUSY, Crowd(trial.crew.workers[:1]), seconds=2 * BUSY.period, pause=0.01)
    first = report["granted"][0][1] - began if report["granted"] else None
    return Verdict(first is not None, "no permit" if first is None else f"after {first:.2f} s")


PROPERTIES: dict[str, Callable[[Trial], Verdict]] = {
    "one-call processes add up exactly": one_call_processes,
    "never above rate × time + burst": never_above,
    "at least 97 % of the rate": hardly_below,
    "no window above limit + burst": no_window_above,
    "no false refusals": no_false_refusals,
    "coming back as told succeeds": come_back_as_told,
    "clocks 5 s off change nothing": skewed_clocks,
    "SIGKILL leaves nothing locked": killed_processes,
}
