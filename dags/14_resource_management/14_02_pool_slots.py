"""# 14.02 Pool slots

**Purpose.** Let a task take as many slots as it uses: a pool of four, light tasks of one slot and batches of three.

**What to watch.** The pool is shut until all work waits, then it opens. One batch and one light task fill it. The
second batch is heavier than any light task and has waited as long, yet one light task after the other goes past it: the
single free slot is no use to it, and the scheduler saves none up. `oversized` wants five slots of four. It is the
heaviest of all and waits until somebody enlarges the pool.

**Expected behaviour.** The sum of the slots in use stays within the pool.

**Scenario `one_slot`.** The same tasks take one slot each: two batches run together, beside light tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import inversions, peak
from backpressure.measures.samples import reading, share

LESSON = "14_02_pool_slots"
POOL, SLOTS = "pool_slots", 4
LIGHT, BATCHES, SECONDS = 4, 2, 0.5
BATCH, OVERSIZED = 3, SLOTS + 1  # slots that a batch uses, and that nobody can have
SIZES = {"weighted": (BATCH, OVERSIZED), "one_slot": (1, 1)}


@task(pool=POOL, priority_weight=1, weight_rule="absolute")
def light(number: int) -> None:
    """A little work."""
    time.sleep(SECONDS)


@task(pool=POOL, priority_weight=10, weight_rule="absolute")
def batch(number: int = 0) -> None:
    """Much work: it lasts for as long as light tasks come."""
    (run := Run.current()).wait_for(lambda: run.over("light"), seconds=120)


for scenario, (many, too_many) in SIZES.items():
    with DAG(dag_id=f"{LESSON}__{scenario}", schedule=None):
        # [slots]
        light.override(pool_slots=1).expand(number=list(range(LIGHT)))
        batch.override(pool_slots=many).expand(number=list(range(BATCHES)))
        batch.override(task_id="oversized", pool_slots=too_many, priority_weight=20)()
        # [/slots]

with DAG(
    dag_id="14_02_pool_slots",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "success"],
    params={"scenario": Param("weighted", enum=["weighted", "one_slot"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, float]:
        """Let everything wait at a shut pool, open it, and enlarge it when all but the oversized task are done."""
        run = Run.current()
        helper = f"{LESSON}__{run.scenario}"
        run.create_pool(POOL, 0)
        run.trigger(helper, "work")
        run.wait_for(lambda: run.arrived(POOL, helper=helper) == LIGHT + BATCHES + 1, seconds=120)
        slots = run.resize_pool(POOL, SLOTS).slots
        run.wait_for(
            lambda: sum(bool(r["end_date"]) for r in run.helper_records(helper)) >= LIGHT + BATCHES, seconds=120
        )
        enlarged = time.time()
        run.resize_pool(POOL, OVERSIZED)
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)
        return {"slots": slots, "enlarged": enlarged}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the task instances' own timestamps and slots with the pool's."""
        told, work = run.result("conduct"), run.helpers(f"{LESSON}__{run.scenario}")
        light, batches, oversized = (work.select(task_id=name) for name in ("light", "batch", "oversized"))
        both = work.select(task_id=["light", "batch"])
        slots = reading(told["slots"], "slots of the pool", "pools over REST")
        yield finding(
            "Slots are counted, not tasks",
            "all slots are in use with two tasks, of which one is a batch, and never one more",
            (peak(both, begin="queued", slots=True) == slots) & (peak(both, begin="queued") == 1 + SLOTS - BATCH),
        )
        yield finding(
            "Large requests run one after the other",
            "two batches together would want more slots than there are, so one waits for the other's end",
            peak(batches, begin="queued") == SLOTS // BATCH,
        )
        yield finding(
            "Free slots are not saved up for a large request",
            "every light task gets a slot while a heavier batch waits for three",
            (share(light.queued < batches.queued.max(initial=0), "light tasks before the last batch", of=light) == 1)
            & (inversions(both) > 0),
        )
        late = oversized.queued >= told["enlarged"]
        yield finding(
            "A request larger than the pool never runs",
            "the task that wants more slots than there are waits, heaviest of all, until the pool is enlarged",
            share(late, "oversized tasks that waited for a larger pool", of=oversized) == 1,
        )

    conduct() >> judge()
