"""The services of docker-compose.yml, each with its own command and environment, as processes of this machine."""

from __future__ import annotations

import json
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow.client import AirflowClient
from support.lab import Lab, wait_until
from support.native_cluster import NativeCluster

from backpressure_lab import manifest
from backpressure_lab.cli import elsewhere
from backpressure_lab.cluster.services import worker_name

pytestmark = pytest.mark.live

COURSE = manifest.load()
# The fourth queue's worker has a profile of its own: it reserves a device.
QUEUES = [queue.name for queue in COURSE.queues if queue.name != "gpu"]
# Lessons that need no more than the cluster has, of different sections.
PROVED = ("106.2.1", "106.4.2")
DAG = textwrap.dedent(
    """
    import os
    import time

    from airflow.sdk import DAG, task

    with DAG("cluster_probe", schedule=None, is_paused_upon_creation=False, max_active_tasks=64):

        @task
        def where() -> str:
            return os.environ["HOSTNAME"]

        @task(retries=2, retry_delay=1)
        def work(number: int) -> int:
            time.sleep(0.5)
            return number

        for queue in {queues!r}:
            where.override(task_id=f"where_{{queue}}", queue=queue)()
        work.expand(number=list(range(10)))
    """
).lstrip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[NativeCluster]:
    """Two schedulers, a worker for each queue that every machine can serve, and everything else once."""
    with (
        tempfile.TemporaryDirectory(prefix="cluster-") as folder,
        NativeCluster(Path(folder), WORKER_CONCURRENCY="12") as native,
    ):
        (native.home / "work" / "cluster_probe.py").write_text(DAG.format(queues=QUEUES), encoding="utf-8")
        native.up({worker_name(queue): 1 for queue in QUEUES})
        yield native


@pytest.fixture
def api(cluster: NativeCluster) -> Iterator[AirflowClient]:
    """A client of the cluster's Airflow."""
    with cluster.client() as client:
        yield client


def _start(api: AirflowClient, run_id: str) -> None:
    wait_until(lambda: list(api.pages("/dags", "dags", dag_id_pattern="cluster_probe")), 60, "the probe is loaded")
    api.trigger("cluster_probe", run_id)


def _over(api: AirflowClient, run_id: str) -> bool:
    return api.run("cluster_probe", run_id)["state"] in ("success", "failed")


def _instances(api: AirflowClient, run_id: str) -> list[dict[str, Any]]:
    return api.task_instances("cluster_probe", run_id)


def test_the_cluster_has_what_the_manifest_says(api: AirflowClient) -> None:
    """Pools and connections are there, every lesson is loaded, and two schedulers live."""
    assert {pool.name for pool in COURSE.pools} <= {pool["name"] for pool in api.pages("/pools", "pools")}
    wanted = {"airflow_api", "upstream", "metrics", "celery_broker", "lab_postgres", "backpressure_db"}
    assert {one["connection_id"] for one in api.pages("/connections", "connections")} == wanted
    lessons = {item.dag_id for item in COURSE.written}
    wait_until(lambda: lessons <= {dag["dag_id"] for dag in api.pages("/dags", "dags")}, 90, "every lesson is loaded")
    assert list(api.pages("/importErrors", "import_errors")) == []
    alive = api.get("/jobs", is_alive=True, job_type="SchedulerJob")["jobs"]
    assert len(alive) == 2


def test_a_task_runs_where_its_queue_is_served(api: AirflowClient) -> None:
    """Each queue's task says which worker's host it ran on: the one whose command names that queue."""
    _start(api, "queues")
    wait_until(lambda: _over(api, "queues"), 180, "the run of the probe is over")
    hosts = {queue: api.xcom("cluster_probe", "queues", f"where_{queue}") for queue in QUEUES}
    assert hosts == {queue: f"{worker_name(queue)}-1" for queue in QUEUES}


def test_lessons_prove_themselves_on_the_cluster(cluster: NativeCluster, tmp_path: Path) -> None:
    """The same lessons, with --url and credentials from the environment, on Celery's workers."""
    lab = Lab(tmp_path)
    lab.env |= {elsewhere.USER: "admin", elsewhere.PASSWORD: cluster.secrets["ADMIN_PASSWORD"]}
    done = lab("prove", *PROVED, "--url", cluster.url, "--jobs", "1", "--json", "-")
    results = [(one["item"], one["scenario"], one["verdict"], one["reasons"]) for one in json.loads(done.stdout)]
    wanted = [(item, scenario) for item in PROVED for scenario in COURSE.item(item).scenarios]
    assert sorted(results) == sorted((item, scenario, "as expected", []) for item, scenario in wanted)
    assert done.returncode == 0


def test_the_loss_of_a_scheduler_stops_nothing(cluster: NativeCluster, api: AirflowClient) -> None:
    """One of two schedulers is killed in the middle of a run: the other brings every task to its end."""
    _start(api, "loss")
    wait_until(
        lambda: any(one["state"] == "success" for one in _instances(api, "loss")), 120, "the first task has ended"
    )
    cluster.kill("scheduler", 1)
    try:
        wait_until(lambda: _over(api, "loss"), 240, "the run is over")
        states = [one["state"] for one in _instances(api, "loss")]
        assert states == ["success"] * (len(QUEUES) + 10)
    finally:
        cluster.start("scheduler", 1)
