"""A Celery worker's own processes, the parents of its tasks: how much memory they have, and a leak to see it grow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from backpressure.airflow import machine

if TYPE_CHECKING:
    from backpressure.airflow.run import Run

__all__ = ["TASK", "leak", "look"]

TASK = "lab.leak"
"""The Celery task that the lab's workers know beside Airflow's."""
MEGABYTE = 2**20
_SEEN = 0.8


def look(run: Run, worker: str) -> dict[str, Any]:
    """The ``pids`` of the processes in which a worker runs tasks, and their private ``bytes`` together, ``at`` now."""
    pids = list(run.workers.processes(worker))
    return {"at": time.time(), "pids": pids, "bytes": sum(machine.memory(pids).values())}


def leak(run: Run, worker: str, queue: str, megabytes: int, seconds: float) -> list[dict[str, Any]]:
    """Let one of these processes keep so much memory for so long; a look before, and one when it has it.

    Args:
        run: the lesson's.
        worker: which serves the queue.
        queue: that no other worker serves.
        megabytes: how much.
        seconds: after which it gives the memory back by itself, so that a learner's machine does not lose it.

    Raises:
        TimeoutError: the process has not grown within half a minute.
    """
    before = look(run, worker)
    run.workers.send(TASK, megabytes, seconds, queue=queue)
    enough = before["bytes"] + _SEEN * megabytes * MEGABYTE

    def grown() -> dict[str, Any] | None:
        """The worker's processes have grown."""
        now = look(run, worker)
        return now if now["bytes"] >= enough else None

    return [before, run.wait_for(grown, seconds=30)]
