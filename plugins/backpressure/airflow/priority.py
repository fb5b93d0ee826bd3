"""A priority strategy that looks at the run: work of a run that is marked urgent goes ahead of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

URGENT = "urgent"
URGENT_BONUS = 1_000


class UrgentFirst(PriorityWeightStrategy):
    """The task's own weight, plus 1000 in a run whose id has the word ``urgent``, as in ``manual__urgent__7``.

    The mark is in the run's id because Airflow 3.3 asks for the weight before it binds a task instance to its run: a
    strategy sees the task, the run's id and the map index, but neither the run nor its ``conf``. It asks when the task
    instance is created and when it is cleared. Words are parted by two underscores.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """The weight of one task instance."""
        assert ti.task is not None  # Airflow sets it before it asks
        # A task instance that is made for its task alone, before there is a run, has no id yet.
        words = (ti.run_id or "").split("__")
        return int(ti.task.priority_weight) + (URGENT_BONUS if URGENT in words else 0)
