"""# 106.2.1 Pool-based task limiting

**Purpose.** Use pools to limit concurrency: 18 calls of two seconds, of which a pool lets three run at once, until a
controller makes the pool larger in the middle of the run.

**What to watch.** `early` names a pool that does not exist yet: it stays *scheduled* while its neighbour without a pool
starts at once. Then the pool is made and the calls fill it to the last slot, while unpooled `controls` run beside them
unhindered. After six calls the pool gets three more slots, and the rest go faster.

**Expected behaviour.** Controlled task concurrency: never more than the pool's slots, and hardly ever less.

**Scenario `default_pool`.** The same calls without a pool of their own: nothing limits them but the executor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import DAG, Param, task

from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak, start_rate, utilisation
from backpressure.measures.samples import agreement, during, reading, share

POOL = "pool_limiting"
SLOTS, MORE_SLOTS = 3, 6
CALLS, SECONDS = 18, 2.0

with DAG(
    dag_id="106_02_01_pool_limiting",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=64,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("pooled", enum=["pooled", "default_pool"])},
    default_args={"execution_timeout": timedelta(minutes=2)},
):

    @task(weight_rule="absolute")
    def call(number: int) -> None:
        """One slow call of something that bears only a few at once."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def plan(scenario: str, calls: int) -> list[int]:
        """The calls of one scenario; none in the others."""
        return list(range(calls)) if Run.current().scenario == scenario else []

    @task(**CONTROL)
    def make_pool() -> dict[str, float]:
        """Create the pool, but only after a task that names it has been passed over in favour of its neighbour."""
        run = Run.current()
        if run.scenario == "default_pool":
            return {"slots": 0, "at": time.time()}
        run.wait_for(lambda: run.started("neighbour"), seconds=60)
        made = run.create_pool(POOL, SLOTS)
        return {"slots": made.slots, "at": time.time()}

    @task(**CONTROL)
    def watch_pool() -> list[dict[str, float]]:
        """Read the pool twice a second until the calls are over."""
        run = Run.current()
        return run.sample_pool(POOL, until=lambda: run.over("in_pool", "in_default_pool"), seconds=60)

    @task(**CONTROL)
    def enlarge_pool() -> dict[str, float]:
        """Give the pool more slots once six calls are done."""
        run = Run.current()
        run.wait_for(lambda: run.ended("in_pool", "in_default_pool") >= 6, seconds=60)
        at = time.time()
        slots = run.resize_pool(POOL, MORE_SLOTS).slots if run.scenario == "pooled" else 0
        return {"slots": slots, "at": at}

    early_plan = plan.override(task_id="plan_early")("pooled", 1)
    # [pool]
    early = call.override(task_id="early", pool=POOL).expand(number=early_plan)
    in_pool = call.override(task_id="in_pool", pool=POOL).expand(
        number=plan.override(task_id="plan_pooled")("pooled", CALLS)
    )
    # [/pool]
    in_default_pool = call.override(task_id="in_default_pool").expand(
        number=plan.override(task_id="plan_free")("default_pool", CALLS)
    )
    neighbour = call.override(task_id="neighbour")(0)
    controls = call.override(task_id="controls").expand(number=list(range(SLOTS + 2)))
    made = make_pool()

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the calls' own timestamps, and the pool's samples, with the slots."""
        made, enlarged, samples = run.result("make_pool"), run.result("enlarge_pool"), run.result("watch_pool")
        work, early, neighbour = run.tasks("in_pool", "in_default_pool"), run.tasks("early"), run.tasks("neighbour")
        small = (made["at"], enlarged["at"])
        large = (enlarged["at"], float(work.end.max()))
        yield finding(
            "Create resource pools",
            "the pool is made over REST; a task that named it before waits for it, unlike its neighbour without a pool",
            (reading(made["slots"], "slots read back", "pools over REST") == SLOTS)
            & (share(early.queued >= made["at"], "early tasks that waited for the pool") == 1)
            & (share(neighbour.queued >= made["at"], "neighbours that waited for the pool") == 0),
        )
        yield finding(
            "Set pool slot limits",
            "the calls fill the pool's slots, and never take one more",
            peak(during(work, *small), slots=True) == SLOTS,
        )
        yield finding(
            "Assign tasks to pools",
            "every call is in the pool; controls outside it go past the pool's limit at the same time",
            (share(work.pool.isin(POOL), "calls in the pool") == 1) & (peak(run.tasks("controls")) > SLOTS),
        )
        in_use = work.concurrency("queued", "end", slots=True)
        yield finding(
            "Monitor pool utilization",
            "what the pool says of its slots is what the timestamps say, and the slots are well used",
            (agreement(samples, "occupied", in_use, tolerance=1, name="samples that agree", source="pool samples") >= 0.8)
            & (utilisation(work, SLOTS, small) >= 0.6),
        )
        slower, faster = (work.select((work.start >= since) & (work.start < until)) for since, until in (small, large))
        yield finding(
            "Dynamic pool sizing",
            "the pool is enlarged in the middle of the run, is filled again, and starts more calls a second",
            (reading(enlarged["slots"], "slots read back", "pools over REST") == MORE_SLOTS)
            & peak(during(work, *large), slots=True).between(SLOTS + 1, MORE_SLOTS)
            & (start_rate(faster, label="calls after") > start_rate(slower, label="calls before")),
        )

    # The first call and its neighbour start together; everything else waits for the pool.
    early_plan >> neighbour
    made >> [in_pool, in_default_pool, controls, watch_pool(), enlarge_pool()] >> judge() << [early, neighbour]
