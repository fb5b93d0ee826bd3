"""Whether anybody serves the queues in which a run's tasks wait: seen from what starts in them, not from the workers.

Another deployment's broker cannot be asked from here, but Airflow tells what runs in a queue and what started in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from backpressure.airflow.client import AirflowClient

# Tasks of different executors do not share workers, even in a queue of the same name; None is the default executor.
_Place = tuple[str | None, str]


@dataclass
class Queues:
    """The queues of one run.

    Attributes:
        api: a client of the Airflow.
        run_id: the run's; those of its helper runs begin with it.
        clock: time, monotonic.
    """

    api: AirflowClient
    run_id: str
    clock: Callable[[], float] = time.monotonic
    _since: dict[_Place, float] = field(init=False, default_factory=dict)

    def unserved(self) -> dict[str, float]:
        """Queues in which tasks of the run wait while none is taken, and for how many seconds that has been seen."""
        oldest: dict[_Place, str] = {}
        for record in self.api.task_instances(state="queued", run_id_prefix_pattern=self.run_id):
            if record["dag_run_id"].startswith(self.run_id):
                place = record["executor"], record["queue"]
                oldest[place] = min(record["queued_when"], oldest.get(place, record["queued_when"]))
        now = self.clock()
        self._since = {
            place: self._since.get(place, now) for place, since in oldest.items() if not self._taken(place, since)
        }
        return {queue: now - since for (_, queue), since in self._since.items()}

    def _taken(self, place: _Place, since: str) -> bool:
        """Whether a task of the queue runs, or has started since then."""
        executor, queue = place
        return any(
            _of(executor, self.api.task_instances(queue=queue, **filters))
            for filters in ({"state": "running"}, {"start_date_gte": since})
        )


def _of(executor: str | None, records: Iterable[dict[str, Any]]) -> bool:
    # Airflow's filter by start lets through what has not started yet.
    return any(record["executor"] == executor and record["start_date"] for record in records)
