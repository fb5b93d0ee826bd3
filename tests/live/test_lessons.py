"""Every written lesson proves itself on a live scheduler, in every scenario; and the verdict is the scheduler's."""

from __future__ import annotations

import json
import threading

import pytest
from backpressure import pools
from backpressure.airflow import borrowed
from support.lab import Lab, wait_until

from backpressure_lab import manifest
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

WRITTEN = [item for item in manifest.load().items if item.written]
POOL_LESSON = "106.2.1"


@pytest.mark.parametrize("item", WRITTEN, ids=lambda item: item.dag_id)
def test_every_scenario_is_as_expected(lab: Lab, item: manifest.Item) -> None:
    """Bullets hold exactly where the manifest says so, and nothing that a run changed is left changed."""
    done = lab("prove", item.id, "--json", "-")
    results = json.loads(done.stdout)
    assert [(result["scenario"], result["verdict"], result["reasons"]) for result in results] == [
        (scenario, "as expected", []) for scenario in item.scenarios
    ]
    assert done.returncode == 0
    with bootstrap.client(Context.load(Layout.of(home=lab.home))) as api:
        assert borrowed.notes(api) == []
        left = {record["name"] for record in api.pages("/pools", "pools")} & set(item.creates_pools)
        assert left == set()


def test_a_pool_resized_from_outside_flips_the_verdict(lab: Lab) -> None:
    """The verdict is what the scheduler did: somebody else's larger pool makes the same lesson fail."""
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=30) as api:
        over = threading.Event()
        done = {}

        def run() -> None:
            done["run"] = lab("run", POOL_LESSON, "--json")
            over.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: pools.status(api, "pool_limiting") or over.is_set(), 120, "the lesson makes its pool")
            pools.resize(api, "pool_limiting", 5)
        finally:
            thread.join()
    result = json.loads(done["run"].stdout)
    assert done["run"].returncode == 1
    assert result["verdict"] == "not as expected"
    limits = next(finding for finding in result["findings"] if finding["bullet"] == "Set pool slot limits")
    assert limits["holds"] is False
    assert limits["observed"] > limits["limit"]


def test_a_second_run_of_a_lesson_waits_for_the_first(lab: Lab) -> None:
    """Two runs at once do not disturb each other: the second starts when the first is over."""
    done = []
    threads = [threading.Thread(target=lambda: done.append(lab("run", POOL_LESSON, "--json"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(one.stdout)["verdict"] for one in done] == ["as expected", "as expected"]


def test_unknown_names_are_answered_with_the_nearest(lab: Lab) -> None:
    """A mistyped lesson or scenario ends with code 2, the nearest name, and no traceback."""
    unknown = lab("run", "106.2.11")
    assert unknown.returncode == 2
    assert "106.2.1" in unknown.stderr
    unknown = lab("run", POOL_LESSON, "--scenario", "poold")
    assert unknown.returncode == 2
    assert "'pooled'" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_broken_file_is_shown_and_the_rest_goes_on(lab: Lab) -> None:
    """A DAG file with a syntax error is named by status with its line; other lessons stay loaded."""
    broken = Layout.of().work / "broken_by_a_test.py"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text("from airflow.sdk import DAG\nwith DAG('x'\n", encoding="utf-8")
    try:

        def shown() -> bool:
            report = json.loads(lab("status", "--json").stdout)
            return any("broken_by_a_test.py" in error["filename"] for error in report["import_errors"])

        wait_until(shown, 30, "status shows the broken file")
        words = lab("status").stdout
        assert "broken_by_a_test.py" in words
        assert "line 2" in words
        with bootstrap.client(Context.load(Layout.of(home=lab.home))) as api:
            assert api.dag("106_02_01_pool_limiting")["is_stale"] is False
    finally:
        broken.unlink()


def test_edits_are_seen_at_once(lab: Lab) -> None:
    """A new file is loaded within 5 s and a new task of a known file within 2 s, with time for a busy machine."""
    path = Layout.of().work / "edited_by_a_test.py"
    path.parent.mkdir(exist_ok=True)
    text = "from airflow.sdk import DAG\nfrom airflow.providers.standard.operators.empty import EmptyOperator\n"
    text += "with DAG('edited_by_a_test', schedule=None):\n    EmptyOperator(task_id='one')\n"
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=10) as api:

        def tasks() -> set[str]:
            known = {dag["dag_id"] for dag in api.pages("/dags", "dags", dag_id_pattern="edited_by_a_test")}
            return {task["task_id"] for task in api.get("/dags/edited_by_a_test/tasks")["tasks"]} if known else set()

        try:
            path.write_text(text, encoding="utf-8")
            wait_until(lambda: tasks() == {"one"}, 15, "a new file is loaded")
            path.write_text(text + "    EmptyOperator(task_id='two')\n", encoding="utf-8")
            wait_until(lambda: tasks() == {"one", "two"}, 10, "a new task of a known file is seen")
        finally:
            path.unlink()
