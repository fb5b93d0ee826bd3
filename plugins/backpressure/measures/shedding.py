"""What came of shedding load: whether what was given up would have been late, and what was begun was in time."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from backpressure.measures.measure import Measure
from backpressure.measures.timelines import count
from backpressure.measures.upstream import requests, served
from backpressure.shedding.log import ShedItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["Aftermath", "item_key"]


class _Upstream(Protocol):
    def log(self, since: float) -> RequestLog: ...
    def notifications(self, since: float) -> list[dict[str, Any]]: ...


def item_key(run_id: str, task_id: str, map_index: int) -> str:
    """What a mapped task instance is called, whatever runs beside it."""
    return f"{run_id}.{task_id}.{map_index}"


@dataclass(frozen=True)
class Aftermath:
    """A run's work, and what was shed of it.

    Attributes:
        work: the task instances, shed ones as ``skipped``.
        first: task instances of the same kind that were done before.
        shed: what the record of shed work holds of them.
        told: the keys in each announcement that people got.
        log: the upstream's log of requests, each named by what it is for.
        slots: how many could be served at once.
        patience: seconds after which the work is too late, from when it was scheduled.
        done_later: how many shed items each process did after all.
    """

    work: Timeline
    first: Timeline
    shed: Sequence[ShedItem]
    told: Sequence[Sequence[str]]
    log: RequestLog
    slots: int
    patience: float
    done_later: Sequence[int] = ()

    @classmethod
    def of(cls, work: Timeline, first: Timeline, noted: Mapping[str, Any], upstream: _Upstream, *, slots: int) -> Self:
        """Put together what a run left behind.

        Args:
            work: its work.
            first: what was done before, to learn how long it takes.
            noted: ``since`` when it ran, ``patience``, ``shed`` (the record's items, as dicts), ``replayed`` (how many
                of them each process did after all).
            upstream: whose log and announcements count.
            slots: how many could be served at once.
        """
        shed, since = [ShedItem(**entry) for entry in noted["shed"]], noted["since"]
        told = [note["body"] for note in upstream.notifications(since=since)]
        log = upstream.log(since=since).select(request_id=_keys(work))
        patience, later = noted["patience"], tuple(noted["replayed"])
        return cls(work, first, shed, told, log, slots=slots, patience=patience, done_later=later)

    def orders(self) -> Measure:
        """How many task instances there are, shed ones included."""
        return count(self.work, label="orders")

    def skipped(self) -> Measure:
        """How many of them were shed."""
        return count(self.work, "skipped", "orders")

    def replayed(self) -> Measure:
        """How many shed items were done after all, as those who did them say."""
        done = sum(self.done_later) if self.done_later else None
        return Measure(done, "orders replayed", source="replaying tasks", samples=len(self.done_later))

    def served(self) -> Measure:
        """How many different pieces of work the upstream served."""
        return served(self.log, "orders served")

    def calls(self) -> Measure:
        """How many calls the upstream served."""
        return requests(self.log, "calls for orders served", status="200")

    def lost(self, kind: str) -> Measure:
        """Which part of a task's instances was skipped."""
        work = self.work.select(task_id=kind)
        skipped = work.state.isin("skipped")
        ends = work.end[skipped]
        detail = f"{int(skipped.sum())} of {len(work)} shed" if len(work) else ""
        found = self._share(skipped.tolist(), f"{kind} shed", float(ends.min()) if len(ends) else None)
        return replace(found, detail=detail)

    def in_time(self, kind: str | None = None) -> Measure:
        """Which part of what succeeded, of one task or of all, was done in time, and what took longest.

        By how much longer a start took than it had usually taken before is left out: the queue is not to blame for
        that, and nobody who plans it can foresee it.
        """
        work = self.work if kind is None else self.work.select(task_id=kind)
        done = work.select(state="success")
        usual = median((self.first.start - self.first.queued).tolist()) if len(self.first) else math.inf
        slow = np.maximum(done.start - done.queued - usual, 0.0)
        took = (done.end - done.scheduled - slow).tolist()
        label = f"{kind or 'served'} in time"
        if not took:
            return Measure(None, label)
        worst = took.index(max(took))
        detail = f"{done.names([worst])[0]} took {took[worst]:.1f} s, {self.patience:.1f} s are in time"
        share = sum(seconds <= self.patience for seconds in took) / len(took)
        return Measure(share, label, at=float(done.end[worst]), samples=len(took), detail=detail)

    def rightly_shed(self) -> Measure:
        """Which part of the shed items could not be hoped to be in time, by what the timestamps told until then.

        The slots are free when their holders have held them for as long as usual, which is the median of what was done
        by then; whatever stood before the item and still waited takes as long, though it may have been shed later. A
        quarter of that is left as margin, since the shedder and the timestamps do not tell of quite the same instants.
        """
        label = "shed that would have been late"
        late = [self._late(one) for one in self.shed]
        wrong = [one.key for one, was in zip(self.shed, late, strict=True) if not was]
        known = len(self.work) > 0 and len(late) > 0
        value, at = (sum(late) / len(late), self.shed[0].shed_at) if known else (None, None)
        detail = ", ".join(wrong[:3]) or ("" if self.shed else "nothing was shed")
        return Measure(value, label, at=at, samples=len(late), detail=detail)

    def deepest(self) -> Measure:
        """The most that waited for a slot at once, shed work until it was skipped included."""
        stamps = [(one.scheduled, one.queued, one.end) for one in _rows(self.work)]
        waits = [(came, end if math.isnan(queued) else queued) for came, queued, end in stamps]
        steps = sorted(
            [(came, 1) for came, left in waits if came < left] + [(left, -1) for came, left in waits if came < left]
        )
        depths = list(accumulate(step for _, step in steps))
        most = max(depths, default=None)
        at = None if most is None else steps[depths.index(most)][0]
        return Measure(most, "most that waited", at=at, samples=len(self.work))

    def untold(self) -> Measure:
        """How many were skipped and not announced exactly once, or announced and not skipped."""
        keys = set(_keys(self.work.select(state="skipped")))
        told = Counter(chain.from_iterable(self.told))
        wrong = sorted(key for key in keys | set(told) if (told[key] != 1) or key not in keys)
        known = len(self.work) > 0
        return Measure(
            len(wrong) if known else None, "announced wrongly", samples=len(told), detail=", ".join(wrong[:3])
        )

    def arrived_during(self, pauses: Sequence[Mapping[str, float]]) -> Measure:
        """How many were scheduled within the pauses, each given from ``since`` to ``until``."""
        came = [at for at in self.work.scheduled.tolist() if any(one["since"] < at < one["until"] for one in pauses)]
        value = len(came) if pauses and len(self.work) else None
        return Measure(value, "arrivals in the pauses", at=came[0] if came else None, samples=len(self.work))

    def _late(self, item: ShedItem) -> bool:
        """Whether the item could not be hoped to be in time when it was shed, with a margin."""
        now, rows = item.shed_at, {one.key: one for one in _rows(self.work)}
        if item.key not in rows:
            return False
        own, left = rows[item.key], {one.key: one.shed_at for one in self.shed}
        done = [one for one in chain(_rows(self.first), rows.values()) if one.state == "success"]
        held = [one.end - one.queued for one in done if one.end <= now]
        usual = median(held) if held else 0.0
        ours = sorted(one.queued + usual for one in done if one.queued <= now < one.end)
        free = [max(one, now) for one in (ours + [now] * self.slots)[: self.slots]]
        heapq.heapify(free)
        for one in rows.values():
            waits = one.scheduled <= now < left.get(one.key, one.queued)
            if waits and one.turn < own.turn:
                heapq.heapreplace(free, free[0] + usual)
        return free[0] + 1.25 * usual > own.scheduled + self.patience

    def _share(self, those: Sequence[bool], label: str, at: float | None = None) -> Measure:
        return Measure(sum(those) / len(those) if those else None, label, at=at, samples=len(those))


class _Row(NamedTuple):
    """A task instance, as far as shedding goes; what never happened is NaN."""

    key: str
    state: str
    scheduled: float
    queued: float
    end: float
    weight: int
    map_index: int

    @property
    def turn(self) -> tuple[float, ...]:
        """Its place in the order in which Airflow serves a pool."""
        return (-self.weight, self.scheduled, self.map_index)


def _rows(work: Timeline) -> list[_Row]:
    stamps = (work.scheduled.tolist(), work.queued.tolist(), work.end.tolist())
    rest = (work.priority_weight.tolist(), work.map_index.tolist())
    return [_Row(*row) for row in zip(_keys(work), work.state.tolist(), *stamps, *rest, strict=True)]


def _keys(work: Timeline) -> list[str]:
    rows = zip(work.run_id.tolist(), work.task_id.tolist(), work.map_index.tolist(), strict=True)
    return [item_key(*row) for row in rows]
