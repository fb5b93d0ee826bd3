"""# 106.2.5 Deferrable operators for efficiency

**Purpose.** Free resources with deferrables: four polls, each of a job that takes ten seconds, in a pool of two slots.

**What to watch.** A poll starts its job, is *deferred*, and gives its slot to the next: soon all of them wait in the
triggerer, which is one process, and none in a worker. When its job is done, a poll becomes *scheduled* again and needs
a slot once more to take up the result. Two polls in a pool that includes deferred tasks keep their slots all the time;
two more, `reference`, wait in a worker and say what a poll costs that way.

**Expected behaviour.** Better resource utilization: the pool's slots are held for the work and not for the wait. Each
poll pays for it with a second start of a process, so short waits are not worth it.

**Scenario `sync`.** The same operator, with `deferrable=False`: two polls wait in workers, and two wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.jobs import JobOperator
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import duration, starts
from backpressure.measures.samples import fall, integral, most, reading, share

POOL, KEEPING_POOL = "deferrable_polls", "deferrable_keeping"
POLLS, FEW, SLOTS = 4, 2, 2
JOB = {"lane": "deferrable_efficiency", "name": "report", "seconds": 10.0}
# A task that is resumed before the scheduler has heard that its first process ended is taken for one that died.
AGAIN = {"retries": 1, "retry_delay": timedelta(0)}

with DAG(
    dag_id="106_02_05_deferrable_efficiency",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("deferrable", enum=["deferrable", "sync"])},
    default_args={"execution_timeout": timedelta(minutes=2)},
):

    @task(**CONTROL)
    def plan(polls: int) -> list[dict[str, bool]]:
        """How each poll waits; told once somebody watches, so that nothing of it is missed."""
        run = Run.current()
        run.wait_for(lambda: run.started("watch_pool", "watch_keeping") == 2, seconds=60)
        return [{"deferrable": run.scenario == "deferrable"}] * polls

    @task(**CONTROL)
    def make_pools() -> None:
        """Make two pools of one size; only the second counts deferred tasks."""
        run = Run.current()
        run.create_pool(POOL, SLOTS)
        run.create_pool(KEEPING_POOL, FEW, include_deferred=True)

    @task(**CONTROL)
    def watch(pool: str) -> list[dict[str, float]]:
        """Read the pool four times a second until all polls are over."""
        run = Run.current()
        return run.sample_pool(pool, until=lambda: run.over("polls", "keeping"), seconds=120, every=0.25)

    @task(**CONTROL)
    def gather(polls: Any, reference: Any) -> dict[str, list[dict[str, Any]]]:
        """What the polls returned."""
        return {"polls": list(polls), "reference": list(reference)}

    # [polls]
    polls = JobOperator.partial(task_id="polls", pool=POOL, **JOB, **AGAIN).expand_kwargs(plan(POLLS))
    keeping = JobOperator.partial(task_id="keeping", pool=KEEPING_POOL, **JOB, **AGAIN).expand_kwargs(plan(FEW))
    reference = JobOperator.partial(task_id="reference", **JOB).expand(deferrable=[False] * FEW)
    # [/polls]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what slots, workers and the triggerer bore with what waiting in workers takes."""
        samples, keeping, returned = run.result("watch_pool"), run.result("watch_keeping"), run.result("gather")
        work = run.tasks("polls")
        yield finding(
            "Use deferrable operators",
            "more polls wait at once, deferred, than the pool has slots; and no more than these run",
            (most(samples, "deferred", "deferred at once") > SLOTS) & (most(samples, "running", "running") <= SLOTS),
        )
        yield finding(
            "Reduce worker slot usage",
            "a poll holds a slot for less than four fifths of the time that it takes to wait in a worker",
            integral(samples, "running", "slot-seconds of the polls", over=work) / POLLS
            < 0.8 * duration(run.tasks("reference"), "min", "reference"),
        )
        first_end = work.end[work.end > 0].min(initial=math.inf)
        still = [sample for sample in keeping if sample["occupied"] == sample["deferred"]]
        yield finding(
            "Long-wait task patterns",
            "before the first is done more are under way than have slots; a pool that includes deferred ones keeps its",
            (starts(work, (None, first_end), "polls before the first is done") > SLOTS)
            & (most(still, "deferred", "slots kept by deferred polls") == FEW),
        )
        gauges = Metrics().matching("triggerer.capacity_left*", samples[0]["at"], samples[-1]["at"])
        yield finding(
            "Triggerer capacity",
            "the triggerer's capacity falls by more than the pool's slots, and by no more than one for each poll",
            fall(gauges, "fall of capacity_left").between(SLOTS + 1, POLLS + FEW),
        )
        result, held = returned["reference"][0]["result"], min(one["held"] for one in returned["reference"])
        longest = max((one["held"] for one in returned["polls"]), default=None)
        yield finding(
            "Migration to deferrables",
            "one flag of one operator: the same results as in workers, and less than half of the time there",
            (share((one["result"] == result for one in returned["polls"]), "same results") == 1)
            & (reading(longest, "longest time that a poll held a worker", "the polls' clock", unit="s") < held / 2),
        )

    watched = [watch.override(task_id="watch_pool")(POOL), watch.override(task_id="watch_keeping")(KEEPING_POOL)]
    make_pools() >> [polls, keeping, reference, *watched]
    [gather(polls.output, reference.output), keeping, *watched] >> judge()
