"""# 14.07 Priority weight

**Purpose.** Let important tasks go first: background work comes first, critical work last, and one slot for all.

**What to watch.** The pool is shut until everything waits, in the order background (weight 0), normal (1), critical
(10). When it opens, the slot goes to the heaviest each time, so the order is turned round. While the first background
task runs, two more critical tasks come. They do not stop it; they go past the background task that still waits.

**Expected behaviour.** Of what waits for a slot, the heaviest goes first. The rule is `absolute`: under the default
rule a task's weight counts what comes after it as well.

**Scenario `ample`.** The same tasks in a pool with room for all: nothing waits, and weights decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import count, inversions, overtakes
from backpressure.measures.samples import share

LESSON = "14_07_priority_weight"
# [weights]
WEIGHTS = {"background": 0, "normal": 1, "critical": 10}
# [/weights]
POOL, EACH, AMPLE = "priority_weight", 2, 16
HELPERS = {kind: f"{LESSON}__{kind}" for kind in WEIGHTS}
PAIRS = 3 * EACH * EACH  # of a task of one kind with a task of another


@task(pool=POOL, weight_rule="absolute")
def work(number: int, kind: str) -> None:
    """Hardly any; background work lasts until the late tasks have come, and have a slot or find none."""
    if kind == "background":
        (run := of_lesson()).wait_for(lambda: late_has_come(run), seconds=120)


def of_lesson() -> Run:
    """The lesson's run, seen from a task of a helper run."""
    helper = Run.current()
    return Run(helper.api, LESSON, helper.run_id.rpartition("__")[0], {})


def late_has_come(run: Run) -> bool:
    """Whether the late tasks are scheduled, and each has its slot, unless the pool has none left."""
    late = [r for r in run.helper_records(HELPERS["critical"], label="late") if r["scheduled_when"]]
    return len(late) == EACH and (run.pool(POOL).open <= 0 or all(r["queued_when"] for r in late))


for kind, weight in WEIGHTS.items():
    with DAG(dag_id=f"14_07_priority_weight__{kind}", schedule=None):
        # [task]
        work.override(task_id=kind, priority_weight=weight).partial(kind=kind).expand(number=list(range(EACH)))
        # [/task]

with DAG(
    dag_id="14_07_priority_weight",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "priority", "success"],
    params={"scenario": Param("contended", enum=["contended", "ample"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Let one kind come after the other, open the pool, and send more critical work while background work runs."""
        run = Run.current()
        shut, slots = (0, 1) if run.scenario == "contended" else (AMPLE, AMPLE)
        run.create_pool(POOL, shut)

        def settled(tasks: int) -> bool:
            """Whether so many have come, and wait at the shut pool or have a slot."""
            found = [r for helper in HELPERS.values() for r in run.helper_records(helper) if r["scheduled_when"]]
            return len(found) == tasks and (not shut or all(r["queued_when"] for r in found))

        for number, helper in enumerate(HELPERS.values(), 1):
            run.trigger(helper, "first")
            run.wait_for(lambda tasks=number * EACH: settled(tasks), seconds=120)
        run.resize_pool(POOL, slots)
        run.wait_for(lambda: "running" in [r["state"] for r in run.helper_records(HELPERS["background"])], seconds=120)
        run.trigger(HELPERS["critical"], "late")
        run.wait_for(lambda: run.helper_runs_over(*HELPERS.values()), seconds=120)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare who was queued before whom with the weights."""
        first, late = (run.helpers(*HELPERS.values(), label=label) for label in ("first", "late"))
        background, others = first.select(task_id="background"), first.select(task_id=["normal", "critical"])
        yield finding(
            "The heavier task gets the free slot",
            "each heavier task is queued before each lighter one, although it came later",
            (overtakes(first) == PAIRS) & (inversions(first) == 0),
        )
        ended = background.end.min(initial=float("inf"))
        yield finding(
            "A weight stops nothing that runs",
            "late critical tasks get no slot before the background task that has it ends by itself",
            (share(late.queued >= ended, "late tasks that waited for its end", of=late) == 1)
            & (count(background, "success") == EACH),
        )
        last = background.queued.max(initial=0)
        yield finding(
            "A heavy task that comes late passes those that wait",
            "the late critical tasks are queued before the background task that has waited from the beginning",
            share(late.queued < last, "late tasks before the last background task", of=late) == 1,
        )
        after = background.queued > others.queued.max(initial=0)
        yield finding(
            "Weight 0 comes last, and runs",
            "background tasks are queued after all that came with them, and are done",
            (share(after, "background tasks after all others", of=background) == 1)
            & (count(background, "success") == EACH),
        )

    conduct() >> judge()
