"""What an autoscaler saw and did: from the samples that it took, and the timestamps of the work itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from backpressure.measures.measure import Measure
from backpressure.measures.samples import integral, most

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backpressure.timeline import Timeline

__all__ = ["Action", "Scaling"]

SAMPLES, TASKS = "worker samples", "task instances"


class Action(NamedTuple):
    """A change of size that the next sample shows: when it was decided, and from what to what."""

    at: float
    before: int
    after: int


@dataclass(frozen=True)
class Scaling:
    """A run of an autoscaler.

    Attributes:
        samples: each with ``at``, ``processes``, ``busy`` (how many of them work), ``queue_time`` (s that the oldest
            work has waited), ``resting`` (whether within a cool-down), and ``alive`` (how many the kernel knows).
        work: the task instances that the processes are for.
        target: seconds that work may wait.
    """

    samples: Sequence[Mapping[str, Any]]
    work: Timeline
    target: float

    @property
    def actions(self) -> list[Action]:
        """The changes of size, in the order of time."""
        changed = ((one, other) for one, other in pairwise(self.samples) if one["processes"] != other["processes"])
        return [Action(float(one["at"]), int(one["processes"]), int(other["processes"])) for one, other in changed]

    def ups(self) -> Measure:
        """How often it grew, at the instant of the first time."""
        return self._count([one for one in self.actions if one.after > one.before], "times that it grew")

    def downs(self) -> Measure:
        """How often it shrank, at the instant of the first time."""
        return self._count([one for one in self.actions if one.after < one.before], "times that it shrank")

    def noticed(self) -> Measure:
        """How many samples it took from the first that shows work waiting too long, or every process busy, to a growth.

        Below 1 if it grew without such a sign; no value if it never grew.
        """
        name = "samples from trigger to growth"
        first = next((one.at for one in self.actions if one.after > one.before), None)
        if first is None:
            reasons = [one["at"] for one in self.samples if one["queue_time"] > self.target]
            detail = f"never, though in {len(reasons)} samples work had waited for more than {self.target:g} s"
            at = reasons[0] if reasons else None
            return Measure(None, name, "", at, SAMPLES, len(self.samples), detail if reasons else "")
        signs = [
            one
            for one in self.samples
            if one["at"] <= first and (one["queue_time"] > self.target or one["busy"] >= one["processes"])
        ]
        return Measure(len(signs), name, at=first, source=SAMPLES, samples=len(self.samples))

    def waiting(self) -> Measure:
        """How many task instances waited for a process, by their own timestamps, when it first grew."""
        name = "tasks that waited at the first growth"
        first = next((one.at for one in self.actions if one.after > one.before), None)
        if first is None:
            return Measure(None, name, source=TASKS, samples=len(self.work), detail="it never grew")
        waited = int(self.work.concurrency("queued", "start").at([first])[0])
        return Measure(waited, name, at=first, source=TASKS, samples=len(self.work))

    def most_processes(self) -> Measure:
        """The most processes that the kernel knew at once."""
        return most(self.samples, "alive", "processes at most", "/proc")

    def last_processes(self) -> Measure:
        """How many processes there were in the end."""
        last = self.samples[-1] if self.samples else None
        value, at = (last["alive"], last["at"]) if last else (None, None)
        return Measure(value, "processes in the end", at=at, source="/proc", samples=len(self.samples))

    def shortest_rest(self) -> Measure:
        """The shortest time between two changes of size; no value with fewer than two."""
        gaps = [(other.at - one.at, other.at) for one, other in pairwise(self.actions)]
        shortest, at = min(gaps, default=(None, None))
        changes = ", ".join(f"{one.before} to {one.after}" for one in self.actions) or "none"
        return Measure(shortest, "shortest time between changes", "s", at, SAMPLES, len(gaps), f"changes: {changes}")

    def held_back(self) -> Measure:
        """How many samples showed a reason to grow within a cool-down, which was let pass."""
        rests = [one for one in self.samples if one["resting"] and one["queue_time"] > self.target]
        return self._count(rests, "triggers within a cool-down")

    def capped(self, largest: int) -> Measure:
        """How many samples showed work waiting too long with as many processes as may be paid for."""
        full = [one for one in self.samples if one["processes"] >= largest and one["queue_time"] > self.target]
        return self._count(full, f"triggers at the cap of {largest}")

    def process_seconds(self) -> Measure:
        """Processes times the seconds for which there were so many."""
        return replace(integral(self.samples, "processes", "process-seconds", SAMPLES), unit="process-s")

    def seconds(self) -> Measure:
        """From the first sample to the last."""
        known = len(self.samples) > 1
        value = self.samples[-1]["at"] - self.samples[0]["at"] if known else None
        return Measure(value, "seconds sampled", "s", source=SAMPLES, samples=len(self.samples))

    def cut_off(self) -> Measure:
        """How many task instances did not succeed at their first try, as those of a process that is ended too early."""
        ends = zip(self.work.names(), self.work.state.tolist(), self.work.try_number.tolist(), strict=True)
        lost = [name for name, state, tries in ends if state != "success" or tries > 1]
        value = len(lost) if len(self.work) else None
        name = "tasks that did not succeed at once"
        return Measure(value, name, source=TASKS, samples=len(self.work), detail=", ".join(lost[:3]))

    def _count(self, those: Sequence[Any], name: str) -> Measure:
        first = those[0] if those else None
        at = None if first is None else first.at if isinstance(first, Action) else first["at"]
        return Measure(len(those) if self.samples else None, name, at=at, source=SAMPLES, samples=len(self.samples))
