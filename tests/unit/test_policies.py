"""Cluster policies, applied by Airflow's own parsing of DAG files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow import policies

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "airflow_local_settings.py"

# Prints what a DAG processor gets of a folder of DAG files: its tasks after the policies, its import errors.
PARSE = """
import json, logging, sys, warnings
import airflow.settings
import airflow.policies
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
logging.disable(logging.CRITICAL)
bag = DagBag(sys.argv[1])
tasks = {}
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
    for task in dag.tasks:
        limit = task.execution_timeout
        tasks[f"{dag.dag_id}.{task.task_id}"] = [
            task.pool, limit and limit.total_seconds(), type(task.retry_policy).__name__
        ]
kept = airflow.settings.policies is airflow.policies
print(json.dumps({"tasks": tasks, "errors": list(bag.import_errors.values()), "kept": kept}))
"""

GOOD = """
from datetime import timedelta
from airflow.sdk import DAG, ExceptionRetryPolicy, task

with DAG("good", schedule=None):

    @task
    def plain(page):
        pass

    plain(1)
    plain.override(task_id="mapped", retries=2).expand(page=[1, 2])
    plain.override(task_id="own", pool="warehouse", execution_timeout=timedelta(hours=2), retries=0)(1)
    plain.override(task_id="airflows", retries=2, retry_exponential_backoff=2.0)(1)
    plain.override(task_id="policy", retries=2, retry_policy=ExceptionRetryPolicy(rules=[]))(1)
"""
BAD = """
from datetime import timedelta
from airflow.sdk import DAG, task

with DAG("{name}", schedule=None):

    @task({arguments})
    def work():
        pass

    work()
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A folder of DAG files, parsed under the example's policies by an Airflow of its own."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "config").mkdir()
    shutil.copy(EXAMPLE, home / "config")
    dags = home / "dags"
    dags.mkdir()
    (dags / "good.py").write_text(GOOD, encoding="utf-8")
    for name, arguments in (
        ("too_long", "execution_timeout=timedelta(hours=13)"),
        ("no_such_pool", "pool='wharehouse'"),
    ):
        (dags / f"{name}.py").write_text(BAD.format(name=name, arguments=arguments), encoding="utf-8")
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
    printed = subprocess.run(
        [sys.executable, "-c", PARSE, str(dags)], env=environment, capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    found: dict[str, Any] = json.loads(printed.stdout.splitlines()[-1])
    return found


def test_tasks_get_what_they_do_not_say(parsed: dict[str, Any]) -> None:
    """Pool, timeout and retry policy are filled in, for mapped tasks too, and what a task says itself is kept."""
    assert parsed["tasks"] == {
        "good.plain": ["shared", 3600.0, "NoneType"],
        "good.mapped": ["shared", 3600.0, "BackoffRetryPolicy"],
        "good.own": ["warehouse", 7200.0, "NoneType"],
        "good.airflows": ["shared", 3600.0, "NoneType"],
        "good.policy": ["shared", 3600.0, "ExceptionRetryPolicy"],
    }


def test_what_breaks_a_rule_is_an_import_error_that_says_so(parsed: dict[str, Any]) -> None:
    """DAG, task, value and rule are named; other files go on."""
    errors = sorted(error.strip().splitlines()[-1] for error in parsed["errors"])
    assert len(errors) == 2
    assert "task 'work' of DAG 'no_such_pool' names the pool 'wharehouse', which there is not; there are" in errors[0]
    assert "'default_pool', 'partner_x', 'shared', 'warehouse'" in errors[0]
    assert "task 'work' of DAG 'too_long' has an execution_timeout of 13:00:00; the most is 12:00:00" in errors[1]


def test_the_example_leaves_airflows_own_settings_alone(parsed: dict[str, Any]) -> None:
    """Thanks to `__all__`, the example's import of `policies` does not replace Airflow's module of that name."""
    assert parsed["kept"] is True


def test_without_a_default_a_timeout_is_mandatory() -> None:
    """A task that has none is rejected, and told what to do."""
    from airflow.exceptions import AirflowClusterPolicyViolation  # noqa: PLC0415 - after the tests' AIRFLOW_HOME
    from airflow.sdk import DAG, task  # noqa: PLC0415 - the same

    with DAG("d", schedule=None) as dag:

        @task
        def work() -> None:
            return None

        work()
    with pytest.raises(
        AirflowClusterPolicyViolation, match="task 'work' of DAG 'd' has no execution_timeout: give it one"
    ):
        policies.execution_timeout()(dag.get_task("work"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: policies.default_pool(""), "pool must be the name of a pool, not ''"),
        (lambda: policies.execution_timeout(default=timedelta(0)), "default must be a timedelta above 0"),
        (lambda: policies.execution_timeout(most=60), "most must be a timedelta above 0, not 60"),  # type: ignore[arg-type]
        (
            lambda: policies.execution_timeout(default=timedelta(hours=2), most=timedelta(hours=1)),
            "default must not exceed most, 1:00:00, but is 2:00:00",
        ),
    ],
)
def test_a_bad_argument_is_named(make: Callable[[], object], message: str) -> None:
    """ValueError at start of Airflow, with argument and value."""
    with pytest.raises(ValueError, match=message):
        make()
