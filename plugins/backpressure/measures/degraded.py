"""What came of working in degraded mode: which tasks ran, what was published and told, what a partner was asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from backpressure.measures.measure import Measure
from backpressure.measures.samples import share
from backpressure.measures.upstream import proportion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["Report", "tasks_in"]

REPORT, UPSTREAM = "report", "upstream"


class _Partner(Protocol):
    def log(self, since: float) -> RequestLog: ...
    def notifications(self, since: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Report:
    """A report of several sources, some of which were broken, and what it is to be compared with.

    Attributes:
        published: for each source ``value`` and ``stale``, for stale ones ``refused_if_older``; empty if there is none.
        sent: for each source the value that the partner sent while it was well.
        broken: the sources that fail.
        broke: the instant from which they do.
        log: the partner's log of requests, whose keys are the sources.
        notes: what people were told, each a list of stale sources.
        work: the tasks, those that fetch a source named ``fetch_`` and the source; without any nothing is measured.
    """

    published: Mapping[str, Mapping[str, Any]]
    sent: Mapping[str, Any]
    broken: Sequence[str]
    broke: float
    log: RequestLog
    notes: Sequence[Mapping[str, Any]]
    work: Timeline

    @classmethod
    def of(
        cls,
        partner: _Partner,
        work: Timeline,
        healthy: Mapping[str, Any],
        published: Mapping[str, Any] | None,
        broken: Sequence[str],
    ) -> Self:
        """Put together what was noted while all was well (``since``, ``broke``, ``rows``) and what was published."""
        log, notes = partner.log(since=healthy["since"]), partner.notifications(since=healthy["since"])
        return cls(published or {}, healthy["rows"], broken, healthy["broke"], log, notes, work)

    @property
    def ran(self) -> bool:
        """Whether anything was fetched at all."""
        return any(task_id.startswith("fetch_") for task_id in self.work.task_id.tolist())

    def ended(self, state: str, prefix: str) -> Measure:
        """The sources whose tasks of such a prefix ended in a state."""
        return tasks_in(self.work, state, prefix)

    def complete(self) -> Measure:
        """Which part of the sources is in the report with as many rows as in health."""
        full = {source: len(self._of(source).get("value", ())) == len(rows) for source, rows in self.sent.items()}
        return self._share(full, "sources complete in the report", REPORT)

    def asked(self) -> Measure:
        """Calls of broken sources since they broke, for each call of them before."""
        return proportion(self.log.select(key=self.broken), self.broke, "calls while degraded, for each in health")

    def stale(self) -> Measure:
        """The sources marked as stale in the report."""
        marked = tuple(source for source, rows in self.published.items() if rows["stale"])
        oldest = max((float(self._of(source).get("age", 0.0)) for source in marked), default=0.0)
        detail = f"up to {oldest:.1f} s old" if marked else "" if self.published else "nothing was published"
        value, span = marked if self.ran else None, self.work.intervals().span()
        return Measure(value, "marked as stale", "", span[1] if span else None, REPORT, len(self.published), detail)

    def as_sent(self) -> Measure:
        """Which part of the broken sources is in the report as the partner last sent them."""
        same = {source: self._of(source).get("value") == self.sent[source] for source in self.broken}
        return self._share(same, "broken sources as last sent", f"{REPORT}, {UPSTREAM}")

    def guarded(self) -> Measure:
        """Which part of the broken sources would not have been served if they had to be younger than they were."""
        refused = {source: self._of(source).get("refused_if_older", False) for source in self.broken}
        return self._share(refused, "refused when too old", REPORT)

    def told(self) -> Measure:
        """The sources that people were told to be stale, each as often as they were."""
        names = tuple(name for note in self.notes for name in note["body"])
        at = self.notes[0]["at"] if self.notes else self.broke
        return Measure(names if self.ran else None, "announced as stale", "", at, UPSTREAM, len(self.notes))

    def told_before(self, task_id: str) -> Measure:
        """Which part of the announcements came before a task started."""
        begun = min(self.work.select(task_id=task_id).start.tolist(), default=float("-inf"))
        return share((note["at"] < begun for note in self.notes), f"announced before {task_id}", UPSTREAM)

    def _share(self, those: Mapping[str, bool], name: str, source: str) -> Measure:
        """Which part is so; the detail names the sources of which it is not, and whether there is a report at all."""
        found, span = share(those.values() if self.ran else (), name, source), self.work.intervals().span()
        missed = [name for name, so in those.items() if not so]
        named = f"not {', '.join(missed)}" if missed else "all of them"
        detail = named if self.published else "nothing was published"
        return replace(found, at=span[1] if span else None, detail=detail if self.ran else "")

    def _of(self, source: str) -> Mapping[str, Any]:
        return self.published.get(source, {})


def tasks_in(work: Timeline, state: str, prefix: str = "") -> Measure:
    """The ids of the tasks that ended in a state, without the prefix that they have in common, in alphabetical order.

    Those without the prefix are left out. There is no value when no task has it.
    """
    every = [task_id for task_id in work.task_id.tolist() if task_id.startswith(prefix)]
    found = {task_id for task_id in work.select(state=state).task_id.tolist() if task_id.startswith(prefix)}
    names = tuple(sorted(task_id.removeprefix(prefix) for task_id in found))
    ends = sorted(zip(work.task_id.tolist(), work.state.tolist(), strict=True))
    others = [f"{one} {ended}" for one, ended in ends if one in every and ended != state]
    span = work.intervals().span()
    at = span[1] if every and span else None
    name = f"{prefix}… in state {state}"
    return Measure(names if every else None, name, at=at, samples=len(every), detail=", ".join(others))
