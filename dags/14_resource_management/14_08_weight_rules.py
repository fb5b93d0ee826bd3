"""# 14.08 Weight rules

**Purpose.** Choose how a task's weight is computed: the chain `a >> b >> c`, with weights 2, 1 and 3, three times over,
once under each rule, each chain in a pool of one slot.

**What to watch.** The weights that Airflow gives the nine tasks. Then two runs: the first has done its `a`, and its `b`
waits, when the second comes and its `a` waits, too. Who gets the slot? Under `downstream` the run that begins; under
`upstream` the run that is further on.

**Expected behaviour.** Each rule gives its weights, and with them its order.

**Scenario `blind`.** The same chains, all of them under `absolute`.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import queue_order
from backpressure.measures.samples import reading

LESSON = "14_08_weight_rules"
POOLS = {chain: f"weight_rules_{chain}" for chain in ("down", "up", "alone")}
SHUT, ONE, AMPLE = 0, 1, 16
# [rules]
OWN = {"a": 2, "b": 1, "c": 3}
RULES = {
    "built": {"down": "downstream", "up": "upstream", "alone": "absolute"},
    "blind": {"down": "absolute", "up": "absolute", "alone": "absolute"},
}
# [/rules]


@task
def step(pool: str) -> None:
    """Last until the pool is shut, or gets more slots: nobody takes this slot unobserved."""
    (run := Run.current()).wait_for(lambda: run.pool(pool).slots != ONE, seconds=120)


for scenario, rules in RULES.items():
    with DAG(dag_id=f"{LESSON}__{scenario}", schedule=None):
        for chain, rule in rules.items():
            # [chain]
            one = step.override(pool=POOLS[chain], weight_rule=rule)
            a, b, c = (one.override(task_id=f"{chain}_{n}", priority_weight=w)(POOLS[chain]) for n, w in OWN.items())
            a >> b >> c
            # [/chain]

with DAG(
    dag_id="14_08_weight_rules",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "priority", "success"],
    params={"scenario": Param("built", enum=["built", "blind"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Let a run do its first step, let another come, and open the pools for one task each; then for all."""
        run, pools = Run.current(), POOLS.values()
        helper = f"{LESSON}__{run.scenario}"
        for pool in pools:
            run.create_pool(pool, ONE)
        for label, waiting in (("early", 2 * len(POOLS)), ("late", 3 * len(POOLS))):
            run.trigger(helper, label)
            if label == "early":  # each chain's first step has its slot, and the next will find the pool shut
                run.wait_for(lambda: all(run.pool(pool).occupied for pool in pools), seconds=120)
                set_slots(run, SHUT)
            run.wait_for(lambda there=waiting: run.arrived(*pools, helper=helper) == there, seconds=120)
        set_slots(run, ONE)
        run.wait_for(lambda: all(run.pool(pool).occupied for pool in pools), seconds=120)
        set_slots(run, AMPLE)
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)

    def set_slots(run: Run, slots: int) -> None:
        """Give each chain's pool so many slots."""
        for pool in POOLS.values():
            run.resize_pool(pool, slots)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the weights that Airflow gave with those of the rules, and the order with the weights."""
        early, late = (run.helpers(f"{LESSON}__{run.scenario}", label=label) for label in ("early", "late"))
        weight = dict(zip(early.names(), early.priority_weight.tolist(), strict=True))
        found = {chain: tuple(weight[f"{chain}_{name}"] for name in OWN if weight) for chain in POOLS}
        weights = {
            chain: reading(seen or None, f"weights of {chain}", "task instances") for chain, seen in found.items()
        }
        down, alone = (reading(sum(found[one]) or None, f"sum of {one}", "task instances") for one in ("down", "alone"))
        yield finding(
            "downstream counts a task and all that follows",
            "a counts b and c as well, b counts c, and c counts itself",
            weights["down"] == (2 + 1 + 3, 1 + 3, 3),
        )
        yield finding(
            "upstream counts a task and all that went before",
            "a counts itself, b counts a as well, and c all three",
            weights["up"] == (2, 2 + 1, 2 + 1 + 3),
        )
        yield finding(
            "absolute counts the task alone",
            "the weights are as written, and come to less than under downstream",
            (weights["alone"] == (2, 1, 3)) & (alone < down),
        )
        orders = {}
        for chain in ("down", "up"):
            meet = early.select(task_id=f"{chain}_b") | late.select(task_id=f"{chain}_a")
            orders[chain] = queue_order(meet, f"{chain} chains of two runs")
        yield finding(
            "downstream begins runs, upstream finishes them",
            "the slot goes to the first step of the run that came later, or to the second step of the earlier one",
            (orders["down"] == ("down_a", "down_b")) & (orders["up"] == ("up_b", "up_a")),
        )

    conduct() >> judge()
