"""The services of docker-compose.yml, each with its own command and environment, as processes of this machine.

One cluster for all tests of this file: two schedulers, and a worker for each queue that every machine can serve. The
tests run in the order in which they stand here; each leaves the cluster whole.
"""

from __future__ import annotations

import json
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backpressure.airflow.client import AirflowClient
from support import cluster_load
from support.cluster_load import LOAD, Load
from support.lab import Lab, wait_until
from support.native_cluster import NativeCluster

from backpressure_lab import manifest
from backpressure_lab.cli import elsewhere
from backpressure_lab.cluster import places
from backpressure_lab.cluster.services import worker_name
from backpressure_lab.errors import NOT_RUNNING, WRONG_USAGE

pytestmark = pytest.mark.live

COURSE = manifest.load()
# The fourth queue's worker has a profile of its own: it reserves a device.
QUEUES = [queue.name for queue in COURSE.queues if queue.name != "gpu"]
LOADED_QUEUE = "high_priority"
LOADED = worker_name(LOADED_QUEUE)
# Lessons need up to twelve tasks at once to reach their limits.
GIVEN = {worker_name("default"): {"WORKER_CONCURRENCY": "12"}}
# What there is on queues that needs nothing of this machine, and a lesson of each other section.
PROVED = ("106.3.4", "pool_example_dag", "106.1.3", "106.2.1", "106.4.2")
PROBE = textwrap.dedent(
    """
    import os

    from airflow.sdk import DAG, task

    with DAG("cluster_probe", schedule=None, is_paused_upon_creation=False):

        @task
        def where() -> str:
            return os.environ["HOSTNAME"]

        for queue in {queues!r}:
            where.override(task_id=f"where_{{queue}}", queue=queue)()
    """
).lstrip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[NativeCluster]:
    """The cluster, up once for all tests."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, NativeCluster(Path(folder), GIVEN) as native:
        work = native.home / "work"
        (work / "cluster_probe.py").write_text(PROBE.format(queues=QUEUES), encoding="utf-8")
        (work / "cluster_load.py").write_text(cluster_load.dag(LOADED_QUEUE), encoding="utf-8")
        native.up({worker_name(queue): 1 for queue in QUEUES})
        yield native


@pytest.fixture(scope="module")
def api(cluster: NativeCluster) -> Iterator[AirflowClient]:
    """A client of the cluster's Airflow."""
    with cluster.client() as client:
        wanted = {item.dag_id for item in COURSE.written} | {"cluster_probe", LOAD}
        wait_until(
            lambda: wanted <= {dag["dag_id"] for dag in client.pages("/dags", "dags")}, 90, "all DAGs are loaded"
        )
        yield client


@pytest.fixture
def commands(cluster: NativeCluster, tmp_path: Path) -> Lab:
    """The command line of a checkout without a lab, with the cluster's credentials in the environment."""
    lab = Lab(tmp_path)
    lab.env |= {elsewhere.USER: "admin", elsewhere.PASSWORD: cluster.secrets["ADMIN_PASSWORD"]}
    return lab


def _probe_is_over(api: AirflowClient, run_id: str) -> bool:
    return api.run("cluster_probe", run_id)["state"] in ("success", "failed")


def test_the_cluster_has_what_the_manifest_says(api: AirflowClient) -> None:
    """Pools and connections are there, no file is broken, and two schedulers live."""
    assert {pool.name for pool in COURSE.pools} <= {pool["name"] for pool in api.pages("/pools", "pools")}
    wanted = {"airflow_api", "upstream", "metrics", "celery_broker", "lab_postgres", "backpressure_db"}
    assert {one["connection_id"] for one in api.pages("/connections", "connections")} == wanted
    assert list(api.pages("/importErrors", "import_errors")) == []
    assert len(api.get("/jobs", is_alive=True, job_type="SchedulerJob")["jobs"]) == 2


def test_a_task_runs_where_its_queue_is_served(api: AirflowClient) -> None:
    """Each queue's task says which worker's host it ran on: the one whose command names that queue."""
    api.trigger("cluster_probe", "queues")
    wait_until(lambda: _probe_is_over(api, "queues"), 180, "the run of the probe is over")
    hosts = {queue: api.xcom("cluster_probe", "queues", f"where_{queue}") for queue in QUEUES}
    assert hosts == {queue: f"{worker_name(queue)}-1" for queue in QUEUES}


def test_what_cannot_be_run_there_is_told(cluster: NativeCluster, commands: Lab) -> None:
    """A wrong password, a wrong port and a lesson that needs this machine: a sentence, a next step, an exit code."""
    local = next(item for item in COURSE.written if item.local)
    here = commands("run", local.id, "--url", cluster.url)
    assert (here.returncode, f"Run it here: ./lab run {local.id}" in here.stderr) == (WRONG_USAGE, True)
    nobody = commands("run", "106.2.1", "--url", "http://127.0.0.1:9")
    assert (nobody.returncode, "Nothing answers at" in nobody.stderr) == (NOT_RUNNING, True)
    commands.env[elsewhere.PASSWORD] = "wrong"
    refused = commands("prove", "106.2.1", "--url", cluster.url)
    assert (refused.returncode, "refuses these credentials" in refused.stderr) == (WRONG_USAGE, True)
    assert "Traceback" not in here.stderr + nobody.stderr + refused.stderr


