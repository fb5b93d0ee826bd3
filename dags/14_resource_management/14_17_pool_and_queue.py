"""# 14.17 Pattern 3: pool and queue

**Purpose.** Bound the same work twice: by a pool, for the database behind it, and by a queue, for the memory of the
worker that runs it.

**What to watch.** Each task takes two of the pool's six slots, so three are handed over. Their queue's worker has two
processes: two run, and the third waits, *queued*. It holds two slots all that time and does nothing with them, while
the fourth stays *scheduled*, for the pool is full.

**Expected behaviour.** Both limits hold, the smaller one decides, and what it holds back keeps the slots of the other.

**Scenario `pool_only`.** The same tasks under LocalExecutor: the queue's name means nothing, and three run at once.
"""

from __future__ import annotations

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
from backpressure.measures.samples import reading
from backpressure.measures.workers import at_home

LESSON, POOL, SLOTS = "14_17_pool_and_queue", "pool_and_queue", 6
GATE, TASKS = Upstream("pool_and_queue", timeout=120), 4
EXECUTORS = {"both": {"executor": "CeleryExecutor"}, "pool_only": {}}


@task
def work(number: int) -> list[int]:
    """Wait at the gate, so that as many run at once as can; say of which processes this one descends."""
    GATE.call()
    return machine.ancestors()


for name, executor in EXECUTORS.items():
    with DAG(dag_id=f"14_17_pool_and_queue__{name}", schedule=None, default_args=executor):
        # [both]
        complex_etl = work.override(
            task_id="complex_etl",
            pool=POOL,
            pool_slots=2,
            queue="high_memory",
            priority_weight=50,
            weight_rule="absolute",
        )
        # [/both]
        complex_etl.expand(number=list(range(TASKS)))

with DAG(
    dag_id="14_17_pool_and_queue",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "queue", "pattern", "success"],
    params={"scenario": Param("both", enum=["both", "pool_only"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, Any]:
        """Make the pool, let the tasks come, and open the gate when the worker is full."""
        run, helper = Run.current(), f"{LESSON}__{Run.current().scenario}"
        slots = run.create_pool(POOL, SLOTS).slots
        (worker,) = run.workers.serving("high_memory")
        processes = len(run.workers.processes(worker))
        with GATE.shut():
            run.trigger(helper, "work")
            run.wait_for(lambda: GATE.state()["waiting"] >= processes, seconds=90)
            with suppress(TimeoutError):  # time for one more, where nothing holds it back
                run.wait_for(lambda: GATE.state()["waiting"] > processes, seconds=6)
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=180, every=0.5)
        return {"slots": slots, "processes": processes, "workers": run.workers.described()}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what held slots, and what ran, with the pool and with the worker."""
        helper, seen = f"{LESSON}__{run.scenario}", run.result("conduct")
        work = run.helpers(helper)
        processes = reading(seen["processes"], "the worker's processes", "Celery's remote control")
        yield finding(
            "The pool bounds what is handed over, the worker what runs",
            "the tasks fill the pool's slots, and as many of them run at once as the worker has processes",
            (peak(work, slots=True, begin="queued") == reading(seen["slots"], "slots of the pool", "pools over REST"))
            & (peak(work) == processes),
        )
        yield finding(
            "The tasks run where their queue is served",
            "each task descends from a worker that serves the queue",
            at_home(run.with_results("complex_etl", helper=helper), seen["workers"], "tasks") == 1,
        )
        first_end = work.end.min(initial=float("inf"))
        handed = work.select((work.queued < first_end) & (work.start >= first_end))
        idle = int(handed.pool_slots.sum()) if len(work) else None
        yield finding(
            "What waits for a worker holds its slots",
            "a task was handed over, and so held slots, before any had ended, and started only after one had",
            reading(idle, "slots held by tasks that waited for a process", "task instances", unit="slots") >= 2,
        )

    conduct() >> judge()
