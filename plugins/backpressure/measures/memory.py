"""Measures of memory: what each job's process took, what all took together, and whether a monitor saw it.

A sample is the private memory of one process at one instant: ``at``, ``pid``, ``bytes``, and ``metered``, whether the
monitor that is judged looks at that process. A job says its ``pid``, the ``base`` bytes that its process had before it
began, and the ``megabytes`` that it wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backpressure.measures.measure import Measure
from backpressure.measures.samples import share

__all__ = ["Memory", "Recycling", "together"]

MEGABYTE = 2**20
_KERNEL = "private memory in /proc"
_NEAR = 0.15
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Memory:
    """A worker's jobs, and what their processes took.

    Attributes:
        jobs: what each job said, by its name.
        samples: of all processes of the worker.
    """

    jobs: Mapping[str, Mapping[str, Any]]
    samples: Records

    def peak(self, name: str, *, metered: bool = False) -> Measure:
        """Megabytes that a job's process had at most, beyond its base; no value for one that was never seen.

        Args:
            name: the job's.
            metered: count only what the monitor saw.
        """
        job = self.jobs.get(name)
        seen = [one for one in self.samples if job and one["pid"] == job["pid"] and (one["metered"] or not metered)]
        highest = max(seen, key=lambda one: int(one["bytes"]), default=None)
        if job is None or highest is None:
            return Measure(None, f"peak of {name}", "MB", source=_KERNEL)
        taken = (highest["bytes"] - job["base"]) / MEGABYTE
        return Measure(taken, f"peak of {name}", "MB", highest["at"], _KERNEL, len(seen))

    def together(self) -> Measure:
        """Megabytes that all jobs' processes had at most at one instant, beyond their bases."""
        bases = {job["pid"]: job["base"] for job in self.jobs.values()}
        sums: dict[float, float] = {}
        for one in self.samples:
            if one["pid"] in bases:
                taken = max(0.0, (one["bytes"] - bases[one["pid"]]) / MEGABYTE)
                sums[one["at"]] = sums.get(one["at"], 0.0) + taken
        at, most = max(sums.items(), key=lambda pair: pair[1], default=(None, None))
        return Measure(most, "most of all jobs together", "MB", at, _KERNEL, len(sums))

    def seen(self, *names: str) -> Measure:
        """Which part of some jobs the monitor saw with about the memory that they said they would take."""
        found = []
        for name in (name for name in names if name in self.jobs):
            value, wanted = self.peak(name, metered=True).value, self.jobs[name]["megabytes"]
            found.append(isinstance(value, float) and abs(value - wanted) <= _NEAR * wanted)
        return share(found if self.samples else [], "jobs that the monitor saw", _KERNEL)

    def refused(self) -> Measure:
        """The names of the jobs that were refused memory; no value without jobs."""
        found = tuple(sorted(name for name, job in self.jobs.items() if job["refused"]))
        return Measure(
            found if self.jobs else None, "jobs that were refused memory", source="jobs", samples=len(self.jobs)
        )

    def same(self, *names: str) -> Measure:
        """How many different results some jobs had; no value unless all of them said theirs."""
        said = {self.jobs[name]["digest"] for name in names if name in self.jobs}
        there = all(name in self.jobs for name in names)
        return Measure(len(said) if there else None, "different checksums", source="jobs", samples=len(said))


def together(records: Records, key: str) -> Measure:
    """Megabytes that tasks say their processes took, added up while they had slots: the most at one instant.

    Args:
        records: task instances with what they returned as ``result``.
        key: of the megabytes in the result.
    """
    from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

    # A timeline adds up slots; here they are kilobytes, since slots are whole numbers.
    weighed = Timeline.from_records([{**one, "pool_slots": round(1024 * one["result"][key])} for one in records])
    most = weighed.intervals("queued", "end").peak(slots=True)
    value, at = (most.value / 1024, most.at) if most else (None, None)
    return Measure(value, "most of all tasks together", "MB", at, "private memory", len(weighed))


@dataclass(frozen=True)
class Recycling:
    """The processes in which a worker runs tasks, before a leak, after it and in the end: ``pids`` and ``bytes``."""

    before: Mapping[str, Any] | None
    leaked: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @classmethod
    def of(cls, seen: Records) -> Recycling:
        """From three readings in this order; with fewer, nothing has a value."""
        return cls(*seen) if len(seen) == 3 else cls(None, None, None)  # noqa: PLR2004 - before, with the leak, after

    def grew(self) -> Measure:
        """Megabytes by which the leak made the processes larger."""
        return self._growth(self.leaked, "growth by the leak")

    def left(self) -> Measure:
        """Megabytes by which they are larger in the end than before."""
        return self._growth(self.after, "growth that is left")

    def replaced(self) -> Measure:
        """Which part of the processes in the end is new."""
        new = [pid not in self.before["pids"] for pid in self.after["pids"]] if self.before and self.after else []
        return share(new, "processes that are new", "Celery")

    def _growth(self, reading: Mapping[str, Any] | None, name: str) -> Measure:
        if self.before is None or reading is None:
            return Measure(None, name, "MB", source=_KERNEL)
        grown = (reading["bytes"] - self.before["bytes"]) / MEGABYTE
        return Measure(grown, name, "MB", reading["at"], _KERNEL, 2)
