"""# 106.2.3 max_active_tasks Configuration

**Purpose.** Limit concurrent tasks per DAG: `max_active_tasks=3`, on a DAG of which two runs are active at once.

**What to watch.** The limit is one of each *run*, whatever its name and older texts say: two runs have six tasks active
between them. What bounds them together is a pool: of two runs in a pool of four slots, four tasks are active. Active is
queued or running; whatever is above the limit waits as *scheduled*, although the pools have free slots. Heavy tasks
that are released while light ones wait go first. A DAG that allows six tasks finishes the same run sooner.

**Expected behaviour.** Task-level concurrency control: three active tasks in each run, never more.

**Scenario `wide`.** The same runs of a DAG that allows 64 tasks, outside the pool: nothing waits, nothing overtakes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import duration, gate, inversions, makespan, overtakes, peak
from backpressure.measures.samples import reading

LESSON = "106_02_03_max_active_tasks"
POOL, SLOTS = "max_active_tasks", 4
LIMIT, MORE, MANY = 3, 6, 64
SECONDS = 3.0
# Of which helper DAG the runs are: a pair, a pair in a small pool, and one with a higher limit.
HELPERS = {"limited": ("limited", "pooled", "faster"), "wide": ("wide", "wide", "wide")}


@task(weight_rule="absolute")
def work(number: int) -> None:
    """Some work; the run's other tasks may do theirs at the same time, as far as a limit lets them."""
    time.sleep(SECONDS)


@task(weight_rule="absolute", priority_weight=100)
def release() -> None:
    """Let the heavy work go when the light has been waiting for a while; this task counts towards the limit, too."""
    time.sleep(SECONDS / 2)


def helper(name: str, limit: int, pool: str = "default_pool", light: int = 6) -> None:
    """Make a helper DAG: light work at once, heavy work later."""
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_tasks=limit):
        heavy = work.override(task_id="heavy", priority_weight=10, pool=pool).expand(number=[0, 1])
        release.override(pool=pool)() >> heavy
        work.override(task_id="light", pool=pool).expand(number=list(range(light)))


# [limits]
helper("limited", LIMIT)
helper("pooled", LIMIT, POOL, light=3)
helper("faster", MORE)
helper("wide", MANY)
# [/limits]

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("limited", enum=["limited", "wide"])},
):

    @task(**CONTROL)
    def trigger_runs() -> dict[str, int]:
        """Make the pool, trigger the five runs, and read the free slots of the default pool until they are over."""
        run = Run.current()
        slots = run.create_pool(POOL, SLOTS).slots
        pair, pooled, faster = (f"{LESSON}__{name}" for name in HELPERS[run.scenario])
        pairs = [(dag, f"{label}-{number}") for dag, label in ((pair, "pair"), (pooled, "pooled")) for number in (1, 2)]
        run.trigger_together([*pairs, (faster, "faster")])
        samples = run.sample_pool("default_pool", lambda: run.helper_runs_over(pair, pooled, faster), seconds=100)
        return {"slots": slots, "open": min(sample["open"] for sample in samples)}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare when tasks were active, in each run and together, with the limits of DAG and pool."""
        seen = run.result("trigger_runs")
        dags = [f"{LESSON}__{name}" for name in HELPERS[run.scenario]]
        pooled, faster = run.helpers(dags[1], label="pooled"), run.helpers(dags[2], label="faster")
        first, second = (run.helpers(dags[0], label=label) for label in ("pair-1", "pair-2"))
        queueing = first.select(task_id=("light", "heavy"))
        active = partial(peak, begin="queued", finish="end")
        yield finding(
            "Set max_active_tasks on DAG",
            "in each run as many tasks are active as the DAG's limit says, and more than that in two runs together",
            (active(first, "the first run") == LIMIT)
            & (active(second, "the second run") == LIMIT)
            & (active(first | second, "both") > LIMIT),
        )
        slots = reading(seen["slots"], "slots of the pool", "pools over REST")
        yield finding(
            "Interaction with pools",
            "where two runs share a pool that is smaller than their limits together, the pool is what binds",
            (active(pooled, "two runs in a pool", slots=True) == slots) & (slots < 2 * LIMIT),
        )
        yield finding(
            "Task queuing",
            "what is above the limit waits as scheduled, for longer than a task takes, although slots are free",
            (gate(queueing, "max", "the first run") > duration(queueing, label="its tasks"))
            & (reading(seen["open"], "free slots of default_pool, at the least", "pool samples") > 0),
        )
        yield finding(
            "Priority considerations",
            "under the limit heavy tasks overtake light ones that have waited for longer, and never stand behind them",
            (overtakes(queueing, "the first run") > 0) & (inversions(queueing, "the first run") == 0),
        )
        yield finding(
            "Performance tuning",
            "with a higher limit more of the same tasks are active, and the run is over sooner",
            (active(faster, "the run with the higher limit") == MORE)
            & (makespan(faster, "it") < 0.8 * makespan(first, "the first run")),
        )

    trigger_runs() >> judge()
