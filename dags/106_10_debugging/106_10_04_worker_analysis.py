"""# 106.10.4 Worker performance analysis

**Purpose.** Analyze worker behavior: which worker is busy, which tasks are slow, what they take, and why.

**What to watch.** Eight jobs go to worker a, and none to worker b. Two of them, drawn at random, are not like the
others: the upstream keeps one waiting, and one has a hundred times as many rows. Task instances, Celery, the process
table and the tasks' logs each tell a part of it, and none of them knows what was drawn.

**Expected behaviour.** Worker issues found. In scenario `uniform` all jobs are alike, and each worker gets four.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.inspection import name
from backpressure.measures import duration
from backpressure.measures.suspects import explained, named, outliers, own, spread_of
from backpressure.measures.workers import processes_used, smallest_share
from backpressure.phases import phase, phases

LESSON = "106_10_04_worker_analysis"
JOBS, ROWS, MANY, STALLED = 8, 3, 300, 7.0  # jobs, rows of a job, rows of the large one, s that one is kept waiting
QUEUES = {"skewed": ["default"], "uniform": ["default", "high_memory"]}


# [job]
@task
def job(number: int) -> dict[str, Any]:
    """Fetch rows, work on them, and say in the log how long each took; return what this process took."""
    conf, begun = get_current_context()["dag_run"].conf, time.monotonic()
    with phase("fetch", job=number):
        Upstream(conf["lane"], timeout=60).call(key=f"job-{number}")
    before, rows = time.process_time(), conf["rows"][number]
    with phase("compute", job=number, rows=rows):
        kept = [hashlib.pbkdf2_hmac("sha256", b"row", bytes(16), 40_000) * 8_000 for _ in range(rows)]
    used = {"number": number, "cpu": time.process_time() - before, "memory": machine.private_bytes(), "kept": len(kept)}
    return used | {"seconds": time.monotonic() - begun, "ancestors": machine.ancestors()}
    # [/job]


for scenario, queues in QUEUES.items():
    with DAG(dag_id=f"{LESSON}__{scenario}", schedule=None):
        for first, queue in enumerate(queues):
            on_queue = job.override(task_id=f"on_{queue}", executor="CeleryExecutor", queue=queue)
            on_queue.expand(number=[*range(first, JOBS, len(queues))])

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "debugging", "intermediate", "success"],
    params={"scenario": Param("skewed", enum=["skewed", "uniform"])},
):

    @task(**CONTROL)
    def draw() -> list[int]:
        """Draw the two jobs, tell nobody which they are, and let all of them come."""
        run, rows, drawn = Run.current(), [ROWS] * JOBS, random.sample(range(JOBS), 2)
        (waits, large), lane = drawn, Upstream(run.run_id)
        lane.configure(service_time=0.5)
        if run.scenario == "skewed":
            lane.configure(hang_first=1, hang_seconds=STALLED, hang_then="answer", fault_keys=[f"job-{waits}"])
            rows[large] = MANY
        run.trigger(f"{LESSON}__{run.scenario}", "jobs", lane=run.run_id, rows=rows)
        return drawn

    @task(**CONTROL)
    def watch_workers() -> dict[str, Any]:
        """Ask Celery what its workers do, as long as there is work."""
        run, helper = Run.current(), f"{LESSON}__{Run.current().scenario}"

        def ask() -> dict[str, float]:
            return {one: worker.active for one, worker in run.workers.status().items()} | {"at": time.time()}

        samples = run.sample(ask, lambda: run.helper_runs_over(helper), seconds=120)
        return {"workers": run.workers.described(), "samples": samples}

    # [judge]
    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Find out what is wrong from what was recorded, and only then compare it with what was drawn."""
        helper, seen, drawn = f"{LESSON}__{run.scenario}", run.result("watch_workers"), run.result("draw")
        jobs, tasks = run.helpers(helper), [f"on_{queue}" for queue in QUEUES[run.scenario]]
        done = run.with_results(*tasks, helper=helper)
        under = [record | {"result": record["result"]["ancestors"]} for record in done]
        busy = processes_used(seen["samples"], seen["workers"]) >= 0.6
        busy &= smallest_share(under, seen["workers"], "jobs") == 0
        yield finding("Worker utilization", "one worker's processes are in use, and the other ran nothing", busy)
        long = duration(jobs, "max", "the jobs") > 2.5 * duration(jobs, label="the jobs")
        long &= spread_of(done, "seconds", "longest by median, by the jobs' own clocks", "jobs") > 2.5
        yield finding("Task duration analysis", "the longest job takes a multiple of the median, by two clocks", long)
        waits, large = (next((name(one) for one in done if one["result"]["number"] == number), "") for number in drawn)
        hungry = named(done, "cpu", "who takes much processor time", "process table") == (large,)
        hungry &= spread_of(done, "cpu", "most processor time by median", "process table") > 10
        hungry &= spread_of(done, "memory", "most private memory by median", "process table") > 1.5
        yield finding("Resource consumption", "one takes ten times the processor time: the large one", hungry)
        slow = named(done, "seconds", "slow jobs", "jobs") == tuple(sorted([waits, large]))
        yield finding("Slow task identification", "the jobs that are far from the median are those drawn", slow)
        logs = {name(record): phases(run.api.task_log(record)) for record in done}
        reasons = explained(logs, outliers(own(done, "seconds"))) == tuple(
            sorted([f"{waits}: fetch", f"{large}: compute"])
        )
        yield finding(
            "Worker logs", "their logs say where the time went: one was kept waiting, one had much to do", reasons
        )
        # [/judge]

    draw() >> watch_workers() >> judge()
