"""# 14.16 Pattern 2: pools by tier

**Purpose.** Keep slots for what must run, by a pool for each tier: three for production, two for standard work, one for
batch.

**What to watch.** A backfill comes first and takes all that it can get: the one slot of its pool. Production, which
comes later, has its three slots at once. The price is in the picture, too: while the backfill waits for its one slot,
the others stand idle, for slots of a pool cannot be lent.

**Expected behaviour.** A tier has its slots whatever the others do. That is a guarantee; priority is a preference.

**Scenario `one_pool`.** One pool of six slots and the same weights: no slot is idle while work waits, and production
waits until a backfill has ended, however much it weighs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.samples import reading, share

LESSON, GATE = "14_16_pools_by_tier", Upstream("pools_by_tier", timeout=120)
SECONDS = 1.0
# [pools]
POOLS = {"tier1_critical": 3, "tier2_standard": 2, "tier3_batch": 1}
TIERS = {
    "production": {"pool": "tier1_critical", "priority_weight": 100},
    "standard": {"pool": "tier2_standard", "priority_weight": 50},
    "backfill": {"pool": "tier3_batch", "priority_weight": 10},
}
# [/pools]
ALL_TIERS, TOTAL = "tiers_together", sum(POOLS.values())
COUNTS = {"production": 3, "standard": 2, "backfill": 6}


@task(weight_rule="absolute")
def work(number: int) -> None:
    """Some work, once the gate is open: until then a slot is kept, however soon the others get theirs."""
    GATE.call()
    time.sleep(SECONDS)


for kind, settings in TIERS.items():
    with DAG(dag_id=f"14_16_pools_by_tier__{kind}_tiered", schedule=None):
        work.override(task_id=kind, **settings).expand(number=list(range(COUNTS[kind])))
    with DAG(dag_id=f"14_16_pools_by_tier__{kind}_one_pool", schedule=None):
        work.override(task_id=kind, **settings | {"pool": ALL_TIERS}).expand(number=list(range(COUNTS[kind])))

with DAG(
    dag_id="14_16_pools_by_tier",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "pattern", "success"],
    params={"scenario": Param("tiered", enum=["tiered", "one_pool"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Let the backfill come and take what it can get, and then the others; open the gate when all have come."""
        run = Run.current()
        for pool, slots in (POOLS | {ALL_TIERS: TOTAL}).items():
            run.create_pool(pool, slots)
        helpers = {kind: f"{LESSON}__{kind}_{run.scenario}" for kind in TIERS}
        with GATE.shut():
            for kind in ("backfill", "standard", "production"):
                run.trigger(helpers[kind], kind)
                run.wait_for(partial(settled, run, kind, helpers[kind]), seconds=90)
        run.wait_for(lambda: run.helper_runs_over(*helpers.values()), seconds=180, every=0.5)

    def settled(run: Run, kind: str, helper: str) -> bool:
        """Whether all tasks of a kind have come, and have what they can get of their pool."""
        pool = TIERS[kind]["pool"] if run.scenario == "tiered" else ALL_TIERS
        return run.arrived(pool, helper=helper) == COUNTS[kind] and run.settled(pool)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what each tier held with its pool, and how production waited with the backfill's ends."""
        production, standard, backfill = (run.helpers(f"{LESSON}__{kind}_{run.scenario}") for kind in TIERS)
        work = {"production": production, "standard": standard, "backfill": backfill}
        held = [peak(tasks, kind, begin="queued", slots=True) for kind, tasks in work.items()]
        slots = list(POOLS.values())
        yield finding(
            "Each tier has its slots and no more",
            "production, standard work and the backfill each fill their own pool, and never take a slot of another",
            (held[0] == slots[0]) & (held[1] == slots[1]) & (held[2] == slots[2]),
        )
        last = float(backfill.queued.max(initial=0))
        yield finding(
            "Production does not wait for the backfill",
            "though it comes later, production has its slots while tasks of the backfill still wait for theirs",
            share(production.queued < last, "production served before the last of the backfill", of=production) == 1,
        )
        taken = (production | standard | backfill).concurrency("queued", "end", slots=True).at([last])
        yield finding(
            "The guarantee is paid for in idle slots",
            "while the last of the backfill has waited for its slot, slots of the other tiers were idle",
            reading(TOTAL - int(taken[0]) if len(backfill) else None, "idle slots then", "task instances", at=last) > 0,
        )

    conduct() >> judge()
