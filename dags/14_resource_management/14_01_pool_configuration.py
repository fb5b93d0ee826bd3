"""# 14.01 Pool configuration

**Purpose.** Make pools as code, in a way that Airflow 3 allows: over its REST API, as often as one likes.

**What to watch.** `make_pools` makes three pools, and does so again after somebody has made one of them larger by
hand: what is as specified stays, and so does the hand-made size, which is reported. Then seven tasks come that name the
pools. In scenario `orm` the same task does what older texts show, and writes the pools into Airflow's database: Airflow
refuses. There are no pools then, and the tasks that name them wait, though nothing fails and nothing warns.

**Expected behaviour.** Pools are as their specification says, and hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow import orm
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.samples import reading, share
from backpressure.pools import PoolSpec, ensure_all

# [pools]
DATABASE = PoolSpec("pool_configuration_database", 10, "Connections to the database of the analysts")
PARTNER = PoolSpec("pool_configuration_partner", 5, "Calls that the partner answers at once")
MEMORY = PoolSpec("pool_configuration_memory", 2, "Tasks that take a gigabyte")
POOLS = [DATABASE, PARTNER, MEMORY]
# [/pools]
REFUSAL = "Direct database access via the ORM is not allowed in Airflow 3.0"
BY_HAND, CRUNCHES, SECONDS = 7, 5, 1.0
# What the second time has to say of each pool: somebody has resized the partner's.
AGAIN = {DATABASE.name: "unchanged", PARTNER.name: "drifted", MEMORY.name: "unchanged"}
WORK = ("query", "call", "crunch")

with DAG(
    dag_id="14_01_pool_configuration",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "success"],
    params={"scenario": Param("rest", enum=["rest", "orm"])},
):

    @task(**CONTROL)
    def make_pools() -> dict[str, Any]:
        """Make the pools, read them back, let somebody resize one, and make them again; or try it with the ORM."""
        run = Run.current()
        for spec in POOLS:
            run.borrow_pool(spec.name)
        if run.scenario == "orm":
            try:
                orm.make_pools(POOLS)
            except RuntimeError as refusal:
                return {"refused": str(refusal), "made": [], "again": {}}
        # [rest]
        ensure_all(run.api, POOLS)
        made = [run.api.get(f"/pools/{spec.name}") for spec in POOLS]
        run.resize_pool(PARTNER.name, BY_HAND)
        again = ensure_all(run.api, POOLS)
        # [/rest]
        return {"refused": "", "made": made, "again": again}

    @task
    def work(number: int = 0) -> None:
        """A second of something."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def give_up() -> None:
        """Once a task without a pool of its own is over: skip those that wait for pools which are not there."""
        run = Run.current()
        run.wait_for(lambda: run.over("neighbour"), seconds=120)
        if run.scenario == "orm":
            run.skip(record for record in run.records if record["task_id"] in WORK)

    query, call = (
        work.override(task_id=name, pool=spec.name)() for name, spec in (("query", DATABASE), ("call", PARTNER))
    )
    crunch = work.override(task_id="crunch", pool=MEMORY.name).expand(number=list(range(CRUNCHES)))
    neighbour = work.override(task_id="neighbour")()

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the pools as they were read back, and what became of the tasks, with the specification."""
        told, work, neighbour = run.result("make_pools"), run.tasks(*WORK), run.tasks("neighbour")
        made = {pool["name"]: (pool["slots"], pool["description"]) for pool in told["made"]}
        wanted = {spec.name: (spec.slots, spec.description) for spec in POOLS}
        right = [made.get(pool) == wanted[pool] for pool in work.pool.tolist()]
        yield finding(
            "Pools are made over REST as specified",
            "each task's pool is there, with the slots and the description of its specification",
            share(right, "tasks whose pool is as specified", "pools over REST", of=work) == 1,
        )
        kept = [told["again"].get(pool) == AGAIN[pool] for pool in work.pool.tolist()]
        yield finding(
            "Making a pool again changes nothing",
            "what is as specified is left alone, and a size that somebody set by hand is reported, not overwritten",
            share(kept, "tasks whose pool was left as it was", "pools over REST", of=work) == 1,
        )
        yield finding(
            "A pool's slots bound the tasks that name it",
            "every task gets its slots, and those of the smallest pool fill it and take none more",
            (share(work.queued > 0, "tasks that got their slots", of=work) == 1)
            & (peak(run.tasks("crunch"), begin="queued", slots=True) == MEMORY.slots),
        )
        yield finding(
            "A task cannot make a pool through the ORM",
            "Airflow refuses the task its database; a task whose pool is missing is never queued, unlike its neighbour",
            (reading(told["refused"], "what Airflow said", "the task") == REFUSAL)
            & (share(work.queued > 0, "tasks that were queued", of=work) == 0)
            & (share(neighbour.queued > 0, "neighbours that were queued", of=neighbour) == 1),
        )

    make_pools() >> [query, call, crunch, neighbour, give_up()] >> judge()
