"""What Module 14 says of older texts' examples, tried on files that are written as those are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow.serialization.serialized_objects import DagSerialization
from support.bagging import Parsed, parse

if TYPE_CHECKING:
    from pathlib import Path

NEVER_CALLED = """
from airflow.sdk import dag, task

@dag(schedule=None, max_active_runs=3)
def concurrency_example():
    @task(max_active_tis_per_dag=5)
    def limited_task():
        pass

    limited_task()
"""
ASKED_AT_PARSE_TIME = """
from airflow.sdk import DAG, task

load = 0.9

def slots_for(load):
    return 2 if load > 0.8 else 5

with DAG("asked", schedule=None):
    @task(max_active_tis_per_dag=slots_for(load))
    def limited_task():
        pass

    limited_task()
load = 0.1
"""
WITH_SLA = """
from datetime import timedelta
from airflow.sdk import DAG, task

with DAG("late", schedule=None):
    @task(priority_weight=100, sla=timedelta(minutes=30))
    def sla_critical_task():
        pass

    sla_critical_task()
"""


def parsed(folder: Path, text: str) -> Parsed:
    """What Airflow makes of a DAG file with this text."""
    path = folder / "example.py"
    path.write_text(text, encoding="utf-8")
    return parse(path)


def test_a_decorated_function_that_nobody_calls_is_no_dag(tmp_path: Path) -> None:
    """The file loads without an error or a warning, and has no DAG; with a call it has one."""
    found = parsed(tmp_path, NEVER_CALLED)
    assert (found.dags, found.errors, found.warnings) == ({}, [], [])
    assert list(parsed(tmp_path, f"{NEVER_CALLED}\nconcurrency_example()\n").dags) == ["concurrency_example"]


def test_a_limit_that_a_function_gives_is_a_number_once_the_file_is_parsed(tmp_path: Path) -> None:
    """What the scheduler gets is the number of that moment, and no function that could be asked again."""
    dag = parsed(tmp_path, ASKED_AT_PARSE_TIME).dags["asked"]
    serialized = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert serialized.get_task("limited_task").max_active_tis_per_dag == 2


def test_an_sla_is_accepted_with_a_warning_and_kept_nowhere(tmp_path: Path) -> None:
    """Airflow says that the feature is removed; the scheduler's copy of the task knows nothing of it."""
    found = parsed(tmp_path, WITH_SLA)
    assert [one for one in found.warnings if "The SLA feature is removed in Airflow 3.0" in one]
    tasks = json.dumps(DagSerialization.to_dict(found.dags["late"])["dag"]["tasks"])
    assert "sla_critical_task" in tasks
    assert '"sla"' not in tasks
    assert "1800" not in tasks
