"""What a submission says before it runs: ``python -m backpressure_lab.exercises.facts FILE`` prints it as JSON.

A process of its own, since the file is somebody else's code: it may not end, or end everything.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backpressure.pools import PoolSpec

from backpressure_lab.exercises import answers

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class TaskFacts:
    """A task's settings as Airflow's scheduler gets to know them; ``mode`` is a sensor's, and None for other tasks."""

    task_id: str
    pool: str
    pool_slots: int
    priority_weight: int
    weight_rule: str
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    mode: str | None = None


@dataclass(frozen=True)
class DagFacts:
    """A DAG's settings, and its tasks."""

    dag_id: str
    max_active_runs: int
    max_active_tasks: int
    tasks: tuple[TaskFacts, ...]

    def task(self, task_id: str) -> TaskFacts | None:
        """The task of this name."""
        return next((task for task in self.tasks if task.task_id == task_id), None)


@dataclass(frozen=True)
class Facts:
    """All of it; ``pools`` are those that the file describes, ``answers`` what it answers in words."""

    dag: DagFacts
    pools: tuple[PoolSpec, ...]
    answers: answers.Answers = field(default_factory=dict)

    def pool(self, name: str) -> PoolSpec | None:
        """The pool of this name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Facts:
        """From what the process has printed."""
        dag = told["dag"]
        tasks = tuple(TaskFacts(**task) for task in dag["tasks"])
        pools = tuple(PoolSpec(**pool) for pool in told["pools"])
        return cls(DagFacts(**{**dag, "tasks": tasks}), pools, told["answers"])


def describe(path: Path, shaped: Callable[[Any], dict[str, Any]] | None = None) -> dict[str, Any]:
    """The facts of a file as JSON, or ``{"trouble": …}``; ``shapes`` is what ``shaped``, if given, says of each DAG."""
    from backpressure_lab.exercises import submission  # noqa: PLC0415 - the process that reads the answer needs no Airflow

    try:
        loaded = submission.load(path)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like are somebody else's mistakes, too
        place = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
        return {"trouble": f"{type(error).__name__}: {error}", "line": place[-1].lineno if place else None}
    dags = [_dag(dag) for dag in loaded.dags]
    if not isinstance(loaded.pools, list | tuple) or not all(isinstance(pool, PoolSpec) for pool in loaded.pools):
        return {"trouble": f"POOLS must be a list of PoolSpec, got {loaded.pools!r:.200}", "line": None}
    try:
        answered = answers.checked(loaded.answers)
    except ValueError as error:
        return {"trouble": str(error), "line": None}
    told = {"dags": dags, "pools": [asdict(pool) for pool in loaded.pools], "answers": answered}
    return told if shaped is None else {**told, "shapes": [shaped(dag) for dag in loaded.dags]}


def _dag(dag: Any) -> dict[str, Any]:
    facts = DagFacts(dag.dag_id, dag.max_active_runs, dag.max_active_tasks, tuple(_task(task) for task in dag.tasks))
    return asdict(facts)


def _task(task: Any) -> TaskFacts:
    rule = task.weight_rule
    return TaskFacts(
        task_id=task.task_id,
        pool=task.pool,
        pool_slots=task.pool_slots,
        priority_weight=task.priority_weight,
        weight_rule=str(getattr(rule, "value", rule)),
        max_active_tis_per_dag=task.max_active_tis_per_dag,
        max_active_tis_per_dagrun=task.max_active_tis_per_dagrun,
        mode=getattr(task, "mode", None),
    )


def limits(platform: str) -> dict[int, int]:
    """What the process may use while it loads somebody else's file."""
    bounded = {resource.RLIMIT_CPU: 10, resource.RLIMIT_FSIZE: MEGABYTE, resource.RLIMIT_CORE: 0}
    # macOS refuses a bound on memory with EINVAL.
    return bounded if platform == "darwin" else {**bounded, resource.RLIMIT_AS: 2048 * MEGABYTE}


def main() -> None:
    """Print the facts of the file that is named; whatever the file itself prints goes nowhere."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import airflow.sdk  # noqa: F401, PLC0415 - before the limits: what it needs is not the submission's

    for limit, value in limits(sys.platform).items():
        resource.setrlimit(limit, (value, value))
    json.dump(describe(Path(sys.argv[1])), answer)
    answer.flush()
    os._exit(0)  # what the file left running, or for the end, is not waited for


if __name__ == "__main__":
    main()
