"""What a right answer to exercise 106.2 does, whatever its text looks like.

An export can be fetched once it was asked for three times; the partner hangs up on who comes before. Who asks twice
with one and the same slot has held it only to wait. That matters when others waited for a slot meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from backpressure.timeline import Timeline

from backpressure_lab.exercises.facts import TaskFacts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

SLOTS = 2
NOT_READY = 2  # so many times the partner hangs up
APART = 2.0  # seconds between two questions about the same export
EXPORTS = 3
_WORK = ("ready", "fetch", "order")
_NAMED = 5


def draw(source: random.Random) -> Load:
    """More exports than slots, and orders that come while they are waited for."""
    return Load(
        lanes={"partner": {"service_time": 0.1, "drop_first": NOT_READY}, "shop": {"service_time": 0.2}},
        items={"exports": [drawn(source, EXPORTS)], "orders": [drawn(source, source.randint(4, 6))]},
        asked={"exports": ("partner", "fetch"), "orders": ("shop", "order")},
    )


def judge(seen: Seen) -> Iterator[Message]:
    """The partner is asked with patience, the desk keeps its size, and nobody holds a slot of it to wait."""
    exports = [_export(seen, place) for place in range(EXPORTS)]
    yield from (_impatient(exports) or _enlarged(seen) or _held(seen, exports))


@dataclass(frozen=True)
class Export:
    """What became of an export.

    Attributes:
        number: of the export.
        asked: when it was asked for.
        early: when somebody tried to fetch it before it was ready.
        waiter: the record of the task that waits for it.
        facts: that task's settings.
    """

    number: int
    asked: list[float]
    early: list[float]
    waiter: Mapping[str, Any]
    facts: TaskFacts | None

    @property
    def given_up(self) -> bool:
        """Whether the task failed before the export was ready."""
        return self.waiter.get("state") == "failed" and len(self.asked) <= NOT_READY


def _export(seen: Seen, place: int) -> Export:
    number, name = seen.load.items["exports"][0][place], f"ready_{place}"
    log = seen.logs["partner"]
    early = log.select(request_id=f"fetch {number}", status="dropped")
    return Export(
        number=number,
        asked=log.select(request_id=f"ask {number}").arrival.tolist(),
        early=early.arrival.tolist(),
        waiter=next((record for record in seen.records if record["task_id"] == name), {}),
        facts=seen.facts.dag.task(name),
    )


def _impatient(exports: list[Export]) -> list[Message]:
    """Asked without a pause, fetched too early, or given up."""
    for export in exports:
        name, asked = f"export {export.number}", export.asked
        gaps = np.diff(asked)
        if len(gaps) and gaps.min() < APART:
            first = int(np.argmin(gaps))
            text = (
                f"{name} was asked for at {clock(asked[first])} and again {gaps[first]:.2f} s later; the partner wants "
                f"{APART:g} s between"
            )
            return [Message("asked_too_often", text, "What makes an export ready is time.")]
        if export.early:
            text = (
                f"{name} was to be fetched at {clock(export.early[0])}, after {len(asked)} questions whether it is "
                "ready, and the partner hung up: it was not"
            )
            return [Message("fetched_too_early", text, "What is the task that waits there for?")]
        if export.given_up:
            last = f", the last time at {clock(asked[-1])}" if asked else ""
            text = f"{name} was asked for {len(asked)} times{last}, and then given up; it needs {NOT_READY + 1}"
            return [Message("gave_up", text, "Not ready is no failure. How often may it be so?")]
    return []


def _enlarged(seen: Seen) -> list[Message]:
    """More tasks with a slot at once than there is room for."""
    work = _work(seen)
    peak = work.intervals("queued", "end", now=seen.now).peak()
    if peak is None or peak.value <= SLOTS:
        return []
    names = ", ".join(work.labelled(peak.rows[:_NAMED].tolist()))
    said = f"{peak.value} tasks were queued or running at {clock(peak.at)}, and there is room for {SLOTS}: {names}"
    outside = sorted({task.task_id for task in seen.facts.dag.tasks if _counts(task.task_id) and task.pool != "desk"})
    if outside:
        text = f"{said}. {', '.join(outside)} did not wait for a slot of the desk"
        return [Message("out_of_the_desk", text, "Who waits in another pool is in the room all the same.")]
    slots = {pool.name: pool.slots for pool in seen.facts.pools}
    text = f"{said}. The desk has {slots.get('desk')} slots"
    return [Message("desk_enlarged", text, "Slots do not make room.")]


def _held(seen: Seen, exports: list[Export]) -> list[Message]:
    """A slot held from one question to the next, while others waited for one."""
    work = _work(seen)
    everybody = Timeline.from_records([export.waiter for export in exports if export.waiter])
    for export in exports:
        rows = np.flatnonzero(everybody.task_id.isin([export.waiter.get("task_id", "")]))
        if not len(rows):
            continue
        since, until = float(everybody.queued[rows[0]]), float(everybody.end[rows[0]])
        asked = [at for at in export.asked if since <= at and not at > until]
        if len(asked) <= 1:
            continue
        waiting = np.flatnonzero((work.scheduled < asked[-1]) & ~(work.queued <= asked[0]))
        if len(waiting):
            return [_why(seen, export, asked, work.labelled(waiting))]
    return []


def _why(seen: Seen, export: Export, asked: list[float], waiting: list[str]) -> Message:
    more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
    name = str(export.waiter["task_id"])
    said = (
        f"{name} asked for export {export.number} {len(asked)} times from {clock(asked[0])} to {clock(asked[-1])}, "
        f"and kept its slot all the time. {', '.join(waiting[:_NAMED])}{more} waited for one then"
    )
    if export.facts and export.facts.mode == "reschedule":
        text = f"{said}. Its mode is 'reschedule': between two calls of its function it has no slot, within one it has"
        return Message("sleeps_inside", text, "What does the function do while the export is not ready?")
    order = seen.facts.dag.task("order")
    if export.facts and order and order.priority_weight > export.facts.priority_weight:
        text = f"{said}. The orders weigh more, and the slots were taken before they came"
        return Message("weight_frees_nothing", text, "A weight says who is next. What gives a slot back?")
    return Message("holds_a_slot", said, "What does the task do between two questions, and where?")


def _work(seen: Seen) -> Timeline:
    """The tasks that are meant to wait for the desk."""
    return Timeline.from_records([record for record in seen.records if _counts(record["task_id"])])


def _counts(task_id: str) -> bool:
    return task_id.startswith(_WORK)
