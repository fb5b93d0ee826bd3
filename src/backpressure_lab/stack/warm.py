"""Import this in a process before it forks others that run tasks, so that no task has to import it all again.

A task's process is a fork: of the scheduler for LocalExecutor, of a Celery worker's process for CeleryExecutor; a parse
is a fork of the DAG processor. What the parent has imported a fork has, too; what it has not, each imports itself.
"""

from __future__ import annotations

import importlib
import pkgutil

import backpressure

# Running any task: the runner, and how a DAG file is loaded.
TASKS = (
    "airflow.version",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.standard.operators.python",
    "psycopg2.extras",
)

for name in TASKS:
    importlib.import_module(name)
for module in pkgutil.walk_packages(backpressure.__path__, "backpressure."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
