"""# 106.2.3 max_active_tasks Configuration

**Purpose.** Limit concurrent tasks per DAG: `max_active_tasks=3`, on a DAG of which two runs are active at once.

**What to watch.** The limit is one of each *run*, whatever its name and older texts say: two runs have six tasks active
between them. What bounds them together is a pool: of two runs in a pool of four slots, four tasks are active. Active is
queued or running; whatever is above the limit waits as *scheduled*, although the pools have free slots. Heavy tasks
that are released while light ones wait go first. A DAG that allows eight tasks at once finishes sooner.

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
from backpressure.measures import inversions, makespan, overtakes, peak
from backpressure.measures.samples import reading, share

LESSON = "106_02_03_max_active_tasks"
POOL, SLOTS, NO_POOL = "max_active_tasks", 4, "default_pool"
LIMIT, MORE, MANY = 3, 8, 64
LIGHT, SECONDS = 6, 3.0
# [limits]
# For each helper DAG its max_active_tasks and its pool.
DAGS = {"limited": (LIMIT, NO_POOL), "pooled": (LIMIT, POOL), "higher": (MORE, NO_POOL), "wide": (MANY, NO_POOL)}
# [/limits]
# The runs, and of which helper DAG each is.
NARROW = {"pair-1": "limited", "pair-2": "limited", "pooled-1": "pooled", "pooled-2": "pooled", "higher": "higher"}
RUNS = {"limited": NARROW, "wide": dict.fromkeys(NARROW, "wide")}


@task(weight_rule="absolute")
def work(number: int) -> None:
    """Some work, done beside that of the run's other tasks as far as a limit lets it."""
    time.sleep(SECONDS)


@task(weight_rule="absolute", priority_weight=100)
def release(number: int) -> None:
    """Let the heavy work go once so much of the light is active, as can be beside this task; the rest has to wait."""
    run = Run.current()
    run.wait_for(lambda: sum(state not in (None, "scheduled") for state in run.states("light")) >= number, 120, 0.5)


for name, (limit, pool) in DAGS.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_tasks=limit):
        light = range(LIGHT if pool == NO_POOL else 2)
        heavy = work.override(task_id="heavy", priority_weight=10, pool=pool)(0)
        release.override(pool=pool)(min(len(light), limit - 1)) >> heavy
        work.override(task_id="light", pool=pool).expand(number=list(light))

TAGS = ["reference", "core", "intermediate", "success"]
PARAMS = {"scenario": Param("limited", enum=["limited", "wide"])}
with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def trigger_runs() -> dict[str, int]:
        """Make the pool, trigger the five runs, and read the free slots of the default pool until they are over."""
        run = Run.current()
        slots = run.create_pool(POOL, SLOTS).slots
        run.trigger_together(runs := [(f"{LESSON}__{name}", label) for label, name in RUNS[run.scenario].items()])
        samples = run.sample_pool("default_pool", lambda: run.helper_runs_over(*dict(runs)), seconds=240)
        return {"slots": slots, "open": min(sample["open"] for sample in samples)}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare when tasks were active, in each run and together, with the limits of DAG and pool."""
        seen = run.result("trigger_runs")
        dags = {label: f"{LESSON}__{name}" for label, name in RUNS[run.scenario].items()}
        first, second, pooled, pooled_too, higher = (run.helpers(dag, label=label) for label, dag in dags.items())
        light, waiting = first.select(task_id="light"), first.select(task_id=("light", "heavy"))
        pooled, slots = pooled | pooled_too, reading(seen["slots"], "slots of the pool", "pools over REST")
        roomy = higher.select(task_id="light")
        active = partial(peak, begin="queued", finish="end")
        limits = (run.api.dag(dags[label])["max_active_tasks"] for label in ("pair-1", "higher"))
        limit, more = (reading(value, "max_active_tasks", "DAGs over REST") for value in limits)
        yield finding(
            "Set max_active_tasks on DAG",
            "each of two runs has as many tasks active as the limit says, so more than that are active together",
            (limit == LIMIT)
            & (active(first, "the first run") == LIMIT)
            & (active(second, "the second run") == LIMIT)
            & (active(first | second, "both") > LIMIT),
        )
        yield finding(
            "Interaction with pools",
            "where two runs share a pool that is smaller than their limits together, the pool is what binds",
            (share(pooled.pool.isin(POOL), "tasks in the pool") == 1) & (active(pooled, "both", slots=True) == slots),
        )
        yield finding(
            "Task queuing",
            "what is above the limit stays scheduled until others have ended, although slots of the pool are free",
            (active(first, "the first run") == limit)
            & (share(light.queued >= light.end.min(), "light tasks queued after another's end", of=light) > 0.3)
            & (reading(seen["open"], "free slots of default_pool, at the least", "pool samples") > 0),
        )
        yield finding(
            "Priority considerations",
            "under the limit the heavy task overtakes light ones that have waited longer, and never stands behind one",
            (overtakes(waiting, "the first run") > 0) & (inversions(waiting, "the first run") == 0),
        )
        yield finding(
            "Performance tuning",
            "with a limit that fits the work more of the same tasks are active, and the light ones are through sooner",
            (more == MORE)
            & (active(higher, "the run with the higher limit") > active(first, "the first run"))
            & (makespan(roomy, "light there", begin="scheduled") < makespan(light, begin="scheduled")),
        )

    trigger_runs() >> judge()
