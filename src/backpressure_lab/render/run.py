"""One run of a lesson on the screen: its picture, its findings, its verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from backpressure.timeline import Timeline
from rich.console import Group
from rich.text import Text

from backpressure_lab.render.gantt import Gantt
from backpressure_lab.render.picture import Picture
from backpressure_lab.render.verdicts import FindingsTable, VerdictLine

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from backpressure.findings import Evidence
    from backpressure.measures import Part
    from rich.console import Console, RenderableType

__all__ = ["lesson_picture", "run_view"]

_CONTROL_POOL = "lab_control"


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
    """The picture of a run's workload, its controllers left out, with the first peak that a finding limits beneath."""
    everything = Timeline.from_records(records)
    work = everything.select(~everything.pool.isin(_CONTROL_POOL))
    if not len(work):
        work = everything
    part = _limited(evidence)
    if part is None:
        return Picture.of(work, names=_names(work))
    named = [task for task in work.task_id.present() if re.search(rf"\b{re.escape(task)}\b", part.measure)]
    measured = work.select(task_id=named) if named else work
    limit = part.limit if isinstance(part.limit, int | float) else None
    title = f"{part.measure}: {part.observed}, limit {part.limit}"
    return Picture.of(work, names=_names(work), measured=measured, limit=limit, slots=part.unit == "slots", title=title)


def _limited(evidence: Evidence) -> Part | None:
    """The first comparison of a peak with an upper limit."""
    parts = [part for finding in evidence.findings for part in finding.comparison.parts]
    return next((part for part in parts if part.measure.startswith("peak ") and part.op in {"==", "<=", "<"}), None)


def _names(work: Timeline) -> list[str]:
    """Names that tell runs apart where there are several: a helper run by its own label."""
    runs = work.run_id.tolist()
    if len(set(zip(work.dag_id.tolist(), runs, strict=True))) < 2:  # noqa: PLR2004 - one run needs no label
        return work.names()
    labels = [run.rpartition("__")[2] if "__" in run else "" for run in runs]
    return [f"{label}/{name}" if label else name for label, name in zip(labels, work.names(), strict=True)]
