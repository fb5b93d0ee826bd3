"""A priority strategy that looks at the run: work of a run that is marked urgent goes ahead of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

URGENT_BONUS = 1_000


class UrgentFirst(PriorityWeightStrategy):
    """The task's own weight, plus 1000 when the run was triggered with ``conf={"urgent": true}``.

    Airflow computes a weight when the task instance is created and when it is cleared: marking a run as urgent later
    changes nothing.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """The weight of one task instance."""
        weight = int(ti.task.priority_weight) if ti.task is not None else 1
        conf = getattr(getattr(ti, "dag_run", None), "conf", None) or {}
        return weight + (URGENT_BONUS if conf.get("urgent") else 0)
