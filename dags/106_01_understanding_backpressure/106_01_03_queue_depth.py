"""# 106.1.3 Measuring queue depth

**Purpose.** Monitor queue metrics: a meter counts what waits, three times a second, while work comes in waves; then its
figures are held against the timestamps of the tasks.

**What to watch.** Five waves of seven tasks: four for a pool of two slots, one for a pool of four, two for Celery with
two processes. What waits for a pool is *scheduled*; what waits for a worker is *queued*. A meter that is
right counts both: its rise is arrivals less starts, and its mean is throughput times wait (Little's law).

**Expected behaviour.** Queue metrics visibility. Scenario `queued_only` has the same work and a meter that counts what
is *queued*, as many dashboards do: it sees the executor's queue and is blind to the pool's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import depth, start_rate, wait
from backpressure.measures.queues import flow, metered_depth, metered_rise, spent, tracks

HELPER = "106_01_03_queue_depth__wave"
NARROW, WIDE = {"name": "queue_depth_narrow", "slots": 2}, {"name": "queue_depth_wide", "slots": 4}
WAVES, EVERY = 5, 1.5
# [meter]
COUNTED = {"full": ("scheduled", "queued"), "queued_only": ("queued",)}
# [/meter]


@task
def work(seconds: float) -> None:
    """Take some time."""
    time.sleep(seconds)


with DAG(dag_id=HELPER, schedule=None):
    work.override(task_id="narrow", pool=NARROW["name"]).expand(seconds=[1.5] * 4)
    work.override(task_id="wide", pool=WIDE["name"])(1.5)
    work.override(task_id="celery", executor="CeleryExecutor", queue="default").expand(seconds=[2.5] * 2)

with DAG(
    dag_id="106_01_03_queue_depth",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("full", enum=["full", "queued_only"])},
):

    @task(**CONTROL)
    def meter() -> list[dict[str, Any]]:
        """Let the waves come; count what waits, in all, by executor and by pool, until the work is done."""
        run = Run.current()
        for pool in (NARROW, WIDE):
            run.create_pool(**pool)
        run.trigger_spaced(HELPER, "wave", WAVES, EVERY, delay=3.0)
        # [count]
        counted = COUNTED[run.scenario]

        def read() -> dict[str, Any]:
            since = time.time()
            listed = run.api.task_instances(HELPER, "~", state=list(counted))
            waiting = [one for one in listed if one["dag_run_id"].startswith(run.run_id)]
            celery = sum(one["executor"] == "CeleryExecutor" for one in waiting)
            at, pool = time.time(), run.pool(NARROW["name"])
            slots = sum(getattr(pool, state) for state in counted)
            counts = {"waiting": len(waiting), "celery": celery, "local": len(waiting) - celery}
            return {**counts, "since": since, "at": at, "pool": {"slots": slots, "since": at, "at": time.time()}}

        # [/count]
        return run.sample(read, lambda: run.helper_runs_over(HELPER), seconds=120, every=0.3)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Hold the meter's readings against the tasks' own timestamps."""
        readings = run.result("meter")
        work = run.helpers(HELPER)
        celery, local = work.select(executor="CeleryExecutor"), work.select(task_id=("narrow", "wide"))
        narrow, wide = (work.select(pool=pool["name"]) for pool in (NARROW, WIDE))
        yield finding(
            "Queued task count",
            "the meter counts what the timestamps say: scheduled and queued, all pools, all executors",
            tracks(readings, "waiting", work.depth_curve(), least=3) >= 0.8,
        )
        rising = [one for one in readings if one["at"] <= local.scheduled.max(initial=0.0) + 2 * EVERY]
        growth = flow(local, (rising[0]["at"], rising[-1]["at"]) if rising else (0.0, 0.0), "the local tasks")
        yield finding(
            "Queue growth rate",
            "from before the first wave until after the last, the meter rises by what arrives less what is started",
            metered_rise(rising, "local", "the local queue").near(growth, 0.5) & (growth > 0),
        )
        throughput = start_rate(work, (readings[0]["at"], readings[-1]["at"]), "all tasks")
        yield finding(
            "Time in queue",
            "mean depth is throughput times mean wait: who knows two of the three knows the third (Little's law)",
            metered_depth(readings, "waiting", "all queues").near(throughput * wait(work, "mean", "all tasks"), 0.2),
        )
        pool = [one["pool"] for one in readings]
        yield finding(
            "Queue by pool",
            "what the narrow pool tells of itself is what waits for it; the wide pool beside it has no such queue",
            (tracks(pool, "slots", narrow.depth_curve(), least=3) >= 0.8)
            & (depth(narrow, "the narrow pool") >= 2 + depth(wide, "the wide pool")),
        )
        yield finding(
            "Queue by executor",
            "the meter is right for each executor; local tasks wait for their pool, scheduled, more than Celery's do",
            (tracks(readings, "local", local.depth_curve(), least=3) >= 0.8)
            & (tracks(readings, "celery", celery.depth_curve(), least=1) >= 0.8)
            & (spent(local, "scheduled", "local tasks") > spent(celery, "scheduled", "Celery tasks")),
        )

    meter() >> judge()
