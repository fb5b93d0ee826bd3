"""One run of a lesson on the screen: its picture, its findings, its verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from backpressure.timeline import Curve, Timeline
from rich.console import Group
from rich.text import Text

from backpressure_lab.render.gantt import Gantt
from backpressure_lab.render.picture import Limit, Load, Picture
from backpressure_lab.render.verdicts import FindingsTable, VerdictLine

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from backpressure.findings import Evidence
    from backpressure.measures import Part
    from rich.console import Console, RenderableType

__all__ = ["lesson_picture", "run_view"]

_CONTROL_POOL = "lab_control"
_UPPER = {"==", "<=", "<"}


class _Scenario(Protocol):
    @property
    def holds(self) -> Collection[str]: ...


class _Item(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def scenarios(self) -> Mapping[str, _Scenario]: ...


class _Result(Protocol):
    """What is shown of a run; :class:`backpressure_lab.lessons.result.Result` is one."""

    @property
    def item(self) -> _Item: ...
    @property
    def scenario(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def evidence(self) -> Evidence: ...
    @property
    def seconds(self) -> float: ...
    @property
    def records(self) -> Sequence[dict[str, Any]]: ...
    @property
    def verdict(self) -> str: ...


def run_view(result: _Result, console: Console) -> RenderableType:
    """Everything about a run that fits the terminal: the Gantt chart is folded to half of its height."""
    findings = result.evidence.findings
    held = sum(finding.holds is True for finding in findings)
    remark = f"run {result.state}, {held} of {len(findings)} findings hold, {result.seconds:.0f} s"
    rows = max(console.height // 2, 12) if console.is_terminal else 32
    return Group(
        Text(f"{result.item.id} {result.item.title}, scenario {result.scenario}", "bold"),
        Text(""),
        Gantt(lesson_picture(result.records, result.evidence), max_rows=rows),
        Text(""),
        FindingsTable(findings, result.item.scenarios[result.scenario].holds),
        Text(""),
        VerdictLine(result.verdict, remark),
    )


def lesson_picture(records: Sequence[dict[str, Any]], evidence: Evidence) -> Picture:
    """The picture of a run's workload, its controllers left out, over the peak that a finding limits, as measured.

    Without such a finding there is nothing beneath: a count of all would take a deferred task instance as running.
    """
    everything = Timeline.from_records(records)
    work = everything.select(~everything.pool.isin(_CONTROL_POOL))
    if not len(work):
        work = everything
    limited = _limited(evidence)
    picture = Picture.of(work, names=work.labelled(), load=limited)
    return picture if limited else replace(picture, load=None)


def _limited(evidence: Evidence) -> Load | None:
    """The first peak with an upper limit, and other windows of the same peak with limits of their own."""
    parts = [part for finding in evidence.findings for part in finding.comparison.parts]
    peaks = [part for part in parts if part.curve and part.op in _UPPER and isinstance(part.limit, int | float)]
    taken: list[Part] = []
    for part in (part for part in peaks if part.measure == peaks[0].measure):
        if not taken or part.curve[0][0] >= taken[-1].curve[-1][0]:
            taken.append(part)
    if not taken:
        return None
    points = [point for part in taken for point in part.curve]
    times, values = (np.array(column) for column in zip(*points, strict=True))
    limits = tuple(Limit(float(str(part.limit)), part.curve[0][0], part.curve[-1][0]) for part in taken)
    said = ", then ".join(f"{part.seen} {part.limited}" for part in taken)
    return Load(Curve(times, values), limits, f"{taken[0].measure}: {said}")
