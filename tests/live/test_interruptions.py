"""However a lesson is interrupted, what it changed goes back to what it was: pools, pauses and upstream faults."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backpressure import pools
from backpressure.airflow import borrowed
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.upstream import Upstream
from support.lab import Lab, wait_until

from backpressure_lab.lessons import ending
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

LESSON, POOL, DAG_ID = "106.2.1", "pool_limiting", "106_02_01_pool_limiting"
CHANGING = "changing_by_a_test"
# A lesson that changes everything that a lesson can change, and then works, or is judged and killed.
FILE = """\
import os, signal, time

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import finding
from backpressure.measures.samples import reading

with DAG("changing_by_a_test__helper", schedule=None):

    @task
    def idle():
        time.sleep(1)

    idle()

with DAG("changing_by_a_test", schedule=None, params={"scenario": Param("worked"), "seconds": Param(0)}):

    @task(**CONTROL)
    def change():
        run = Run.current()
        run.create_pool("changing_by_a_test", 1)
        run.resize_pool("my_api_pool", 9)
        run.pause("changing_by_a_test__helper", paused=True)
        Upstream("changing_by_a_test").configure(outage=True)
        time.sleep(run.params["seconds"])

    @evidence
    def judge(run):
        first = get_current_context()["ti"].try_number == 1
        if run.scenario == "judge is killed" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        if run.scenario == "judge breaks":
            raise KeyError("made up")
        yield finding("b", "c", reading(1 if first else 2, "try", "context") == 1)

    change() >> judge()
"""


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[AirflowClient]:
    """A client of the shared lab."""
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=45) as client:
        yield client


@pytest.fixture(scope="module")
def changing(api: AirflowClient) -> Iterator[str]:
    """A lesson that changes everything, loaded by the lab from the learner's folder."""
    path: Path = Layout.of().work / f"{CHANGING}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(FILE, encoding="utf-8")
    try:
        wait_until(lambda: _loaded(api, CHANGING, f"{CHANGING}__helper"), 60, "Airflow loads the file")
        for dag_id in (CHANGING, f"{CHANGING}__helper"):
            api.pause(dag_id, paused=False)
        yield CHANGING
    finally:
        path.unlink()


def _loaded(api: AirflowClient, *dag_ids: str) -> bool:
    try:
        return all(api.dag(dag_id)["dag_id"] for dag_id in dag_ids)
    except AirflowError:
        return False


def _lane(lab: Lab) -> dict[str, Any]:
    context = Context.load(Layout.of(home=lab.home))
    token = context.layout.token_file.read_text(encoding="utf-8").strip()
    with Upstream(CHANGING, base_url=f"http://127.0.0.1:{context.ports.upstream}", token=token) as upstream:
        settings: dict[str, Any] = upstream.state()["settings"]
    return settings


def _as_it_is(lab: Lab, api: AirflowClient) -> dict[str, Any]:
    """Everything that the lesson changes."""
    return {
        "pools": {pool["name"]: pool["slots"] for pool in api.pages("/pools", "pools")},
        "paused": api.dag(f"{CHANGING}__helper")["is_paused"],
        "outage": _lane(lab)["outage"],
        "notes": borrowed.notes(api),
    }


def _over(api: AirflowClient, dag_id: str, run_id: str) -> bool:
    return api.run(dag_id, run_id)["state"] in ("success", "failed")


def _run_of_lesson(api: AirflowClient, known: set[str]) -> str | None:
    """The lesson's run that a command has started since, once it has made its pool."""
    runs = {run["dag_run_id"] for run in api.pages(f"/dags/{DAG_ID}/dagRuns", "dag_runs")} - known
    return next(iter(runs), None) if pools.status(api, POOL) else None


@pytest.fixture
def known(api: AirflowClient) -> set[str]:
    """The lesson's runs before the test."""
    wait_until(lambda: _loaded(api, DAG_ID), 60, "Airflow loads the lesson")
    wait_until(lambda: pools.status(api, POOL) is None, 120, "no earlier run has the pool")
    return {run["dag_run_id"] for run in api.pages(f"/dags/{DAG_ID}/dagRuns", "dag_runs")}


@pytest.mark.parametrize(("scenario", "tries"), [("worked", 1), ("judge is killed", 2)])
def test_a_run_gives_back_at_its_end(lab: Lab, api: AirflowClient, changing: str, scenario: str, tries: int) -> None:
    """Also one whose judge is killed while it judges: that is tried again, and what it measures then counts."""
    before = _as_it_is(lab, api)
    run_id = f"test-{scenario.replace(' ', '-')}"
    api.trigger(changing, run_id, conf={"scenario": scenario})
    wait_until(lambda: _over(api, changing, run_id), 120, "the run is over")
    assert _as_it_is(lab, api) == before
    (finding,) = api.xcom(changing, run_id, "evidence")["findings"]
    assert finding["observed"] == tries
    judge = next(record for record in api.task_instances(changing, run_id) if record["task_id"] == "evidence")
    assert (judge["state"], judge["try_number"]) == ("success", tries)


