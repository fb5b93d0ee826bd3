"""Measures of an incident's record: is each of its instants confirmed by another record, and did the flow stop?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure, figure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["came_between", "lowered", "overdue", "review", "sequence", "warned", "witnessed"]

Phases = Mapping[str, tuple[float | None, Sequence[float | None]]]
"""For each phase when it was by the responder's record (None: not reached), and instants of its effect elsewhere."""
_NEVER = float("inf")


def came_between(runs: Timeline, since: float | None, until: float | None, label: str) -> Measure:
    """How many runs came between two instants (seconds since the epoch); no value when one of these never was."""
    name = f"{label} that came meanwhile"
    if since is None or until is None:
        return Measure(None, name, source="DAG runs")
    number = int(((runs.scheduled > since) & (runs.scheduled < until)).sum())
    return Measure(number, name, at=since, source="DAG runs", samples=len(runs))


def witnessed(phases: Phases, within: float) -> Measure:
    """Which part of the phases was reached at an instant that another record confirms to within so many seconds."""
    close = {name: at is not None and _apart(at, seen) <= within for name, (at, seen) in phases.items()}
    found = share(close.values(), "phases that another record confirms", "event log, upstream log, task instances")
    missed = [f"{name} {'unconfirmed' if phases[name][0] else 'not reached'}" for name, so in close.items() if not so]
    last = max((at for at, _ in phases.values() if at is not None), default=None)
    return replace(found, at=last, detail=", ".join(missed))


def sequence(phases: Mapping[str, float | None]) -> Measure:
    """The phases that have an instant, in the order of these; no value when there are no phases at all."""
    known = {phase: at for phase, at in phases.items() if at is not None}
    value = tuple(sorted(known, key=known.__getitem__)) if phases else None
    return Measure(value, "phases in the order of their records", source="the review", samples=len(known))


def lowered(before: Timeline, without: Mapping[str, Timeline], due: float) -> Measure:
    """How many factors made work later: so many times it was less late without one; no value without the work itself.

    Args:
        before: the work with all factors.
        without: for each factor that was tried the same work without it.
        due: seconds that a task instance may take.
    """
    whole = overdue(before, due, "all").value
    tried = {name: overdue(work, due, name).value for name, work in without.items()}
    known = {name: late for name, late in tried.items() if isinstance(late, float)}
    value = sum(late < whole for late in known.values()) if isinstance(whole, float) else None
    detail = ", ".join(f"without {name} {figure(late, 's')} of {figure(whole, 's')}" for name, late in known.items())
    return Measure(value, "factors without which orders were less late", samples=len(known), detail=detail)


def overdue(work: Timeline, due: float, label: str) -> Measure:
    """Seconds, summed up, by which task instances ended later than ``due`` seconds after they were ready."""
    late = work.end - work.scheduled - due
    known = late[late == late]  # noqa: PLR0124 - NaN where a stamp is missing
    value = float(known.clip(min=0).sum()) if len(known) else None
    at = float(work.end[work.end > 0].max()) if len(known) else None
    detail = f"{int((known > 0).sum())} of {len(known)} were late" if len(known) else ""
    return Measure(value, f"seconds late of {label}", "s", at, samples=len(known), detail=detail)


def warned(alerts: Sequence[float], work: Timeline, due: float) -> Measure:
    """Seconds from the first alert to the instant at which the first task instance would be late; 0 without alert."""
    name = "time from the alert to the first late order"
    ready = work.scheduled[work.scheduled > 0]
    if not len(ready):
        return Measure(None, name, "s", source="upstream log")
    value = float(ready.min()) + due - min(alerts) if alerts else 0.0
    return Measure(value, name, "s", min(alerts, default=None), "upstream log", len(alerts))


def review(title: str, phases: Phases) -> str:
    """A post-incident review as Markdown: when each phase was, counted from the first, and how well it is confirmed."""
    first = min((at for at, _ in phases.values() if at is not None), default=0.0)
    lines = [f"# Review: {title}", "", "| Phase | After | Confirmed |", "|---|---|---|"]
    for phase, (at, seen) in phases.items():
        if at is None:
            lines.append(f"| {phase} | not reached | - |")
        else:
            apart = _apart(at, seen)
            lines.append(
                f"| {phase} | {at - first:.1f} s | {'no' if apart == _NEVER else f'to within {apart:.1f} s'} |"
            )
    return "\n".join(lines) + "\n"


def _apart(at: float, seen: Sequence[float | None]) -> float:
    return min((abs(at - instant) for instant in seen if instant is not None), default=_NEVER)
