"""# 106.3.1 Queue-based task routing

**Purpose.** Route tasks to specific queues: slow work to one Celery worker, short work to another, ordinary work to
both, and one task to a queue that nobody serves.

**What to watch.** `slow` fills worker b. `short` has worker a to itself and does not wait. `orphan` stays *queued*
until a worker serves its queue. `shared` is in a queue of both workers. `ignored` runs in LocalExecutor, which knows
no queues. In scenario `single` all work is in one queue: a worker idles, and short work waits behind slow work.

**Expected behaviour.** Effective queue utilization: each task runs under a worker of its queue, and delays no other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import duration, executor_wait
from backpressure.measures.samples import share
from backpressure.measures.workers import at_home, queues_used, smallest_share, unserved, workers_at_work


@task
def work(seconds: float) -> list[int]:
    """Take some time, and say of which processes this one descends."""
    time.sleep(seconds)
    return machine.ancestors()


@task(**CONTROL)
def slow_work_runs() -> None:
    """Wait until slow work has all the processes that it can get."""
    (run := Run.current()).wait_for(lambda: run.started("slow") >= 2, seconds=60)


# [route]
QUEUES = {"short": "high_priority", "slow": "high_memory", "shared": "default", "orphan": "gpu"}
ROUTES = {"routed": QUEUES, "single": dict.fromkeys(QUEUES, "high_memory")}

for scenario, queues in ROUTES.items():
    with DAG(dag_id=f"106_03_01_queue_routing__{scenario}", schedule=None):
        route = {kind: {"executor": "CeleryExecutor", "queue": queue} for kind, queue in queues.items()}
        slow = work.override(task_id="slow", **route["slow"]).expand(seconds=[8.0] * 4)
        short = work.override(task_id="short", **route["short"]).expand(seconds=[0.5] * 2)
        shared = work.override(task_id="shared", **route["shared"]).expand(seconds=[6.0] * 4)
        orphan = work.override(task_id="orphan", **route["orphan"])(0.5)
        slow_work_runs() >> short >> shared << slow
# [/route]

with DAG(
    dag_id="106_03_01_queue_routing",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("routed", enum=["routed", "single"])},
):

    @task(**CONTROL)
    def map_workers() -> None:
        """Add a queue that both workers serve, and leave one that none does; then let the work come."""
        run = Run.current()
        (of_slow,) = run.workers.serving(QUEUES["slow"])
        run.add_consumer(of_slow, QUEUES["shared"])
        run.cancel_consumer(of_slow, QUEUES["orphan"])
        run.trigger(f"{run.dag_id}__{run.scenario}", "work")

    @task(**CONTROL)
    def adopt() -> dict[str, object]:
        """Once short work is over, give the orphan's queue to its worker; in the end say who serves what."""
        run, helper = Run.current(), f"{Run.current().dag_id}__{Run.current().scenario}"
        run.wait_for(lambda: len(run.helpers(helper, task_ids=["short"]).select(state="success")) == 2, seconds=120)
        at = time.time()
        run.add_consumer(run.workers.serving(QUEUES["short"])[0], QUEUES["orphan"])
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)
        return {"at": at, "workers": run.workers.described()}

    ignored = work.override(task_id="ignored", queue=QUEUES["slow"])(0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare queues, processes and waits with the routes."""
        helper, adopted = f"{run.dag_id}__{run.scenario}", run.result("adopt")
        done, workers = run.with_results(*QUEUES, helper=helper), adopted["workers"]
        slow, short, orphan = (run.helpers(helper, task_ids=[kind]) for kind in ("slow", "short", "orphan"))
        yield finding(
            "Define multiple queues",
            "the work is in as many queues as it has kinds, and none of these is without a worker in the end",
            (queues_used(done, "the work") == len(QUEUES)) & (unserved(QUEUES.values(), workers) == 0),
        )
        yield finding(
            "Assign tasks to queues",
            "each task is in the queue of its kind; LocalExecutor runs a task of whatever queue itself",
            (share([r["queue"] == QUEUES[r["task_id"]] for r in done], "tasks in the queue of their kind") == 1)
            & (at_home(run.with_results("ignored"), workers, "LocalExecutor tasks") == 0),
        )
        yield finding(
            "Queue worker mapping",
            "every task ran under a worker that serves its queue, on both workers; the orphan waited for one",
            (at_home(done, workers, "tasks") == 1)
            & (workers_at_work(done, workers, "tasks") == len(workers))
            & (share(orphan.start >= adopted["at"], "orphans that waited for a worker") == 1),
        )
        yield finding(
            "Load balancing",
            "of the tasks in a queue that both workers serve, each takes a good part",
            smallest_share([r for r in done if r["task_id"] == "shared"], workers, "shared tasks") >= 0.25,
        )
        yield finding(
            "Queue isolation",
            "short work that comes while slow work fills its worker waits less than one piece of slow work takes",
            executor_wait(short, "max") < duration(slow, "median"),
        )

    map_workers() >> adopt() >> judge() << ignored
