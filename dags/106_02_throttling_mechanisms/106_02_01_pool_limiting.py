"""# 106.2.1 Pool-based task limiting

**Purpose.** Use pools to limit concurrency: 18 calls of two seconds, of which a pool lets three run at once, until a
controller makes the pool larger in the middle of the run.

**What to watch.** `early` names a pool that does not exist yet: it stays *scheduled* while its neighbour without a pool
starts at once. Then the calls fill the new pool, while unpooled `controls` run beside them unhindered. After six calls
the pool gets three more slots, and the rest go faster.

**Expected behaviour.** Controlled task concurrency. In scenario `default_pool` nothing limits the calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak, start_rate
from backpressure.measures.samples import agreement, reading, share

POOL = "pool_limiting"
SLOTS, MORE_SLOTS, CALLS, SECONDS = 3, 6, 18, 2.0

with DAG(
    dag_id="106_02_01_pool_limiting",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("pooled", enum=["pooled", "default_pool"])},
):

    @task(weight_rule="absolute")
    def call(number: int, seconds: float = SECONDS) -> None:
        """One slow call of something that bears only a few; the controls' last, however slowly they start."""
        time.sleep(seconds)

    @task(**CONTROL)
    def plan(scenario: str, calls: int) -> list[int]:
        """The calls of one scenario; none in the others."""
        return list(range(calls)) if Run.current().scenario == scenario else []

    @task(**CONTROL)
    def make_pool() -> dict[str, float]:
        """Create the pool, once a task that names it has been passed over in favour of its neighbour."""
        run = Run.current()
        if run.scenario == "default_pool":
            return {"slots": 0, "at": time.time()}
        run.wait_for(lambda: run.started("neighbour"), seconds=60)
        return {"at": time.time(), "slots": run.create_pool(POOL, SLOTS).slots}

    @task(**CONTROL)
    def watch_pool() -> list[dict[str, float]]:
        """Read the pool twice a second until the calls are over."""
        return (run := Run.current()).sample_pool(POOL, lambda: run.over("in_pool", "in_default_pool"), seconds=60)

    @task(**CONTROL)
    def enlarge_pool() -> dict[str, float]:
        """Give the pool more slots once six calls are done."""
        run = Run.current()
        run.wait_for(lambda: run.ended("in_pool", "in_default_pool") >= 6, seconds=60)
        return {"at": time.time(), "slots": run.resize_pool(POOL, MORE_SLOTS).slots if run.scenario == "pooled" else 0}

    early_plan = plan.override(task_id="plan_early")("pooled", 1)
    pooled_plan = plan.override(task_id="plan_pooled")("pooled", CALLS)
    free_plan = plan.override(task_id="plan_free")("default_pool", CALLS)
    # [pool]
    early = call.override(task_id="early", pool=POOL).expand(number=early_plan)
    in_pool = call.override(task_id="in_pool", pool=POOL).expand(number=pooled_plan)
    in_default_pool = call.override(task_id="in_default_pool").expand(number=free_plan)
    # [/pool]
    neighbour = call.override(task_id="neighbour")(0)
    controls = call.override(task_id="controls").partial(seconds=3 * SECONDS).expand(number=list(range(SLOTS + 2)))
    made = make_pool()

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the calls' own timestamps, and the pool's samples, with the slots."""
        made, enlarged, samples = (run.result(task_id) for task_id in ("make_pool", "enlarge_pool", "watch_pool"))
        work = run.tasks("in_pool", "in_default_pool").select(state="success")
        early, neighbour = run.tasks("early").select(state="success"), run.tasks("neighbour")
        small, large = (made["at"], enlarged["at"]), (enlarged["at"], None)
        slots = reading(made["slots"], "slots read back", "pools over REST")
        yield finding(
            "Create resource pools",
            "the pool is made over REST; a task that named it before waits for it, unlike its neighbour without a pool",
            (slots == SLOTS)
            & (share(early.queued >= made["at"], "early tasks that waited for the pool", of=early) == 1)
            & (share(neighbour.queued >= made["at"], "neighbours that waited for it", of=neighbour) == 0),
        )
        full = (slots == SLOTS) & (peak(work, slots=True, window=small) == SLOTS)
        yield finding("Set pool slot limits", "the calls fill the pool and never take a slot more", full)
        yield finding(
            "Assign tasks to pools",
            "every call is in the pool; controls outside it go past the pool's limit at the same time",
            (share(work.pool.isin(POOL), "calls in the pool", of=work) == 1) & (peak(run.tasks("controls")) > SLOTS),
        )
        in_use = work.concurrency("queued", "end", slots=True)
        taken = in_use.mean(float(in_use.times[0]), enlarged["at"]) / SLOTS if len(in_use) else None
        spans = ((SLOTS, small), (MORE_SLOTS, large))
        slower, faster = (start_rate(work, span, f"calls with {slots} slots") for slots, span in spans)
        yield finding(
            "Monitor pool utilization",
            "what the pool says of its slots is what the timestamps say, and more than half of them are taken",
            (agreement(samples, "occupied", in_use) >= 0.8) & (reading(taken, "slots taken", "task instances") > 0.5),
        )
        yield finding(
            "Dynamic pool sizing",
            "the pool is enlarged in the middle of the run, is filled again, and starts more calls a second",
            (reading(enlarged["slots"], "slots read back", "pools over REST") == MORE_SLOTS)
            & peak(work, slots=True, window=large).between(SLOTS + 1, MORE_SLOTS)
            & (faster > slower),
        )

    early_plan >> neighbour
    made >> [in_pool, in_default_pool, controls, watch_pool(), enlarge_pool()] >> judge() << [early, neighbour]
