"""# 106.3.3 Queue draining strategies

**Purpose.** Drain a queue for maintenance: take its Celery worker out of service while load goes on, and put it back.

**What to watch.** Two jobs run, two more wait in the broker. The drain pauses the DAG, so that later runs wait, and the
worker takes nothing more from the queue. The short job ends by itself, the straggler is ended over REST at a deadline.
The worker is empty, and goes back to work. In scenario `no_gate` nothing is closed, and the worker is never empty.

**Expected behaviour.** Graceful queue draining: nothing but the straggler is cut off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import count, peak, starts
from backpressure.measures.monitoring import last, rises
from backpressure.measures.samples import share

QUEUE, PATIENCE = "high_memory", 18.0
JOBS = {"straggler": 40.0, "short": 12.0, "waiting-0": 1.0, "waiting-1": 1.0}
KEYS = ("closed", "deadline", "resumed", "gone", "samples")
HELPER = "106_03_03_queue_draining__job"

with DAG(dag_id="106_03_03_queue_draining__job", schedule=None):
    BashOperator(task_id="job", executor="CeleryExecutor", queue=QUEUE, bash_command="sleep {{ dag_run.conf.seconds }}")

with DAG(
    dag_id="106_03_03_queue_draining",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("drain", enum=["drain", "no_gate"])},
):

    @task(**CONTROL)
    def load() -> None:
        """Two jobs that run, and then two that wait in the broker."""
        run = Run.current()
        for label, seconds in JOBS.items():
            run.trigger(HELPER, label, seconds=seconds)
            if label == "short":
                run.wait_for(lambda: len(run.helpers(HELPER).select(state="running")) == 2, seconds=60)
        run.wait_for(lambda: run.workers.waiting(QUEUE) == 2, seconds=60)

    # [drain]
    @task(**CONTROL)
    def drain() -> dict[str, Any]:
        """Close the queue, wait for what runs, end what takes too long, and open the queue again."""
        run = Run.current()
        gate, (worker,) = run.scenario == "drain", run.workers.serving(QUEUE)
        run.wait_for(lambda: run.over("load"), seconds=150)
        if gate:
            run.pause(HELPER, paused=True)
            run.cancel_consumer(worker, QUEUE)
        closed = time.time()
        for number in (0, 1):  # load goes on
            run.api.trigger(HELPER, f"{run.run_id}__late-{number}", conf={"seconds": 1.0})
        samples = run.sample_worker(worker, PATIENCE)
        deadline, pid = time.time(), int(run.helpers(HELPER, label="straggler").pid[0])
        if gate and samples[-1]["active"]:
            run.api.set_task_state(HELPER, f"{run.run_id}__straggler", "job", "failed")
        samples += run.sample_worker(worker, 20 if gate else 1)
        resumed, gone = time.time(), not machine.ancestors(pid)
        if gate:
            run.add_consumer(worker, QUEUE)
            run.pause(HELPER, paused=False)
        run.wait_for(lambda: run.helper_runs_over(HELPER), seconds=120)
        return dict(zip(KEYS, (closed, deadline, resumed, gone, samples), strict=True))

    # [/drain]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what started and ended with the instants at which the queue was closed and opened."""
        closed, deadline, resumed, gone, samples = (run.result("drain")[key] for key in KEYS)
        late, names = run.runs(HELPER, "late"), ("", "short", "straggler", "waiting")
        jobs, short, straggler, waiting = (run.helpers(HELPER, label=label) for label in names)
        yield finding(
            "Stop new DAG runs",
            "runs triggered while the queue is closed start after it is open again, and no job starts meanwhile",
            (share(late.start >= resumed, "late runs that waited") == 1) & (starts(jobs, (closed, resumed)) == 0),
        )
        yield finding(
            "Let running tasks complete",
            "the short job ends well after the queue was closed, and none takes its place",
            (count(short.select(short.end > closed), "success", "short jobs") == 1)
            & (peak(jobs, window=(short.end.max(initial=closed), deadline)) == 1),
        )
        yield finding(
            "Monitor drain progress",
            "what Celery says runs on the worker never rises, and comes to nothing",
            (rises(samples, "active", "rises of active tasks", "Celery") == 0)
            & (last(samples, "active", "active tasks at last", "Celery") == 0),
        )
        yield finding(
            "Timeout handling",
            "the straggler is ended at the deadline, before its own end, and its process is gone",
            (count(straggler, "failed", "stragglers") == 1)
            & (share([gone], "stragglers whose process is gone", "process table") == 1),
        )
        yield finding(
            "Resume operations",
            "what waited in the broker starts after the queue is open again, and everything but the straggler succeeds",
            (share(waiting.start >= resumed, "jobs that waited in the broker") == 1)
            & (count(jobs, "success") == len(JOBS) + 2 - 1),
        )

    [load(), drain()] >> judge()
