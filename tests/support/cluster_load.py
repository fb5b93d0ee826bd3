"""Work for a cluster's workers: tasks that call the upstream, which logs who called it when."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from backpressure.airflow.client import AirflowClient
from backpressure.request_log import RequestLog
from support.native_cluster import NativeCluster

LOAD = "cluster_load"
RETRIES = 3
_DAG = """
import os
from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow.upstream import Upstream

with DAG(
    "{dag_id}",
    schedule=None,
    is_paused_upon_creation=False,
    max_active_tasks=1000,
    params={{"tasks": Param(10, type="integer")}},
):

    @task(queue="default")
    def numbers() -> list[int]:
        return list(range(get_current_context()["params"]["tasks"]))

    @task(queue="{queue}", retries={retries}, retry_delay=timedelta(seconds=1))
    def work(number: int) -> None:
        run_id = get_current_context()["dag_run"].run_id
        Upstream(run_id).call(key=str(number), request_id=os.environ["HOSTNAME"])

    @task(queue="default")
    def last() -> None:
        pass

    work.expand(number=numbers()) >> last()
"""


def dag(queue: str) -> str:
    """A DAG file whose mapped task ``work`` runs in a queue, and calls the lane that is named like its run."""
    return textwrap.dedent(_DAG).format(dag_id=LOAD, queue=queue, retries=RETRIES).lstrip()


@dataclass(frozen=True)
class Load:
    """A run of it: what Airflow says of its tasks, and what the upstream saw of them."""

    cluster: NativeCluster
    api: AirflowClient
    run_id: str
    tasks: int

    @classmethod
    def start(cls, cluster: NativeCluster, api: AirflowClient, run_id: str, tasks: int, seconds: float) -> Load:
        """Trigger a run of so many tasks whose call takes so long."""
        with cluster.upstream(run_id) as lane:
            lane.configure(service_time=seconds)
        api.trigger(LOAD, run_id, conf={"tasks": tasks})
        return cls(cluster, api, run_id, tasks)

    def work(self) -> list[dict[str, Any]]:
        """The mapped task's instances as Airflow lists them; none before the list to map over is there."""
        found = self.api.task_instances(LOAD, self.run_id)
        return [one for one in found if one["task_id"] == "work" and one["map_index"] >= 0]

    def in_state(self, *states: str) -> int:
        """How many of the mapped task's instances are in one of these states."""
        return sum(one["state"] in states for one in self.work())

    def handed_over(self) -> bool:
        """Whether the scheduler has nothing left to hand over until a task has ended."""
        found = self.work()
        return len(found) == self.tasks and all(one["state"] not in (None, "scheduled") for one in found)

    def over(self) -> bool:
        """Whether the run has ended."""
        return self.api.run(LOAD, self.run_id)["state"] in ("success", "failed")

    def states(self) -> list[str]:
        """The states of all of the run's task instances."""
        return [str(one["state"]) for one in self.api.task_instances(LOAD, self.run_id)]

    def tries(self) -> int:
        """How many tries the mapped task's instances took beyond the first."""
        return sum(one["try_number"] - 1 for one in self.work())

    def log(self) -> RequestLog:
        """The upstream's log of the run's calls: the key is the task's number, the request id the worker's host."""
        with self.cluster.upstream(self.run_id) as lane:
            return lane.log()

    def calls_now(self, host: str) -> int:
        """How many calls of a worker's host the upstream is serving."""
        return self.log().count(request_id=host, status="serving")

    def most_at_once(self) -> int:
        """The most calls of one and the same task that the upstream ever served at once."""
        return int(max(log.inflight().peak().value for log in self.log().by("key").values()))

    def waits(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Seconds that each of the mapped task's instances spent in its queue."""
        return np.array([_seconds(one["queued_when"], one["start_date"]) for one in self.work()])

    def throughput(self) -> float:
        """The mapped task's instances a second, from when the first was queued to when the last had ended."""
        found = self.work()
        first, end = min(one["queued_when"] for one in found), max(one["end_date"] for one in found)
        return len(found) / _seconds(first, end)


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
