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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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
from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_RUNNING, WRONG_USAGE, NotRunningError
from backpressure_lab.exercises import catalog, place
from backpressure_lab.lessons import runner

pytestmark = pytest.mark.live

COURSE = manifest.load()
# The fourth queue's worker has a profile of its own: it reserves a device. So this queue has nobody here.
NOBODYS = "gpu"
QUEUES = [queue.name for queue in COURSE.queues if queue.name != NOBODYS]
LOADED_QUEUE = "high_priority"
LOADED = worker_name(LOADED_QUEUE)
# Lessons need as many tasks at once as the local lab lets run, to reach their limits.
GIVEN = {worker_name("default"): {"WORKER_CONCURRENCY": "16"}}
# Lessons on queues, most of which need this machine, and lessons of other sections.
ON_QUEUES = ("106.3.1", "106.3.2", "106.3.3", "106.3.4", "106.3.5")
OTHERS = (
    *("pool_example_dag", "106.1.3", "106.2.1", "106.4.2", "106.5.5", "106.6.2"),
    *("106.7.3", "106.8.5", "106.9.2", "106.10.2", "14.02"),
)
AT_ONCE = "3"
# Judged by who goes before whom, and not by how soon tasks start.
EXERCISE = "14.2"
_PROBE = textwrap.dedent(
    """
    import os

    from airflow.sdk import DAG, task

    with DAG({dag_id!r}, schedule=None, is_paused_upon_creation=False):

        @task
        def where() -> str:
            return os.environ["HOSTNAME"]

        for queue in {queues!r}:
            where.override(task_id=f"where_{{queue}}", queue=queue)()
    """
).lstrip()
PROBES = {"cluster_probe": QUEUES, "cluster_nobody": [NOBODYS]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[NativeCluster]:
    """The cluster, up once for all tests."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, NativeCluster(Path(folder), GIVEN) as native:
        work = native.home / "work"
        for dag_id, queues in PROBES.items():
            (work / f"{dag_id}.py").write_text(_PROBE.format(dag_id=dag_id, queues=queues), encoding="utf-8")
        (work / "cluster_load.py").write_text(cluster_load.dag(LOADED_QUEUE), encoding="utf-8")
        native.up({worker_name(queue): 1 for queue in QUEUES})
        yield native


@pytest.fixture(scope="module")
def api(cluster: NativeCluster) -> Iterator[AirflowClient]:
    """A client of the cluster's Airflow."""
    with cluster.client() as client:
        wanted = {item.dag_id for item in COURSE.written} | {*PROBES, LOAD}
        wait_until(
            lambda: wanted <= {dag["dag_id"] for dag in client.pages("/dags", "dags")}, 90, "all DAGs are loaded"
        )
        yield client


@pytest.fixture
def commands(cluster: NativeCluster, tmp_path: Path) -> Lab:
    """The command line of a checkout without a lab, with the cluster's credentials in the environment."""
    lab = Lab(tmp_path)
    lab.env |= {elsewhere.USER: "admin", elsewhere.PASSWORD: cluster.secrets["ADMIN_PASSWORD"]}
    # What a check needs beside: the folders that cluster/edit.yml mounts, and the upstream that it publishes.
    lab.env |= {
        place.FOLDER: str(cluster.home / "var"),
        place.UPSTREAM: f"http://127.0.0.1:{cluster.port(places.UPSTREAM)}",
        place.TOKEN: cluster.secrets["CONTROL_TOKEN"],
    }
    return lab


class Refused(NamedTuple):
    """A run that was given up: why, after how many seconds, and in which state the run is then."""

    error: NotRunningError
    seconds: float
    state: str


@pytest.fixture(scope="module")
def in_vain(cluster: NativeCluster, api: AirflowClient) -> Iterator[Future[Refused]]:
    """A lesson's run whose work is in a queue without a worker, beside all other tests."""
    assert api
    lesson = replace(COURSE.item("106.2.1"), id="nobody", file="work/cluster_nobody.py")

    def run() -> Refused:
        began = time.monotonic()
        with cluster.client() as client, pytest.raises(NotRunningError) as raised:
            runner.run(client, lesson, "pooled")
        with cluster.client() as client:
            (left,) = client.pages("/dags/cluster_nobody/dagRuns", "dag_runs")
        return Refused(raised.value, time.monotonic() - began, left["state"])

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


def _probe_is_over(api: AirflowClient, run_id: str) -> bool:
    return api.run("cluster_probe", run_id)["state"] in ("success", "failed")


def test_the_cluster_has_what_the_manifest_says(api: AirflowClient) -> None:
    """Pools and connections are there, no file is broken, and two schedulers live."""
    assert {pool.name for pool in COURSE.pools} <= {pool["name"] for pool in api.pages("/pools", "pools")}
    wanted = {"airflow_api", "upstream", "metrics", "celery_broker", "lab_postgres", "backpressure_db"}
    assert {one["connection_id"] for one in api.pages("/connections", "connections")} == wanted
    assert list(api.pages("/importErrors", "import_errors")) == []
    assert len(api.get("/jobs", is_alive=True, job_type="SchedulerJob")["jobs"]) == 2


def test_a_task_runs_where_its_queue_is_served(api: AirflowClient, in_vain: Future[Refused]) -> None:
    """Each queue's task says which worker's host it ran on: the one whose command names that queue."""
    assert in_vain
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


def test_a_pool_that_is_missing_is_named_with_what_makes_it(
    cluster: NativeCluster, api: AirflowClient, commands: Lab
) -> None:
    """Nothing is run before it is there; the command that is named, the service ``bootstrap``, makes it again."""
    pool = COURSE.pools[-1]
    api.delete(f"/pools/{pool.name}")
    told = commands("run", "106.4.4", "--url", cluster.url)
    assert told.returncode == WRONG_USAGE
    assert f"no pool {pool.name!r}" in told.stderr
    assert "docker compose run --rm bootstrap" in told.stderr
    cluster.start("bootstrap")
    assert api.get(f"/pools/{pool.name}")["slots"] == pool.slots


@pytest.fixture(scope="module")
def storm(cluster: NativeCluster, api: AirflowClient) -> tuple[Load, dict[str, float]]:
    """A run in whose middle a worker comes, another is killed, and the broker is restarted; and when what happened."""
    at: dict[str, float] = {}
    load = Load.start(cluster, api, "storm", tasks=64, seconds=2.0)
    wait_until(load.handed_over, 60, "all tasks are in the queue")
    wait_until(lambda: load.in_state("success") >= 6, 60, "the first worker has done some of them")
    at["launched"] = time.time()
    cluster.launch(LOADED, 2)
    wait_until(lambda: load.log().count(request_id=f"{LOADED}-2") >= 8, 180, "the second worker has done some, too")
    wait_until(lambda: load.calls_now(f"{LOADED}-1"), 30, "the first worker is in the middle of a task")
    at["killed"] = time.time()
    cluster.kill(LOADED, 1)
    at["gone"] = time.time()
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


def test_a_worker_that_is_added_helps_at_once(cluster: NativeCluster, storm: tuple[Load, dict[str, float]]) -> None:
    """Its start-up, by its own log, is all that it waits for: then it takes a task at once, and its part of all."""
    load, at = storm
    (ready,) = cluster.logged(LOADED, " ready. [celery.apps.worker]", number=2)
    taken = cluster.logged(LOADED, " received [celery.worker.strategy]", number=2)[0]
    assert at["launched"] < ready <= taken
    first = f"{LOADED}-1"
    meanwhile = load.log().count(request_id=first, since=ready, until=taken)
    words = cluster.command(LOADED)
    processes = int(words[words.index("--concurrency") + 1])
    assert meanwhile <= processes, f"{first} began {meanwhile} calls in the {taken - ready:.2f} s before that"
    since = load.log().select(since=ready, until=at["killed"])
    own = since.count(request_id=f"{LOADED}-2")
    assert own >= len(since) / 4, f"{own} of {len(since)} calls since it was ready are its own"


def test_the_brokers_absence_fails_nothing(api: AirflowClient, storm: tuple[Load, dict[str, float]]) -> None:
    """Tasks without retries that are to be handed over meanwhile are handed over when the broker is back."""
    assert storm
    wait_until(lambda: _probe_is_over(api, "storm"), 120, "the run that was started without a broker is over")
    assert _probe_states(api) == ["success"] * len(QUEUES)


def test_lessons_prove_themselves_on_the_cluster(cluster: NativeCluster, commands: Lab, api: AirflowClient) -> None:
    """Lessons on queues and of other sections, every scenario, with --url, on Celery's workers.

    Those that look into the workers' processes are named with that reason, and nothing else is left out.
    """
    assert api
    items = [COURSE.item(name) for name in (*ON_QUEUES, *OTHERS)]
    words = ["prove", *(item.id for item in items), "--url", cluster.url, "--jobs", AT_ONCE, "--json", "-"]
    # A machine that is busy with other work takes several times as long as a quiet one.
    done = commands(*words, timeout=1800)
    results = [(one["item"], one["scenario"], one["verdict"], one["reasons"]) for one in json.loads(done.stdout)]
    portable = [item for item in items if not item.local]
    wanted = [(item.id, scenario, "as expected", []) for item in portable for scenario in item.scenarios]
    assert sorted(results) == sorted(wanted)
    assert done.returncode == 0
    left_out = [line for line in done.stderr.splitlines() if "left out" in line]
    reasons = [f"{item.id:<18} left out: it needs {item.local}" for item in items if item.local]
    assert [line for line, reason in zip(left_out, reasons, strict=True) if reason not in line] == []


def test_an_exercise_is_checked_on_the_cluster(cluster: NativeCluster, commands: Lab, api: AirflowClient) -> None:
    """A solution passes and a wrong answer gets its own message, with --url; nothing of the checks is left there."""
    files = catalog.find(COURSE, EXERCISE)
    wrong = next(path for path in files.wrong if path.stem == "upside_down")

    def checked(path: Path) -> dict[str, Any]:
        done = commands("check", EXERCISE, "--file", str(path), "--url", cluster.url, "--json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found | {"code": done.returncode, "first": [message["code"] for message in found["messages"]][:1]}

    passed, failed = checked(files.solution), checked(wrong)
    assert (passed["status"], passed["tier"], passed["code"], passed["messages"]) == ("pass", "live", 0, [])
    assert (failed["tier"], failed["code"], failed["first"]) == ("live", NOT_AS_EXPECTED, [wrong.stem])
    assert list(api.pages("/dags", "dags", dag_id_pattern=f"{files.dag_id}__%")) == []
    assert [one["name"] for one in api.pages("/pools", "pools") if one["name"].startswith(files.dag_id)] == []


def test_a_queue_without_a_worker_ends_a_run(in_vain: Future[Refused]) -> None:
    """After two minutes, with the queue and the command that starts its worker; the run itself is ended, too."""
    refused = in_vain.result(timeout=180)
    assert f"No worker takes from queue {NOBODYS!r}" in str(refused.error)
    assert f"docker compose up --detach {worker_name(NOBODYS)}" in str(refused.error)
    assert (refused.error.code, refused.state) == (NOT_RUNNING, "failed")
    assert 120 <= refused.seconds < 200


def test_nothing_is_lost_and_nothing_runs_twice_at_once(storm: tuple[Load, dict[str, float]]) -> None:
    """After the loss of a worker and a restart of the broker every task succeeds; only what was cut off ran again."""
    load, at = storm
    wait_until(load.over, 240, "the run through the storm is over")
    assert load.states() == ["success"] * (load.tasks + 2)
    assert set(load.log().key.tolist()) == {str(number) for number in range(load.tasks)}
    assert load.most_at_once() == 1
    again = [log for log in load.log().by("key").values() if len(log) > 1]
    assert all(log.arrival.min() < at["gone"] for log in again), "before the last of the worker's processes was killed"
    assert len(again) <= load.tries() <= 2, "the killed worker ran two tasks at most"
    assert load.tries() >= 1


def test_the_loss_of_a_scheduler_stops_nothing(cluster: NativeCluster, api: AirflowClient) -> None:
    """One of two schedulers is killed in the middle of a run: the other brings every task to its end."""
    load = Load.start(cluster, api, "loss", tasks=16, seconds=0.5)
    wait_until(load.handed_over, 60, "all tasks are in the queue")
    # What a scheduler has marked as queued it sends a moment later, all of it by the time that two tasks are done.
    wait_until(lambda: load.in_state("success") >= 2, 60, "the worker has done some of them")
    cluster.kill("scheduler", 1)
    try:
        assert not load.over()
        wait_until(load.over, 180, "the run is over")
        assert load.states() == ["success"] * (load.tasks + 2)
        assert load.tries() == 0
        assert (len(load.log()), load.most_at_once()) == (load.tasks, 1)
    finally:
        cluster.start("scheduler", 1)
