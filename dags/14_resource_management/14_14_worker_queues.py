"""# 14.14 Worker queues

**Purpose.** Route tasks to workers: ordinary ones to one worker, those that need memory to another, and one to a queue
that nobody serves.

**What to watch.** `memory` is in a queue whose worker runs two tasks at once: the third waits, *queued*, though the
other worker idles. `ordinary` runs there meanwhile. `training` is in queue `gpu`, which no worker serves: it stays
*queued*, and nothing fails or warns, until a worker takes that queue, too.

**Expected behaviour.** A queue is a name that a task gives and a worker serves (`airflow celery worker -q NAME`). What
it bounds is the processes of the workers that serve it.

**Scenario `local`.** The same tasks under LocalExecutor, which knows no queues: it runs all of them at once itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.samples import reading, share
from backpressure.measures.workers import at_home

LESSON, GATE = "14_14_worker_queues", Upstream("worker_queues", timeout=120)
EXECUTORS = {"routed": {"executor": "CeleryExecutor"}, "local": {}}


@task
def work(number: int = 0) -> list[int]:
    """Wait at the gate if numbered, so that as many run at once as can; say of which processes this one descends."""
    if number:
        GATE.call()
    return machine.ancestors()


for name, executor in EXECUTORS.items():
    with DAG(dag_id=f"14_14_worker_queues__{name}", schedule=None, default_args=executor):
        # [queues]
        work.override(task_id="ordinary", queue="default")()
        work.override(task_id="memory", queue="high_memory").expand(number=[1, 2, 3])
        work.override(task_id="training", queue="gpu")()
        # [/queues]

with DAG(
    dag_id="14_14_worker_queues",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "queue", "success"],
    params={"scenario": Param("routed", enum=["routed", "local"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, Any]:
        """Leave a queue without a worker, let the tasks come, and serve it again when the others are over."""
        run = Run.current()
        helper, workers = f"{LESSON}__{run.scenario}", run.workers
        (worker,) = workers.serving("high_memory")
        processes = len(workers.processes(worker))
        run.cancel_consumer(worker, "gpu")
        with GATE.shut():
            run.trigger(helper, "work")
            run.wait_for(lambda: GATE.state()["waiting"] >= processes, seconds=90)
            with suppress(TimeoutError):  # time for one more, where nothing holds it back
                run.wait_for(lambda: GATE.state()["waiting"] > processes, seconds=6)
        others = ("ordinary", "memory")
        run.wait_for(lambda: len(run.helpers(helper, task_ids=others).select(state="success")) == 4, seconds=120)
        at = time.time()
        run.add_consumer(worker, "gpu")
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)
        return {"at": at, "workers": workers.described(), "processes": processes}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare where and when each task ran with what the workers serve."""
        helper, seen = f"{LESSON}__{run.scenario}", run.result("conduct")
        done = run.with_results("ordinary", "memory", "training", helper=helper)
        memory, training = (run.helpers(helper, task_ids=[name]) for name in ("memory", "training"))
        yield finding(
            "A task runs under a worker of its queue",
            "each task descends from a worker that serves the queue it names",
            at_home(done, seen["workers"], "tasks") == 1,
        )
        yield finding(
            "A worker's processes bound its queues",
            "as many tasks of a queue run at once as its worker has processes; one more waits, queued, for an end",
            (peak(memory) == reading(seen["processes"], "the worker's processes", "Celery's remote control"))
            & (share(memory.start >= memory.end.min(initial=float("inf")), "memory tasks that waited", of=memory) > 0),
        )
        yield finding(
            "A queue without a worker keeps its tasks",
            "the task is handed over, stays queued, and starts only when a worker has taken its queue",
            (share(training.queued < seen["at"], "training handed over before", of=training) == 1)
            & (share(training.start >= seen["at"], "training that waited for a worker", of=training) == 1),
        )

    conduct() >> judge()
