"""# 14.06 Heavy tasks

**Purpose.** Keep tasks that take much memory within a budget: a pool of four slots, each of which stands for 30 MB.

**What to watch.** Four loads take 60 MB each and two slots; two of them run at once, and the budget holds. `in_pieces`
does what a load does, a piece at a time, and comes to the same checksum with one slot. Each task asks the kernel what
its own process took. In scenario `one_slot` every task takes one slot, and `in_pieces` reads all at once: four
loads run at once, and take twice the budget.

**Expected behaviour.** Heavy tasks never take more memory together than there is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.machine import private_bytes
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures.memory import together
from backpressure.measures.samples import reading, share

LESSON = "14_06_heavy_task_pool"
POOL, SLOTS, MB = "heavy_task_pool", 4, 2**20
# [slots]
SLOT = 30  # MB that a slot stands for
LOADS, SIZE, PIECE = 4, 60, 5  # of a load, and of a piece of it, in MB
SIZES = {"sized": SIZE // SLOT, "one_slot": 1}  # slots of a load
# [/slots]
NEAR = 10  # MB that a process may take for other things


@task(pool=POOL, priority_weight=10, weight_rule="absolute")
def load(number: int, piece: int = SIZE) -> dict[str, Any]:
    """The checksum of so much data, a piece at a time; the last is kept until all that have a slot have begun."""
    run, base, digest, held = Run.current(), private_bytes() or 0, hashlib.sha256(), b""
    for _ in range(0, SIZE, piece):
        held = b""  # the piece before is free before there is a new one
        held = bytes([number]) * (piece * MB)
        digest.update(held)
    taken = ((private_bytes() or 0) - base) / MB
    run.wait_for(lambda: "queued" not in run.states("load", "in_pieces"), seconds=120, every=0.5)
    return {"taken": taken, "digest": digest.hexdigest(), "held": len(held) / MB}


for scenario, slots in SIZES.items():
    with DAG(dag_id=f"{LESSON}__{scenario}", schedule=None):
        # [loads]
        load.override(pool_slots=slots).expand(number=list(range(LOADS)))
        load.override(task_id="in_pieces", priority_weight=1)(0, PIECE if scenario == "sized" else SIZE)
        # [/loads]

with DAG(
    dag_id="14_06_heavy_task_pool",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "memory", "success"],
    params={"scenario": Param("sized", enum=["sized", "one_slot"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, int]:
        """Open the pool when all wait for it."""
        run = Run.current()
        helper = f"{LESSON}__{run.scenario}"
        run.create_pool(POOL, 0)
        run.trigger(helper, "work")
        run.wait_for(lambda: run.arrived(POOL, helper=helper) == LOADS + 1, seconds=120)
        slots = run.resize_pool(POOL, SLOTS).slots
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)
        return {"slots": slots}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the tasks' processes took with the slots that they had."""
        done = run.with_results("load", "in_pieces", helper=f"{LESSON}__{run.scenario}")
        told = {(r["task_id"], r["map_index"]): r["result"] for r in done}
        fits = [r["result"]["taken"] <= r["pool_slots"] * SLOT + NEAR for r in done]
        yield finding(
            "Slots stand for memory",
            "no task takes more memory than its slots stand for",
            share(fits, "tasks that keep within their slots", "private memory") == 1,
        )
        budget = reading(run.result("conduct")["slots"] * SLOT, "the pool's slots in MB", "pools over REST", unit="MB")
        most = together(done, "taken")
        yield finding(
            "Memory stays within the budget",
            "what the tasks that have slots take together comes near the pool's size, and not above",
            most.between(0.8 * budget, budget + 2 * NEAR),
        )
        whole, pieces = told.get(("load", 0), {}), told.get(("in_pieces", -1), {})
        less = reading(pieces.get("taken"), "taken in pieces", "private memory", unit="MB")
        yield finding(
            "Read in pieces, the same work takes less",
            "the checksum is that of a load, from a fraction of the memory",
            (less <= SLOT) & (reading(pieces.get("digest"), "checksum in pieces", "the task") == whole.get("digest")),
        )

    conduct() >> judge()
