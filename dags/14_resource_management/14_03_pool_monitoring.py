"""# 14.03 Pool monitoring

**Purpose.** Read what a pool's slots are used for: six queries, of which a pool lets three run.

**What to watch.** The queries last until somebody has given the pool six slots. `look` reads the pool while it is full,
then after it was shrunk to one slot, then when all is over. Those that wait are *scheduled*: `queued_slots` is what has
been handed to an executor, and is 0 here although half of the work waits. Shrinking stops nothing, so open slots go
below zero, and the pool is used three times over.

**Expected behaviour.** Every state of a pool is seen while it lasts.

**Scenario `once`.** The same work, looked at once, when it is over: all figures are right, and none says what happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures.samples import agreement, most, reading
from backpressure.pools import status

POOL, SLOTS, FEWER, MORE, QUERIES = "pool_monitoring", 3, 1, 6, 6

with DAG(
    dag_id="14_03_pool_monitoring",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "monitoring", "success"],
    params={"scenario": Param("sampled", enum=["sampled", "once"])},
):

    @task(**CONTROL)
    def make_pool() -> list[int]:
        """Make the pool."""
        Run.current().create_pool(POOL, SLOTS)
        return list(range(QUERIES))

    @task(pool=POOL)
    def query(number: int) -> None:
        """Something that lasts until the pool has more slots."""
        (run := Run.current()).wait_for(lambda: run.pool(POOL).slots == MORE, seconds=120, every=0.5)

    @task(**CONTROL)
    def watch() -> list[dict[str, float]]:
        """Look at the full pool, at the shrunk pool, and at the pool when all is over; or only then."""
        run = Run.current()

        # [look]
        def look() -> dict[str, float]:
            """What the pool's slots are used for right now."""
            pool = status(run.api, POOL)
            return asdict(pool) | {"used": pool.utilisation, "at": time.time()}

        # [/look]
        run.wait_for(lambda: run.states("query").count("running") == SLOTS, seconds=120)
        looks = [look()]
        run.resize_pool(POOL, FEWER)
        looks.append(look())
        run.resize_pool(POOL, MORE)
        run.wait_for(lambda: run.over("query"), seconds=120)
        looks.append(look())
        return looks if run.scenario == "sampled" else looks[-1:]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the pool said with the task instances' own timestamps."""
        looks, work = run.result("watch"), run.tasks("query")
        waiting, held = work.concurrency("scheduled", "queued"), work.concurrency("queued", "end", slots=True)
        said = most(looks, "scheduled", "most scheduled slots")
        yield finding(
            "What waits for a slot is scheduled, not queued",
            "the pool's scheduled slots are the queries that wait, and none of them is queued",
            (agreement(looks, "scheduled", waiting, 0) == 1)
            & (said == QUERIES - SLOTS)
            & (most(looks, "queued", "most queued slots") == 0),
        )
        yield finding(
            "Occupied slots are those of running and queued tasks",
            "they are what the queries hold from being queued to their end",
            (agreement(looks, "occupied", held, 0) == 1) & (most(looks, "occupied", "most occupied slots") == SLOTS),
        )
        yield finding(
            "Utilisation is occupied slots out of all",
            "it is 1 while the pool is full, and above 1 when a pool in use is made smaller",
            (most(looks[:1], "used", "first utilisation") == 1)
            & (most(looks, "used", "highest utilisation") == SLOTS / FEWER),
        )
        fewest = min((look["open"] for look in looks), default=None)
        yield finding(
            "Open slots go below zero when a pool shrinks",
            "nothing that runs is stopped, so the pool lacks the slots that were taken away",
            reading(fewest, "fewest open slots", "pool samples") == FEWER - SLOTS,
        )

    (planned := make_pool()) >> (watched := watch())
    [query.expand(number=planned), watched] >> judge()
