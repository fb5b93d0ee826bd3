"""Every DAG file of the course, loaded by Airflow's own DagBag without a running stack."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.dag_version_inflation_checker import check_dag_file_stability
from support.bagging import Parsed, parse

from backpressure_lab.devcheck.source import Source
from backpressure_lab.manifest import Item, load

COURSE = load()
FILES = sorted((COURSE.root / "dags").rglob("*.py"))
WRITTEN = [pytest.param(item, id=item.id) for item in COURSE.written]
# What the package may cost beside the tasks themselves, as a share; importing numpy alone would cost more.
PARSE_BUDGET = 1.2

for_each_lesson = pytest.mark.parametrize("item", WRITTEN)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """One bag for all files, so that a dag_id used twice is an error."""
    return DagBag(COURSE.root / "dags", collect_dags=False)


@pytest.fixture(scope="module")
def parsed(bag: DagBag) -> dict[str, Parsed]:
    """What came of parsing each file, by its path from the root."""
    return {path.relative_to(COURSE.root).as_posix(): parse(path, bag) for path in FILES}


def test_the_bag_holds_the_written_lessons_and_their_helpers_only(bag: DagBag, parsed: dict[str, Parsed]) -> None:
    """Every written item is a DAG, no DAG is without an item, and no file fails to load."""
    assert [error for file in parsed.values() for error in file.errors] == []
    assert {dag_id.partition("__")[0] for dag_id in bag.dags} == {item.dag_id for item in COURSE.written}


@for_each_lesson
def test_a_lesson_parses_without_a_warning(item: Item, parsed: dict[str, Parsed]) -> None:
    """No deprecated name, no operator's complaint, nothing that changes the DAG's version with every parse."""
    assert parsed[item.file].warnings == []
    assert check_dag_file_stability(str(COURSE.root / item.file)).warnings == {}


@for_each_lesson
def test_a_lesson_touches_nothing_while_it_is_parsed(item: Item, parsed: dict[str, Parsed]) -> None:
    """At most one metadata query, and no connection or variable, is asked for: parsing goes on all the time."""
    assert len(parsed[item.file].queries) <= 1, parsed[item.file].queries
    assert parsed[item.file].lookups == []


@for_each_lesson
def test_a_lesson_is_what_the_manifest_says(item: Item, parsed: dict[str, Parsed]) -> None:
    """The dag_id, tags, documentation and scenarios that Airflow shows are the manifest's and the file's own."""
    dags = parsed[item.file].dags
    assert {dag_id for dag_id in dags if not dag_id.startswith(f"{item.dag_id}__")} == {item.dag_id}
    dag = dags[item.dag_id]
    docstring = ast.get_docstring(ast.parse((COURSE.root / item.file).read_text(encoding="utf-8")))
    assert docstring
    assert inspect.cleandoc(dag.doc_md or "") == docstring
    assert set(dag.tags) == set(item.tags)
    scenario = dag.params.get_param("scenario")
    assert scenario.value == item.default_scenario
    assert Counter(scenario.schema["enum"]) == Counter(list(item.scenarios))


@for_each_lesson
def test_a_lesson_uses_pools_and_queues_that_there_are(item: Item, parsed: dict[str, Parsed]) -> None:
    """Airflow itself raises nothing over a missing pool or an unserved queue: the task would wait for ever."""
    tasks = [task for dag in parsed[item.file].dags.values() for task in dag.tasks]
    pools = {"default_pool", *(pool.name for pool in COURSE.pools), *item.creates_pools}
    assert {task.pool for task in tasks} <= pools
    assert {task.queue for task in tasks} <= {queue.name for queue in COURSE.queues}


@for_each_lesson
def test_a_lesson_ends_in_evidence_that_hides_no_failure(item: Item, parsed: dict[str, Parsed]) -> None:
    """The judge is a teardown: it runs whatever happened, and a failed workload leaves the run failed."""
    evidence = parsed[item.file].dags[item.dag_id].get_task("evidence")
    assert evidence.is_teardown
    assert not evidence.on_failure_fail_dagrun
    assert not evidence.downstream_task_ids
    assert evidence.pool == "lab_control"


@for_each_lesson
def test_a_lesson_can_be_serialized(item: Item, parsed: dict[str, Parsed]) -> None:
    """The scheduler sees the serialized DAG: it keeps every task with its pool, slots, queue and weight."""
    for dag in parsed[item.file].dags.values():
        serialized = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        kept = {task.task_id: (task.pool, task.pool_slots, task.queue) for task in serialized.tasks}
        assert kept == {task.task_id: (task.pool, task.pool_slots, task.queue) for task in dag.tasks}


@for_each_lesson
def test_every_bullet_has_exactly_one_finding(item: Item) -> None:
    """The bullets of the checklist and the findings in the file's source are the same texts, each once."""
    source = Source((COURSE.root / item.file).read_text(encoding="utf-8"))
    assert Counter(bullet for _, bullet in source.findings) == Counter(item.checklist)


@pytest.mark.slow  # every file is parsed three times under a profiler
def test_the_package_adds_little_to_a_files_parsing() -> None:
    """In forks of one process, as the DAG processor parses, a lesson makes few more calls than as many plain tasks."""
    command = [sys.executable, str(COURSE.root / "benchmarks" / "parsing.py"), "--calls"]
    printed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    counted: dict[str, dict[str, int]] = json.loads(printed.stdout.splitlines()[-1])
    assert counted.keys() == {Path(item.file).name for item in COURSE.written}
    ratios = {name: round(calls["lesson"] / calls["plain"], 2) for name, calls in counted.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio > PARSE_BUDGET} == {}
