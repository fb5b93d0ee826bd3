"""How well jobs with different needs were packed: what they used at once, whether it fitted, and what was foreseen.

A job's needs are what it measured of itself: the private memory of its process, and the connections that it had open.
What is let go may be in use at once, however slowly an executor starts it: a job counts from when its run was triggered
until it has given everything back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from backpressure.measures.measure import Measure
from backpressure.measures.samples import share

__all__ = ["Job", "Packed", "booked"]

JOBS, BOOKS = "jobs' own measurements", "bookings, pg_stat_activity"


@dataclass(frozen=True)
class Job:
    """One job that was done: let go, begun and done when (epoch s), its kind, and what it used of each resource."""

    let_go: float
    begun: float
    done: float
    kind: str
    used: Mapping[str, float]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From a task instance as Airflow lists it, and what the job told: ``kind``, ``used``, ``since``, ``until``."""
        told = record["result"]
        let_go = datetime.fromisoformat(record["run_after"]).timestamp()
        return cls(let_go, told["since"], told["until"], told["kind"], told["used"])


@dataclass(frozen=True)
class Packed:
    """Jobs that were done, in the order in which they were let go; how much there is of each resource; and a name."""

    jobs: Sequence[Job]
    budget: Mapping[str, float]
    label: str

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], budget: Mapping[str, float], label: str) -> Self:
        """From task instances with results (see `Job.of`): those of helper runs whose own label begins so."""
        jobs = (Job.of(one) for one in records if one["dag_run_id"].rpartition("__")[2].startswith(label))
        return cls(sorted(jobs, key=lambda job: job.let_go), budget, label)

    def peak(self, resource: str) -> Measure:
        """The largest share of a resource that what was let go might use at once."""
        shares = [(self._at_most(resource, job.let_go) / self.budget[resource], job.let_go) for job in self.jobs]
        most, at = max(shares, default=(None, None))
        return Measure(most, f"peak use of {resource}, {self.label}", at=at, source=JOBS, samples=len(self.jobs))

    def together(self) -> Measure:
        """The largest share of *every* resource that what was let go might use at once."""
        shares = [
            (min(self._at_most(resource, job.let_go) / limit for resource, limit in self.budget.items()), job.let_go)
            for job in self.jobs
        ]
        most, at = max(shares, default=(None, None))
        return Measure(most, f"use of every resource at once, {self.label}", at=at, source=JOBS, samples=len(self.jobs))

    def makespan(self) -> Measure:
        """Seconds from the first that was let go to the last that was done."""
        return Measure(self._seconds, f"seconds for all jobs, {self.label}", "s", source=JOBS, samples=len(self.jobs))

    def fitting(self) -> Measure:
        """Which part of the jobs found enough of every resource when they were let go."""
        fits = [
            all(self._at_most(resource, job.let_go) <= limit for resource, limit in self.budget.items())
            for job in self.jobs
        ]
        return share(fits, "jobs that found enough", JOBS)

    def waited(self) -> Measure:
        """How many jobs were let go only when another was done."""
        first = min((job.done for job in self.jobs), default=None)
        late = [job for job in self.jobs if first is not None and job.let_go >= first]
        value = len(late) if self.jobs else None
        at = late[0].let_go if late else None
        return Measure(value, "jobs that waited for another's end", at=at, source=JOBS, samples=len(self.jobs))

    def misjudged(self, resource: str, foreseen: Mapping[str, float]) -> Measure:
        """By how much the worst prediction of a kind was off, as a share of what a job of that kind used."""
        off = [(abs(foreseen[job.kind] / job.used[resource] - 1), job.begun) for job in self.jobs if job.used[resource]]
        worst, at = max(off, default=(None, None))
        return Measure(worst, f"worst prediction of {resource}, off by", at=at, source=JOBS, samples=len(off))

    def _at_most(self, resource: str, at: float) -> float:
        return sum(job.used[resource] for job in self.jobs if job.let_go <= at < job.done)

    @property
    def _seconds(self) -> float | None:
        return max(job.done for job in self.jobs) - self.jobs[0].let_go if self.jobs else None


def booked(samples: Iterable[Mapping[str, Any]]) -> Measure:
    """Of the samples with something ``used``, the part in which no less was ``booked``."""
    return share(
        (one["booked"] >= one["used"] for one in samples if one["used"]), "samples with all that is used booked", BOOKS
    )
