"""What waits for a pool and what holds its slots, as a load shedder needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from backpressure.measures.shedding import item_key
from backpressure.shedding.priority import WaitingItem

if TYPE_CHECKING:
    from backpressure.airflow.run import Run

__all__ = ["Backlog", "this_item"]

Record = dict[str, Any]


def this_item() -> str:
    """What the task instance that calls this is called."""
    from airflow.sdk import get_current_context  # noqa: PLC0415 - not where records are read without Airflow

    ti = get_current_context()["ti"]
    return item_key(ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


@dataclass(frozen=True)
class Backlog:
    """Task instances of one kind of work at one instant.

    Attributes:
        waiting: records of those that are scheduled and have no slot yet, by key.
        holding: instants (epoch s) at which those that hold a slot now were queued.
        held: for how many seconds each of those that succeeded held its slot.
        arrived: how many have been scheduled by now, whatever became of them.
    """

    waiting: dict[str, Record]
    holding: tuple[float, ...]
    held: tuple[float, ...]
    arrived: int

    @classmethod
    def now(cls, run: Run, helper: str | None, *task_ids: str) -> Self:
        """The backlog of a lesson's helper runs, and of some of its own tasks, right now."""
        records = [record for record in run.api.task_instances(run.dag_id, run.run_id) if record["task_id"] in task_ids]
        return cls.of(records + (run.helper_records(helper) if helper else []))

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Sort records by what they wait for or hold."""
        return cls(
            {_key(record): record for record in records if record["state"] == "scheduled"},
            tuple(_at(record, "queued_when") for record in records if record["state"] in ("queued", "running")),
            tuple(
                _at(record, "end_date") - _at(record, "queued_when")
                for record in records
                if record["state"] == "success" and record["queued_when"]
            ),
            sum(record["scheduled_when"] is not None for record in records),
        )

    @property
    def depth(self) -> int:
        """How many wait."""
        return len(self.waiting)

    @property
    def service_time(self) -> float:
        """Seconds for which a task instance holds its slot, its start included: the median of those done.

        Raises:
            ValueError: none is done.
        """
        if not self.held:
            raise ValueError("no task instance is done: let some run first, to learn how long they take")
        return median(self.held)

    def free_at(self, slots: int, now: float) -> list[float]:
        """When each slot is free, if its holder takes as long as others did: a slot that is free is free now."""
        taken = [queued + self.service_time for queued in self.holding]
        return taken + [now] * (slots - len(taken))

    def items(self, patience: float) -> list[WaitingItem]:
        """What waits, as a shedder takes it; each is due ``patience`` seconds after it was scheduled."""
        return [
            WaitingItem(key, record["priority_weight"], came := _at(record, "scheduled_when"), came + patience)
            for key, record in self.waiting.items()
        ]


def _key(record: Record) -> str:
    return item_key(record["dag_run_id"], record["task_id"], record["map_index"])


def _at(record: Record, stamp: str) -> float:
    return datetime.fromisoformat(record[stamp]).timestamp()