def test_a_judge_that_breaks_gives_back_and_is_not_tried_again(lab: Lab, api: AirflowClient, changing: str) -> None:
    """Its error is the lesson's, and would be the same the next time."""
    before = _as_it_is(lab, api)
    api.trigger(changing, "test-broken", conf={"scenario": "judge breaks"})
    wait_until(lambda: _over(api, changing, "test-broken"), 120, "the run is over")
    assert _as_it_is(lab, api) == before
    judge = next(r for r in api.task_instances(changing, "test-broken") if r["task_id"] == "evidence")
    assert (judge["state"], judge["try_number"]) == ("failed", 1)


def test_a_run_that_is_ended_gives_back(lab: Lab, api: AirflowClient, changing: str) -> None:
    """As Ctrl-C ends it: in the middle of its work, with everything changed."""
    before = _as_it_is(lab, api)
    api.trigger(changing, "test-ended", conf={"scenario": "worked", "seconds": 300})
    wait_until(lambda: _lane(lab)["outage"], 120, "the run has changed everything")
    assert _as_it_is(lab, api) != before
    ending.end(api, changing, "test-ended")
    wait_until(lambda: _as_it_is(lab, api) == before, 120, "everything is as it was")
    wait_until(lambda: _over(api, changing, "test-ended"), 60, "the run is over")


def test_ctrl_c_ends_what_is_being_proved(lab: Lab, api: AirflowClient, known: set[str]) -> None:
    """The command ends with code 130 and no traceback, its runs are over soon, and the pool is gone."""
    process = lab.start("prove", LESSON, "106.2.3", "-j", "2")
    run_id = wait_until(lambda: _run_of_lesson(api, known), 120, "the lesson has made its pool")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in (lab.home / "foreground.log").read_text(encoding="utf-8")
    wait_until(lambda: _over(api, DAG_ID, run_id), 60, "the run is over")
    wait_until(lambda: borrowed.notes(api) == [] and pools.status(api, POOL) is None, 60, "it has given back")
    lessons = (DAG_ID, "106_02_03_max_active_tasks")
    for dag_id in lessons:
        wait_until(lambda dag_id=dag_id: not _active(api, dag_id), 60, f"no run of {dag_id} or its helpers is active")


def _active(api: AirflowClient, dag_id: str) -> list[str]:
    return [
        run["dag_run_id"]
        for dag in api.pages("/dags", "dags", dag_id_pattern=f"{dag_id}%")
        for run in api.pages(f"/dags/{dag['dag_id']}/dagRuns", "dag_runs", state=["running", "queued"])
    ]


def test_a_killed_command_leaves_a_run_that_gives_back_by_itself(lab: Lab, api: AirflowClient, known: set[str]) -> None:
    """SIGKILL of the command does not reach the run: it goes on to its end and leaves nothing changed."""
    process = lab.start("run", LESSON)
    run_id = wait_until(lambda: _run_of_lesson(api, known), 120, "the lesson has made its pool")
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: _over(api, DAG_ID, run_id), 180, "the run is over")
    assert api.run(DAG_ID, run_id)["state"] == "success"
    assert borrowed.notes(api) == []
    assert pools.status(api, POOL) is None


def test_a_lab_that_went_down_gives_back_when_it_starts_again(fresh_lab: Lab) -> None:
    """The pool of a run that was cut off is there while the lab is down, and gone when the next start is ready."""
    assert fresh_lab("up", "--detach", "--light").returncode == 0
    process = fresh_lab.start("run", LESSON)
    with bootstrap.client(Context.load(Layout.of(home=fresh_lab.home)), patience=30) as api:
        wait_until(lambda: pools.status(api, POOL), 120, "the lesson has made its pool")
    assert fresh_lab("down").returncode == 0
    assert process.wait(timeout=60) == 3
    words = (fresh_lab.home / "foreground.log").read_text(encoding="utf-8")
    assert "went down" in words
    assert "Traceback" not in words
    assert fresh_lab("up", "--detach", "--light").returncode == 0
    with bootstrap.client(Context.load(Layout.of(home=fresh_lab.home)), patience=30) as api:
        assert pools.status(api, POOL) is None
        assert borrowed.notes(api) == []
        wait_until(lambda: not _active(api, DAG_ID), 120, "the run that was cut off is over")
    assert json.loads(fresh_lab("run", LESSON, "--json").stdout)["verdict"] == "as expected"
