"""Measures of an incident's record: is each of its instants confirmed by another record, and did the flow stop?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["came_between", "review", "witnessed"]

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
