"""What a process imports before it forks others that run tasks, so that no task has to: names only.

A task's process is a fork: of the scheduler for LocalExecutor, of a Celery worker's process for CeleryExecutor. What
its parent has imported it has, too; what its parent has not, it imports itself, every time.
"""

from __future__ import annotations

# Running any task: the runner, how a DAG file is loaded, and what the course's DAG files import.
TASKS = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.python",
    "backpressure.adaptive.pool_controller",
    "backpressure.airflow.backlog",
    "backpressure.airflow.connection",
    "backpressure.airflow.evidence",
    "backpressure.airflow.upstream",
    "backpressure.breaker.last_good",
    "backpressure.limiter.limiter",
    "backpressure.measures.breaker",
    "backpressure.measures.degraded",
    "backpressure.measures.samples",
    "backpressure.measures.scaling",
    "backpressure.measures.shedding",
    "backpressure.measures.upstream",
    "backpressure.shedding.log",
    "backpressure.storage.postgres",
    "backpressure.timeline",
)
