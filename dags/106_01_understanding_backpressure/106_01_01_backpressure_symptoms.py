"""# 106.1.1 Identifying backpressure symptoms

**Purpose.** Recognize overload signs: runs keep coming, a chain of three tasks each, for a pool that serves fewer of
them than come.

**What to watch.** Seven runs, one a second, want more than four slots at a time; the pool has two. Nothing fails,
and nothing is red. What tells of overload are five numbers: the queue grows while work arrives, ready tasks stay
*scheduled* for many turns of the scheduler, they wait longer than they work, the pool has no open slot while work
waits, and each stage of the chain is later than the one before by more than a task takes.

**Expected behaviour.** Ability to identify backpressure: each symptom is measured, and each is absent when the same
runs come to a pool of 16 slots (scenario `relaxed`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import depth, duration, gate, growth, wait
from backpressure.measures.samples import reading
from backpressure.measures.symptoms import exhausted, lateness, turn

HELPER = "106_01_01_backpressure_symptoms__chain"
# [load]
POOL, SLOTS = "backpressure_symptoms", {"overload": 2, "relaxed": 16}
RUNS, EVERY, SECONDS = 7, 1.0, 3.0
# [/load]

with DAG(dag_id=HELPER, schedule=None):

    @task(pool=POOL)
    def work(before: Any = None) -> None:
        """One stage: three seconds of something."""
        time.sleep(SECONDS)

    extract = work.override(task_id="extract")()
    transform = work.override(task_id="transform")(extract)
    load = work.override(task_id="load")(transform)

with DAG(
    dag_id="106_01_01_backpressure_symptoms",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "beginner", "success"],
    params={"scenario": Param("overload", enum=["overload", "relaxed"])},
):

    @task(**CONTROL)
    def bring_load() -> dict[str, Any]:
        """Make the pool, let the runs come one after the other, and read the pool until they are through."""
        run = Run.current()
        slots = run.create_pool(POOL, SLOTS[run.scenario]).slots
        run.trigger_spaced(HELPER, "run", RUNS, EVERY)
        samples = run.sample_pool(POOL, lambda: run.helper_runs_over(HELPER), seconds=120)
        return {"slots": slots, "samples": samples}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Look for each symptom in the tasks' timestamps, the pool's samples and the scheduler's own metrics."""
        seen, work, chain = run.result("bring_load"), run.helpers(HELPER), ("extract", "transform", "load")
        came = work.select(task_id="extract").scheduled
        arriving = (came.min(initial=math.inf), came.max(initial=0.0) + EVERY)  # however late the scheduler saw them
        # [symptoms]
        yield finding(
            "Task queue growth",
            "while runs arrive the queue grows, and in the end more tasks wait than there are slots",
            (growth(work, arriving, "the chains") > 0)
            & (depth(work, "the chains", at=arriving[1]) > reading(seen["slots"], "slots", "pools over REST")),
        )
        since, until = seen["samples"][0]["at"], seen["samples"][-1]["at"]
        loops = Metrics().series("scheduler.scheduler_loop_duration", since, until)
        yield finding(
            "Scheduler lag indicators",
            "most ready tasks are passed over for more than three turns of the scheduler: there is no slot",
            gate(work, "median", "the chains") > 3 * turn(loops.at if loops else ()),
        )
        yield finding(
            "Long queued times",
            "from ready to started takes more than twice as long as the work itself",
            wait(work, "p95", "the chains") > 2 * duration(work, label="the chains"),
        )
        yield finding(
            "Resource exhaustion",
            "in a quarter of the samples and more the pool has no open slot, and tasks wait for one",
            exhausted(seen["samples"]) >= 0.25,
        )
        late, one = [lateness(work, chain, stage) for stage in chain], duration(work, label="a task")
        yield finding(
            "Cascading delays",
            "each stage is later than the one before by more than two tasks take",
            (late[1] - late[0] > 2 * one) & (late[2] - late[1] > 2 * one),
        )
        # [/symptoms]

    bring_load() >> judge()
