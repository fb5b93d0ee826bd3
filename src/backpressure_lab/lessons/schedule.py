"""In which order lessons run side by side: the longest first, and none beside another that would spoil it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from backpressure_lab.manifest import Item

_UNKNOWN_SECONDS = 60.0


def width(cores: int | None = None) -> int:
    """How many lessons run at once by default: one and a half for each core, at least two.

    Most of a lesson is waiting, but each start of a task takes a fifth of a second of both of two cores. With three at
    once the written lessons came out as they do alone; with more their orders and ratios drown in the wait for cores.
    """
    return max(2, (cores or os.cpu_count() or 2) * 3 // 2)


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
