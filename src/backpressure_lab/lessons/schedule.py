"""In which order lessons run side by side: the longest first, and none beside another that would spoil it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from backpressure_lab.manifest import Item

_UNKNOWN_SECONDS = 60.0
# A run that takes longer than that many times its cost, or shorter, changes how many run at once.
_SLOW, _FAST = 1.5, 1.2


@dataclass
class Width:
    """How many lessons run at once: as many as the machine bears, unless it is fixed.

    Most of a lesson is waiting, but each start of a task takes a fifth of a second of both of two cores. On two quiet
    cores three lessons at once come out as each does alone. With a core kept busy by somebody else they slow each other
    down until orders and ratios drown in the wait for the cores. So it begins with one lesson for each core, takes one
    more after a run that took about its cost, and one less after a run that took much longer.

    Attributes:
        now: how many at once.
        most: never more than that.
        fixed: whether it stays as it is.
    """

    now: int
    most: int
    fixed: bool = False

    @classmethod
    def of(cls, jobs: int | None = None, cores: int | None = None) -> Width:
        """Fixed to ``jobs``, or one that fits the machine: up to one and a half lessons for each core."""
        if jobs is not None:
            return cls(jobs, jobs, fixed=True)
        there = cores or os.cpu_count() or 1
        return cls(there, max(there, there * 3 // 2))

    def learn(self, seconds: float, cost: float | None) -> None:
        """Note how long a run took whose cost alone is known."""
        if self.fixed or not cost:
            return
        if seconds > _SLOW * cost:
            self.now = max(1, self.now - 1)
        elif seconds < _FAST * cost:
            self.now = min(self.most, self.now + 1)


@dataclass(frozen=True)
class Job:
    """A lesson with the scenarios that are still to run, one after another."""

    item: Item
    scenarios: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long they take, roughly, when the lesson runs alone."""
        return len(self.scenarios) * (self.item.cost or _UNKNOWN_SECONDS)


def jobs(items: Iterable[Item], repeat: int = 1) -> list[Job]:
    """The items as jobs, in the order in which they should start: the longest first, and those that run alone last."""
    found = [Job(item, tuple(item.scenarios) * repeat) for item in items]
    return sorted(found, key=lambda job: (job.item.exclusive, -job.seconds))


def startable(waiting: Sequence[Job], running: Collection[Item], width: int) -> Job | None:
    """The first job that may start now, None when all have to wait.

    A lesson that is exclusive runs alone, and two that reserve the same part of the lab run one after the other.
    """
    if len(running) >= width or any(item.exclusive for item in running):
        return None
    reserved = {thing for item in running for thing in item.reserves}
    for job in waiting:
        if job.item.exclusive and running:
            continue
        if not reserved & set(job.item.reserves):
            return job
    return None


def estimate(
    waiting: Sequence[Job],
    width: int,
    running: Iterable[tuple[Job, float]] = (),
    seconds: Callable[[Job], float] = lambda job: job.seconds,
) -> float:
    """Seconds until everything is done, if lessons take as long side by side as they do alone.

    Args:
        waiting: the jobs that have not started, in their order.
        width: how many run at once.
        running: the jobs that have, and the seconds that each still needs.
        seconds: how long a waiting job takes.
    """
    now = 0.0
    left = list(waiting)
    ends = [(needs, number, job.item) for number, (job, needs) in enumerate(running)]
    heapq.heapify(ends)
    number = len(ends)
    while left or ends:
        job = startable(left, [item for _, _, item in ends], width)
        if job is not None:
            left.remove(job)
            number += 1
            heapq.heappush(ends, (now + seconds(job), number, job.item))
        else:
            now = max(now, heapq.heappop(ends)[0])
    return now
