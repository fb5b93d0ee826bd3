"""Ends runs of lessons before their time, and has what they changed given back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from backpressure.airflow import borrowed
from backpressure.airflow.celery import Workers
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.run import TERMINAL

_ACTIVE = ["running", "queued"]
_SERVER_ERROR = 500
_TRIES, _ROUNDS, _QUIET_ROUNDS, _PAUSE_SECONDS = 5, 20, 2, 1.0
EVIDENCE_TASK = "evidence"


def end(api: AirflowClient, dag_id: str, run_id: str) -> list[str]:
    """End a lesson's run and its helper runs, and give back what it changed; says what was given back.

    Airflow ends the workload and still runs the lesson's teardown, which gives back once more, whatever comes later.
    """
    quiet = 0
    for _ in range(_ROUNDS):
        for one, active in _active(api, dag_id, run_id):
            _fail(api, one, active)
        # The scheduler may be about to commit more of a mapped task, which would wait for a pool that is gone.
        quiet = 0 if _works(api, dag_id, run_id) else quiet + 1
        if quiet == _QUIET_ROUNDS:
            break
        time.sleep(_PAUSE_SECONDS)
    with contextlib.suppress(ExceptionGroup):  # what cannot be given back from here keeps its note, for the teardown
        return give_back(api, run_id)
    return []


def _active(api: AirflowClient, dag_id: str, run_id: str) -> list[tuple[str, str]]:
    """The run and its helper runs, as far as they are not over: DAG and run."""
    return [
        (dag["dag_id"], run["dag_run_id"])
        for dag in api.pages("/dags", "dags", dag_id_pattern=f"{dag_id}%")
        for run in api.pages(f"/dags/{dag['dag_id']}/dagRuns", "dag_runs", state=_ACTIVE)
        if run["dag_run_id"] == run_id or run["dag_run_id"].startswith(f"{run_id}__")
    ]


def _works(api: AirflowClient, dag_id: str, run_id: str) -> bool:
    """Whether anything but the teardown is still to run, or runs."""
    return any(
        record["state"] not in TERMINAL and record["task_id"] != EVIDENCE_TASK
        for runs in _active(api, dag_id, run_id)
        for record in api.task_instances(*runs)
    )


def _fail(api: AirflowClient, dag_id: str, run_id: str) -> None:
    """Mark a run failed; once more when the scheduler held the same rows and the database let that win."""
    for left in reversed(range(_TRIES)):
        try:
            api.set_run_state(dag_id, run_id, "failed")
        except AirflowError as error:
            if error.status < _SERVER_ERROR or not left:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def give_back(api: AirflowClient, run_id: str) -> list[str]:
    """Give back what a run changed, as far as that can be done from outside of a task; says what was given back."""
    return borrowed.give_back(api, run_id, lambda: Workers.of(api))


def end_cut_off(api: AirflowClient, dag_ids: Iterable[str]) -> list[str]:
    """End every run of these lessons that is active when the local lab starts; says which, and what was given back.

    The stop of the lab has cut them off: their tasks' processes are gone, and whoever waited for them has been told.
    Not for a cluster, whose workers may be in the middle of them.
    """
    lessons = set(dag_ids)
    done = []
    for run in list(api.pages("/dags/~/dagRuns", "dag_runs", state=_ACTIVE)):
        if run["dag_id"] in lessons:
            done.append(f"ended {run['dag_id']} {run['dag_run_id']}, which was cut off")
            done += [f"gave back {change}" for change in end(api, run["dag_id"], run["dag_run_id"])]
    return done