@pytest.fixture(scope="module")
def storm(cluster: NativeCluster, api: AirflowClient) -> tuple[Load, dict[str, float]]:
    """A run in whose middle a worker comes, another is killed, and the broker is restarted; and when what happened."""
    at: dict[str, float] = {}
    load = Load.start(cluster, api, "storm", tasks=80, seconds=1.0)
    wait_until(load.handed_over, 60, "all tasks are in the queue")
    wait_until(lambda: load.in_state("success") >= 6, 60, "the first worker has done some of them")
    at["launched"] = time.time()
    cluster.launch(LOADED, 2)
    cluster.wait(LOADED, 2)
    at["healthy"] = time.time()
    wait_until(lambda: load.log().count(request_id=f"{LOADED}-2") >= 8, 60, "the second worker has done some, too")
    wait_until(lambda: load.calls_now(f"{LOADED}-1"), 30, "the first worker is in the middle of a task")
    at["killed"] = time.time()
    cluster.kill(LOADED, 1)
    cluster.stop(places.REDIS)
    api.trigger("cluster_probe", "storm")
    wait_until(lambda: "queued" in _probe_states(api), 30, "tasks are handed over while the broker is away")
    away = time.monotonic() + 4.0
    wait_until(lambda: time.monotonic() > away, 5, "the broker has been away for a while")
    cluster.start(places.REDIS)
    cluster.start(LOADED, 1)
    return load, at


def _probe_states(api: AirflowClient) -> list[str]:
    return [str(one["state"]) for one in api.task_instances("cluster_probe", "storm")]


def test_a_worker_that_is_added_helps_at_once(storm: tuple[Load, dict[str, float]]) -> None:
    """It takes tasks before it is called healthy, and two workers do more than one in the same time."""
    load, at = storm
    log = load.log()
    first = log.select(request_id=f"{LOADED}-2").arrival.min()
    assert at["launched"] < first < at["healthy"]
    alone = log.rate(since=log.arrival.min(), until=at["launched"])
    together = log.rate(since=first, until=at["killed"])
    assert together > 1.2 * alone, f"{alone:.2f} a second alone, {together:.2f} together"


def test_the_brokers_absence_fails_nothing(api: AirflowClient, storm: tuple[Load, dict[str, float]]) -> None:
    """Tasks without retries that are to be handed over meanwhile are handed over when the broker is back."""
    assert storm
    wait_until(lambda: _probe_is_over(api, "storm"), 120, "the run that was started without a broker is over")
    assert _probe_states(api) == ["success"] * len(QUEUES)


def test_lessons_prove_themselves_on_the_cluster(cluster: NativeCluster, commands: Lab, api: AirflowClient) -> None:
    """Lessons on queues and one of each other section, every scenario, with --url, on Celery's workers."""
    assert api
    items = [COURSE.item(name) for name in PROVED]
    done = commands("prove", *(item.id for item in items), "--url", cluster.url, "--json", "-")
    results = [(one["item"], one["scenario"], one["verdict"], one["reasons"]) for one in json.loads(done.stdout)]
    wanted = [(item.id, scenario, "as expected", []) for item in items for scenario in item.scenarios]
    assert sorted(results) == sorted(wanted)
    assert done.returncode == 0


def test_nothing_is_lost_and_nothing_runs_twice_at_once(storm: tuple[Load, dict[str, float]]) -> None:
    """After the loss of a worker and a restart of the broker every task succeeds; only what was cut off ran again."""
    load, at = storm
    wait_until(load.over, 240, "the run through the storm is over")
    assert load.states() == ["success"] * (load.tasks + 2)
    assert set(load.log().key.tolist()) == {str(number) for number in range(load.tasks)}
    assert load.most_at_once() == 1
    again = [log for log in load.log().by("key").values() if len(log) > 1]
    assert all(log.arrival.min() < at["killed"] for log in again)
    assert len(again) <= load.tries() <= 2, "the killed worker ran two tasks at most"
    assert load.tries() >= 1


def test_the_loss_of_a_scheduler_stops_nothing(cluster: NativeCluster, api: AirflowClient) -> None:
    """One of two schedulers is killed in the middle of a run: the other brings every task to its end."""
    load = Load.start(cluster, api, "loss", tasks=16, seconds=0.5)
    wait_until(load.handed_over, 60, "all tasks are in the queue")
    cluster.kill("scheduler", 1)
    try:
        assert not load.over()
        wait_until(load.over, 180, "the run is over")
        assert load.states() == ["success"] * (load.tasks + 2)
        assert load.tries() == 0
        assert (len(load.log()), load.most_at_once()) == (load.tasks, 1)
    finally:
        cluster.start("scheduler", 1)
