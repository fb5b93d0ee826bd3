"""Where time is lost, and since when: the arithmetic of a diagnosis, out of task instances and their logs.

A *case* is one flow of work with its own records. Its *profile* says how many seconds one of its tasks spends, as a
rule, in each component: waiting for a slot, waiting for a worker until its own code begins, in each phase that its log
names, and in the rest of the task. What a case has lost is its profile now less its usual one, less what all cases have
lost alike: that is the platform's, and no case's own. Pure functions; the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median, median_low
from typing import Any

from backpressure.phases import Phase

__all__ = ["Diagnosis", "lost", "onset", "profile", "report", "verdicts"]

Record = Mapping[str, Any]
Profile = dict[str, float]
SLOT, WORKER, TASK = "slot", "worker", "task"
_LINE = re.compile(r"\| (?P<case>\w+) \| (?P<cause>\w+) \|")


def profile(records: Iterable[Record], logs: Mapping[str, Sequence[Phase]], now: float) -> Profile:
    """Seconds that one task instance spends in each component, so far: the median, and of two the lower; empty of none.

    A fault of the case hits all of its tasks; what hits one of two is chance.

    Args:
        records: task instances as Airflow lists them.
        logs: the phases of each one's log, by its run; where there are none, all of its time is the task's.
        now: when they were read (epoch s): what waits or runs has done so until then.
    """
    spent: list[Profile] = []
    for record in records:
        ready, queued, start, end = (
            _at(record, key) for key in ("scheduled_when", "queued_when", "start_date", "end_date")
        )
        if ready is None:
            continue
        one = {SLOT: (queued or now) - ready, WORKER: 0.0, TASK: 0.0}
        if queued is not None:
            one[WORKER] = (start or now) - queued
        if start is not None:
            steps = logs.get(record["dag_run_id"], ())
            begun = min((float(step["began"]) for step in steps), default=start)
            one[WORKER] = max(0.0, begun - (queued or start))
            for step in steps:
                one[step["phase"]] = one.get(step["phase"], 0.0) + float(step["seconds"])
            one[TASK] = max(0.0, (end or now) - begun - sum(float(step["seconds"]) for step in steps))
        spent.append(one)
    components = dict.fromkeys(component for one in spent for component in one)
    return {component: median_low(one.get(component, 0.0) for one in spent) for component in components}


def lost(usual: Mapping[str, Profile], now: Mapping[str, Profile]) -> dict[str, Profile]:
    """Seconds that a task of each case loses in each component, beyond what the cases have lost alike (the median).

    The wait for a worker is left out: no case has workers of its own.
    """
    more = {
        case: {
            component: seconds - usual.get(case, {}).get(component, 0.0)
            for component, seconds in spent.items()
            if component != WORKER
        }
        for case, spent in now.items()
    }
    components = dict.fromkeys(component for one in more.values() for component in one)
    alike = {component: median(one.get(component, 0.0) for one in more.values()) for component in components}
    return {case: {component: one[component] - alike[component] for component in one} for case, one in more.items()}


def onset(phases: Iterable[Phase], component: str, usual: float, worth: float) -> float | None:
    """When the first step of a component began that took so much longer than usual; None if there was none."""
    bad = [one["began"] for one in phases if one["phase"] == component and float(one["seconds"]) > usual + worth]
    return min(bad, default=None)


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a case.

    Attributes:
        case: its name.
        cause: what is wrong; "none" if nothing is.
        component: where most time is lost.
        lost: seconds that one of its tasks loses there.
        well: until when there is evidence that all was well (epoch s).
        ill: since when there is evidence of the cause; None if there is none.
    """

    case: str
    cause: str
    component: str
    lost: float
    well: float
    ill: float | None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it."""
        return asdict(self)


def report(found: Sequence[Diagnosis]) -> str:
    """What was found out, as Markdown: a line for each case."""
    first = min((one.well for one in found), default=0.0)
    lines = ["# Root causes", "", "| Case | Cause | Lost in | Lost by each task | Begun |", "|---|---|---|---|---|"]
    for one in found:
        begun = "-" if one.ill is None else f"{one.well - first:.1f} to {one.ill - first:.1f} s"
        lines.append(f"| {one.case} | {one.cause} | {one.component} | {one.lost:.1f} s | {begun} |")
    return "\n".join(lines) + "\n"


def verdicts(text: str) -> dict[str, str]:
    """The cause that a report names for each case."""
    return {match["case"]: match["cause"] for match in _LINE.finditer(text) if match["case"] != "Case"}


def _at(record: Record, stamp: str) -> float | None:
    return datetime.fromisoformat(record[stamp]).timestamp() if record[stamp] else None
