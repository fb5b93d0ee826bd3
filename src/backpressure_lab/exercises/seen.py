"""What a check's runs did: the scheduler's records, and the upstream's own log."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from backpressure.request_log import RequestLog
from backpressure.timeline import Timeline
from backpressure.timeline.curve import sweep

from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message

_NAMED = 5


@dataclass(frozen=True)
class Load:
    """What the runs of a check are given to do; drawn anew for each check, so that no answer can know it.

    Attributes:
        lanes: param → settings of the upstream lane that is made for it; the param's value is the lane's name.
        items: param → the numbers to work on, one list for each run.
        asked: param of ``items`` → lane and path that each number must be asked for, once.
        copies: how many DAGs of the submission run at once, as two teams would have them.
        runs: how many runs each has, created at once.
        conf: param → what every run is given besides.
        sealed: what only the judge is told.
        slots: pool → slots that it has, whatever the file says: what somebody has changed by hand.
    """

    lanes: Mapping[str, Mapping[str, Any]]
    items: Mapping[str, Sequence[Sequence[int]]]
    asked: Mapping[str, tuple[str, str]]
    copies: int = 1
    runs: int = 1
    conf: Mapping[str, Any] = field(default_factory=dict)
    sealed: Any = None
    slots: Mapping[str, int] = field(default_factory=dict)


def drawn(source: random.Random, count: int) -> list[int]:
    """So many different numbers."""
    return source.sample(range(100, 1000), count)


@dataclass(frozen=True)
class Peak:
    """The most that was in progress, in units, when, and which task instances ran then."""

    value: float
    at: float
    names: str

    def __str__(self) -> str:
        return f"peak {self.value:g} at {clock(self.at)}: {self.names} overlapped"


@dataclass(frozen=True)
class Seen:
    """All that was seen of a check's runs.

    Attributes:
        facts: what the file says of itself.
        load: what the runs were given.
        records: the task instances as Airflow lists them, pools under the names that the file gives them.
        runs: the runs as Airflow lists them.
        logs: lane → the upstream's log of it.
        now: when all this was read.
        over: whether all runs had ended by then.
        errors: what the logs of failed tasks say of their ends.
        pools: pool → slots, as Airflow had them.
    """

    facts: Facts
    load: Load
    records: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    logs: Mapping[str, RequestLog]
    now: float
    over: bool = True
    errors: Sequence[str] = field(default=())
    pools: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def work(self) -> Timeline:
        """The task instances of all runs."""
        return Timeline.from_records(self.records)

    def ranked(self, ranks: Mapping[str, int]) -> Timeline:
        """The instances of these tasks, with the ranks that the exercise gives them instead of their weights."""
        own = [dict(one, priority_weight=ranks[one["task_id"]]) for one in self.records if one["task_id"] in ranks]
        return Timeline.from_records(own)

    def peak(self, lane: str, units: Mapping[str, int], tasks: Iterable[str] = ()) -> Peak | None:
        """The most units that the upstream had in progress; None when it was asked for nothing.

        Args:
            lane: the lane's param.
            units: path → what one request for it takes.
            tasks: the tasks to name; those that are called like the paths when left out.
        """
        log = self.logs[lane]
        rows = np.isin(log.path, list(units))
        begin, finish = log.arrival[rows], np.where(np.isnan(log.finish), self.now, log.finish)[rows]
        if not len(begin):
            return None
        curve = sweep(begin, finish, np.array([units[path] for path in log.path[rows]]))
        at = curve.peak_at or float(begin[0])
        return Peak(curve.peak, at, self.running(at, *(tasks or units)))

    def running(self, at: float, *task_ids: str) -> str:
        """Who of these tasks ran at an instant."""
        work = self.work
        rows = np.flatnonzero(work.task_id.isin(task_ids) & (work.start <= at) & ~(work.end <= at))
        names = work.labelled(rows)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more or "nobody"

    def waiting(self, at: float, *task_ids: str) -> int:
        """How many of these tasks waited to be queued at an instant."""
        work = self.work
        return int(np.sum(work.task_id.isin(task_ids) & (work.scheduled <= at) & ~(work.queued <= at)))


Judge = Callable[[Seen], Iterable[Message]]


def clock(at: float) -> str:
    """An instant as people read it, to a tenth of a second."""
    instant = dt.datetime.fromtimestamp(at, dt.UTC)
    return f"{instant:%H:%M:%S}.{instant.microsecond // 100_000}"


def general(seen: Seen) -> Iterable[Message]:
    """What every exercise asks for: the runs end well, and each number was worked on, once."""
    if not seen.over:
        states: dict[str, list[str]] = {}
        for one in seen.records:
            if one["state"] not in ("success", "failed", "skipped", "upstream_failed", "removed"):
                states.setdefault(str(one["state"] or "none"), []).append(str(one["task_id"]))
        left = "; ".join(f"{len(names)} {state} ({', '.join(sorted(set(names)))})" for state, names in states.items())
        yield Message("not_over", f"the run had not ended in time: {left}", "What are these tasks waiting for?")
    for error in seen.errors:
        yield Message("task_failed", error)
    for name, (lane, path) in seen.load.asked.items():
        wanted = [f"{path} {number}" for numbers in seen.load.items[name] for number in numbers] * seen.load.copies
        got = seen.logs[lane].select(path=path).request_id.tolist()
        missing, extra = _beyond(wanted, got), _beyond(got, wanted)
        if missing and seen.over and not seen.errors:
            text = f"the {lane} was asked for {len(wanted) - len(missing)} of {len(wanted)}; {_few(missing)} never came"
            yield Message("work_missing", text, "The task's own work must stay as it is.")
        if extra:
            text = f"the {lane} was asked for {_few(extra)}, which was not to be done, or was done before"
            yield Message("work_repeated", text, "Each number is asked for once.")


def _beyond(these: Sequence[str], those: Sequence[str]) -> list[str]:
    """What is in the first more often than in the second."""
    left = list(those)
    more = []
    for one in these:
        if one in left:
            left.remove(one)
        else:
            more.append(one)
    return more


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
