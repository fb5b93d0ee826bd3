"""# 106.2.4 Priority-based scheduling

**Purpose.** Prioritize important tasks: light work comes first and waits, heavy work comes later and is served first.

**What to watch.** The pools are shut at first, so that all work waits in *scheduled*: light calls, then heavy ones.
When they open, each free slot goes to the highest `priority_weight` that waits. Beside it, the same calls with a slot
kept for the light ones; and two runs of a DAG with a task for each weight rule, of which the second is urgent.

**Expected behaviour.** Important tasks are scheduled first. A weight is fixed when the task instance is created, and
orders what waits: it neither stops what runs nor matters once a task is handed to the executor. In scenario `ample` the
pools never fill: nothing waits, so weights decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import inversions, overtakes, queue_order
from backpressure.measures.samples import share
from backpressure.weights import effective_weights

HELPER = "106_02_04_priority_scheduling__rules"
SHARED, RULES, FOR_LIGHT, FOR_HEAVY = "priority_shared", "priority_rules", "priority_for_light", "priority_for_heavy"
SLOTS, AMPLE = {SHARED: 2, FOR_LIGHT: 1, FOR_HEAVY: 1, RULES: 1}, 16


@task(weight_rule="absolute")
def call(number: int = 0) -> None:
    """Half a second of something."""
    time.sleep(0.5)


# [rules]
with DAG(dag_id="106_02_04_priority_scheduling__rules", schedule=None):
    for rule in ("downstream", "upstream", "absolute"):
        parent = call.override(task_id=f"parent_{rule}", pool=RULES, weight_rule=rule, priority_weight=1)()
        parent >> call.override(task_id=f"child_{rule}", weight_rule=rule, priority_weight=5)()
    call.override(task_id="loner", pool=RULES, priority_weight=3)()
    call.override(task_id="custom", pool=RULES, weight_rule="backpressure.airflow.priority.UrgentFirst")()
# [/rules]
with DAG(
    dag_id="106_02_04_priority_scheduling",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("contended", enum=["contended", "ample"])},
):

    @task(**CONTROL)
    def release(label: str, waiting: int) -> None:
        """Let work come, once so much is there already: a helper run here, and calls after it."""
        run = Run.current()
        for pool in SLOTS if not waiting else ():
            run.create_pool(pool, 0 if run.scenario == "contended" else AMPLE)
        run.wait_for(lambda: run.arrived(*SLOTS, helper=HELPER) >= waiting, seconds=120)
        run.trigger(HELPER, label, urgent=label == "ordinary")

    @task(**CONTROL)
    def open_pools(waiting: int) -> None:
        """Give the pools their slots once everything waits, and see the helper runs through."""
        run = Run.current()
        run.wait_for(lambda: run.arrived(*SLOTS, helper=HELPER) >= waiting, seconds=120)
        for pool, slots in SLOTS.items():
            run.resize_pool(pool, slots if run.scenario == "contended" else AMPLE)
        run.wait_for(lambda: run.helper_runs_over(HELPER), seconds=120)

    kinds = {"light": (SHARED, 1), "heavy": (SHARED, 10), "light_own": (FOR_LIGHT, 1), "heavy_own": (FOR_HEAVY, 10)}
    light, heavy, light_own, heavy_own = (
        call.override(task_id=name, pool=pool, priority_weight=weight).expand(number=[1, 2, 3, 4])
        for name, (pool, weight) in kinds.items()
    )

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare who was queued before whom with the weights, and the weights with the graph."""
        calls, rules = run.tasks("light", "heavy"), run.helpers(HELPER)
        first, later = (rules.run_id.isin(f"{run.run_id}__{label}") for label in ("ordinary", "urgent"))
        yield finding(
            "priority_weight on tasks",
            "heavy calls that come later are queued before the light ones that wait, and never the other way round",
            (overtakes(calls) >= 12) & (inversions(calls) == 0),
        )
        graph = effective_weights(run.api.get(f"/dags/{HELPER}/tasks")["tasks"])
        known = rules.select(task_id=list(graph))
        weighed = known.priority_weight == [graph[name] for name in known.names()]
        yield finding(
            "weight_rule configurations",
            "each rule gives the weight that the graph says, and the pool's queue goes by it",
            (share(weighed, "weights as in the graph", of=known) == 1) & (overtakes(known.select(pool=RULES)) >= 5),
        )
        parents = rules.task_id.isin(["parent_downstream", "parent_absolute"])
        line = rules.select((rules.task_id.isin("loner") & first) | (parents & later))
        yield finding(
            "Priority inheritance",
            "a light parent of a heavy child overtakes an earlier loner under downstream, but not under absolute",
            queue_order(line) == ("parent_downstream", "loner", "parent_absolute"),
        )
        pairs = [(run.tasks(f"light{own}"), run.tasks(f"heavy{own}").queued.max(initial=0)) for own in ("", "_own")]
        shared, own = (share(low.queued < last, "light calls before the last heavy", of=low) for low, last in pairs)
        yield finding(
            "Prevent starvation",
            "no light call gets a slot before the last heavy one, unless a slot is kept for them",
            (shared == 0) & (own > 0),
        )
        yield finding(
            "Dynamic priority adjustment",
            "the run with the word in its id outweighs the earlier run and overtakes it; conf alone adds no weight",
            (share(rules.select(first, task_id="custom").priority_weight == 1, "weights of 1 with conf alone") == 1)
            & (overtakes(rules.select(task_id="custom")) == 1),
        )

    release_light = release.override(task_id="release_light")("ordinary", 0)
    release_heavy = release.override(task_id="release_heavy")("urgent", 13)
    release_light >> [light, light_own, release_heavy, open_pools(26)] >> judge() << [heavy, heavy_own] << release_heavy
