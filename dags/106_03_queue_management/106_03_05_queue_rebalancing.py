"""# 106.3.5 Queue rebalancing

**Purpose.** Redistribute queue load: move slots to a busy pool, and let an idle Celery worker serve a busy queue.
**What to watch.** `calls` wait for a pool of two slots beside an idle pool: a controller moves a slot. `jobs` wait for
worker a beside the idle worker b: a person approves that b helps. In scenario `static` nobody looks, and b must not.
**Expected behaviour.** Balanced queue loads. What waits cannot change its pool or queue; what serves it can.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import depth, makespan, peak
from backpressure.measures.samples import reading
from backpressure.measures.workers import smallest_share, workers_at_work

BUSY, IDLE, SLOTS, BUSY_QUEUE, IDLE_QUEUE = "rebalancing_busy", "rebalancing_idle", 2, "high_priority", "high_memory"

with DAG(
    dag_id="106_03_05_queue_rebalancing",
    schedule=None,
    max_active_runs=1,
    max_active_tasks=64,  # a task that lies in the broker counts
    doc_md=__doc__,
    tags=["reference", "patterns", "advanced", "success"],
    params={"scenario": Param("rebalance", enum=["rebalance", "static"])},
):

    @task(weight_rule="absolute")
    def work(seconds: float) -> list[int]:
        """Take some time, and say of which processes this one descends."""
        time.sleep(seconds)
        return machine.ancestors()

    @task(**CONTROL)
    def prepare() -> dict[str, object]:
        """Make two pools of one size, of which only one is needed, and list the workers."""
        for pool in (BUSY, IDLE):
            Run.current().create_pool(pool, SLOTS)
        return Run.current().workers.described()

    # [move]
    @task(**CONTROL)
    def move_slots() -> dict[str, float]:
        """By itself: as soon as the busy pool is more than three times as deep, it gets a slot of the idle one."""
        if (run := Run.current()).scenario == "static":
            return {}
        run.wait_for(lambda: run.started("calls") >= SLOTS, seconds=60)
        run.wait_for(lambda: run.pool(BUSY).scheduled + 1 > 3 * (run.pool(IDLE).scheduled + 1), seconds=60)
        seen = time.time()
        run.resize_pool(IDLE, SLOTS - 1)
        run.resize_pool(BUSY, SLOTS + 1)
        return {"seen": seen, "moved": time.time(), "took": time.time() - seen}
        # [/move]

    @task(**CONTROL)
    def person() -> float:
        """By hand: when the busy queue is more than three times as deep, say whether the idle worker may help."""
        run, waiting = Run.current(), Run.current().workers.waiting
        run.wait_for(lambda: waiting(BUSY_QUEUE) + 1 > 3 * (waiting(IDLE_QUEUE) + 1), seconds=60)
        run.answer("approve", "Approve" if run.scenario == "rebalance" else "Reject", pool=IDLE)
        return time.time()

    @task(**CONTROL)
    def move_worker() -> float:
        """The idle queue's worker takes from the busy queue, too."""
        (idle,) = (run := Run.current()).workers.serving(IDLE_QUEUE)
        run.add_consumer(idle, BUSY_QUEUE)
        return time.time()

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what ran before and after the moves, and who ran it."""
        slots, asked, helped = run.result("move_slots") or {}, run.result("person"), run.result("move_worker")
        calls, jobs, approval = (run.tasks(name) for name in ("calls", "jobs", "approve"))
        done, workers = run.with_results("jobs"), run.result("prepare")
        moved, held = slots.get("moved"), partial(peak, calls, begin="queued", finish="end")
        yield finding(
            "Detect imbalanced queues",
            "both imbalances are seen; when the pools' is, more than two calls wait beside the pool that nobody needs",
            (reading(bool(slots) + bool(asked), "imbalances", "watch") == 2) & (depth(calls, at=slots.get("seen")) > 2),
        )
        yield finding(
            "Rebalancing strategies",
            "more calls have a slot, and more jobs run, at once after the move than before it",
            (held("calls after", window=(moved, None)) > held("calls before", window=(None, moved)))
            & (peak(jobs, "jobs after", window=(helped, None)) > peak(jobs, "jobs before", window=(None, helped))),
        )
        yield finding(
            "Worker redistribution",
            "both workers run jobs, each in processes of its own, although only one of them served the queue at first",
            workers_at_work(done, workers, "jobs") == 2,
        )
        yield finding(
            "Automatic vs manual",
            "the controller moves a slot in less time than a person takes to answer",
            (reading(bool(moved) + bool(helped), "moves", "controller") == 2)
            & (reading(slots.get("took"), "time to move a slot", "controller", unit="s") < makespan(approval)),
        )
        yield finding(
            "Monitoring effectiveness",
            "before the move one worker runs all jobs, after it each worker runs a good part of them",
            (smallest_share(done, workers, "jobs before", until=helped) == 0)
            & (smallest_share(done, workers, "jobs after", since=helped) >= 0.25),
        )

    calls = work.override(task_id="calls", pool=BUSY).expand(seconds=[1.5] * 12)
    jobs = work.override(task_id="jobs", executor="CeleryExecutor", queue=BUSY_QUEUE).expand(seconds=[2.0] * 24)
    approve = ApprovalOperator(task_id="approve", subject="Help a?", pool=IDLE, response_timeout=timedelta(minutes=2))
    (made := prepare()) >> [calls, jobs, move_slots(), person()] >> (judged := judge())
    made >> approve >> move_worker() >> judged
