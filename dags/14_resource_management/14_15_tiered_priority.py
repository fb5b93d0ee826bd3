"""# 14.15 Pattern 1: tiered priority

**Purpose.** Give every task a tier, and let the tiers decide who gets the next free slot.

**What to watch.** The pool is shut while the work comes, so that all of it waits. When it opens with one slot, the slot
goes to the tiers in their order. An alert that comes in the middle is next, past all that has waited for longer, but
only when what runs has ended: a weight does not stop anything.

**Expected behaviour.** The order of the tiers, the background last and not never.

**Scenario `downstream`.** The same weights under the default rule, as in most DAG files: each task carries the weights
of all that comes after it, so cleaning up, with three followers, goes before an alert.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak, queue_order
from backpressure.measures.samples import share

LESSON, POOL = "14_15_tiered_priority", "tiered_priority"
SECONDS = 1.0


# [tiers]
class Tier:
    """How urgent work is; the numbers mean what they say under the rule ``absolute`` only."""

    CRITICAL = 100
    HIGH = 75
    NORMAL = 50
    LOW = 25
    BACKGROUND = 1


TIERS = {"alert": Tier.CRITICAL, "sync": Tier.HIGH, "load": Tier.NORMAL, "report": Tier.LOW, "clean": Tier.BACKGROUND}
# [/tiers]
FOLLOWERS = {"alert": 1, "sync": 1, "load": 2, "report": 2, "clean": 3}  # what comes after each, for nothing


@task
def work() -> None:
    """Some work."""
    time.sleep(SECONDS)


for rule in ("absolute", "downstream"):
    with DAG(dag_id=f"14_15_tiered_priority__{rule}", schedule=None, default_args={"weight_rule": rule}):
        tasks = {name: work.override(task_id=name, pool=POOL, priority_weight=tier)() for name, tier in TIERS.items()}
        for name, number in FOLLOWERS.items():
            tasks[name] >> [EmptyOperator(task_id=f"{name}_{n}", priority_weight=Tier.NORMAL) for n in range(number)]
    with DAG(dag_id=f"14_15_tiered_priority__alert_{rule}", schedule=None, default_args={"weight_rule": rule}):
        work.override(task_id="late_alert", pool=POOL, priority_weight=Tier.CRITICAL)()

with DAG(
    dag_id="14_15_tiered_priority",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "priority", "pattern", "success"],
    params={"scenario": Param("absolute", enum=["absolute", "downstream"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Let all tiers come to a shut pool, open it, and send an alert as soon as something runs."""
        run = Run.current()
        helper, alert = (f"{LESSON}__{kind}{run.scenario}" for kind in ("", "alert_"))
        run.create_pool(POOL, 0)
        run.trigger(helper, "work")
        run.wait_for(lambda: run.arrived(POOL, helper=helper) == len(TIERS), seconds=60)
        run.resize_pool(POOL, 1)
        run.wait_for(lambda: "running" in [one["state"] for one in run.helper_records(helper)], seconds=60)
        run.trigger(alert, "alert")
        run.wait_for(lambda: run.helper_runs_over(helper, alert), seconds=120, every=0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare who was given the slot when with the tiers."""
        work, late = (run.helpers(f"{LESSON}__{kind}{run.scenario}") for kind in ("", "alert_"))
        tiers = work.select(task_id=list(TIERS))
        yield finding(
            "The tiers decide who goes first",
            "the pool's one slot goes to the tiers in their order, whatever comes after a task",
            queue_order(tiers, "the tiers") == tuple(TIERS),
        )
        meant = [TIERS[name] for name in tiers.names()]
        yield finding(
            "A weight means what it says",
            "the weight that the scheduler sorts by is the tier's own number",
            share(tiers.priority_weight == meant, "weights that are their tier's", of=tiers) == 1,
        )
        came = float(late.scheduled.min(initial=float("inf")))
        waiting = tiers.select((tiers.scheduled < came) & (tiers.queued > came))
        ahead = [at < late.queued.max(initial=0) for at in waiting.queued]
        yield finding(
            "An alert is next, and stops nothing",
            "a late alert gets the slot before all that waits, and only when whoever has it has ended",
            (share(ahead, "waiting tasks that went before it") == 0)
            & (peak(tiers | late, "all that wants the slot", begin="queued") == 1),
        )
        last = tiers.select(task_id="clean")
        yield finding(
            "The background comes last, and comes",
            "the lightest tier is served when all others have been, and is done in the end",
            (share(last.queued >= tiers.queued.max(initial=0), "of the background that came last") == 1)
            & (share(last.state.isin("success"), "of the background that is done") == 1),
        )

    conduct() >> judge()
