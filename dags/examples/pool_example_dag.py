"""# Pools

**Purpose.** Assign tasks to a pool: the page's own example, and beside it calls that really take the pool's slots.

**What to watch.** Four things that older texts get wrong. The page's tasks are EmptyOperators: they are done without a
slot, even while `my_api_pool` is full. `orphan` names a pool that is missing: it does not fall back to `default_pool`,
but stays *scheduled* until the pool is made. `oversized` wants one slot more than `default_pool` has (128, not without
limit) and waits until that is made infinite by hand. And pools decide the order: a free slot goes to the heaviest task.

**Expected behaviour.** Tasks run only while their pool has a free slot, the heaviest first. In scenario `open` every
limit is lifted beforehand: nothing waits.
"""

import time
from collections.abc import Iterator

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import inversions, overtakes, peak
from backpressure.measures.samples import reading, share
from backpressure.pools import DEFAULT_POOL, INFINITE

POOL, OTHER_POOL = "my_api_pool", "my_other_pool"
CALLS, URGENT, SECONDS, DEFAULT_SLOTS = 6, 2, 1.5, conf.getint("core", "default_pool_task_slot_count")

with DAG(
    dag_id="pool_example_dag",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["example", "pool"],
    params={"scenario": Param("created", enum=["created", "open"])},
):
    # [page]
    start = EmptyOperator(task_id="start")
    task_in_my_api_pool = EmptyOperator(task_id="task_in_my_api_pool", pool="my_api_pool", pool_slots=1)
    end = EmptyOperator(task_id="end")
    start >> task_in_my_api_pool >> end
    # [/page]

    @task(weight_rule="absolute")
    def call(number: int) -> None:
        """One call of the API."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def lift_limits(when: str) -> dict[str, float]:
        """Make the missing pool, and the default pool infinite: beforehand in `open`, else once the calls are over."""
        run, tasks = Run.current(), ("calls", "urgent", "free_calls", "free_urgent")
        at = run.sample(time.time, until=lambda: when == "early" or run.over(*tasks), seconds=120)[-1]
        slots = run.pool(DEFAULT_POOL).slots
        if when == "late" or run.scenario == "open":
            run.create_pool(OTHER_POOL, 1)
            run.resize_pool(DEFAULT_POOL, INFINITE)
        return {"slots": slots, "at": at}

    @task(**CONTROL)
    def plan(scenario: str, calls: int) -> list[int]:
        """The calls of one scenario; none in the other."""
        return list(range(calls)) if Run.current().scenario == scenario else []

    @task(**CONTROL)
    def when_some_run() -> None:
        """Wait until a call runs; soon the pool is full."""
        (run := Run.current()).wait_for(lambda: "running" in run.states("calls", "free_calls"), seconds=120)

    orphan = call.override(task_id="orphan", pool=OTHER_POOL)(0)
    oversized = call.override(task_id="oversized", pool_slots=DEFAULT_SLOTS + 1)(0)
    neighbour = call.override(task_id="neighbour")(0)
    early, late = (lift_limits.override(task_id=f"lift_limits_{when}")(when) for when in ("early", "late"))
    early >> [orphan, oversized, neighbour, late, some_run := when_some_run()]
    some_run >> start
    work = [orphan, oversized, neighbour, late, end]
    for scenario, prefix, pool in (("created", "", POOL), ("open", "free_", DEFAULT_POOL)):
        for kind, calls, weight, before in (("calls", CALLS, 1, early), ("urgent", URGENT, 10, some_run)):
            early >> (planned := plan.override(task_id=f"plan_{prefix}{kind}")(scenario, calls))
            some = call.override(task_id=prefix + kind, pool=pool, priority_weight=weight).expand(number=planned)
            work.append(before >> some)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the tasks' own timestamps with the pools as they were."""
        calls = run.tasks("calls", "urgent", "free_calls", "free_urgent").select(state="success")
        page, orphan, oversized, neighbour = map(run.tasks, ("task_in_my_api_pool", "orphan", "oversized", "neighbour"))
        at, slots = (run.result("lift_limits_late")[key] for key in ("at", "slots"))
        done, freed = page.end.max(), calls.end.min()
        passed = int(((calls.scheduled <= done) & (calls.queued > max(done, freed))).sum())
        yield finding(
            "An EmptyOperator takes no pool slot",
            "the page's task is done without ever being queued, past calls that wait for a slot of the same pool",
            (share(page.queued > 0, "of it queued") == 0) & (reading(passed, "calls waiting", "task instances") > 0),
        )
        yield finding(
            "Pool slots bound how much runs at once",
            "the calls fill the pool's slots and never take one more",
            peak(calls, begin="queued", slots=True) == reading(run.pool(POOL).slots, "its slots", "pools over REST"),
        )
        yield finding(
            "A missing pool does not fall back to default_pool",
            "a task that names a missing pool waits until there is one, unlike its neighbour without a pool",
            (share(orphan.queued >= at, "orphans kept") == 1) & (share(neighbour.queued >= at, "neighbours kept") == 0),
        )
        yield finding(
            "default_pool is finite",
            "it has the configured slots; a task that wants one more waits until the pool is made infinite by hand",
            (reading(slots, f"slots of {DEFAULT_POOL}", "pools over REST") == DEFAULT_SLOTS)
            & (share(oversized.queued >= at, "oversized that waited", of=oversized) == 1),
        )
        held = run.tasks("calls", "free_calls").select(state="success")
        kept = share((held.scheduled < freed) & (held.queued >= freed), "scheduled until one ended", of=held)
        yield finding(
            "Waiting tasks are scheduled, in order of priority",
            "calls wait as scheduled, not as queued, and urgent ones overtake those that have waited for longer",
            (kept >= 0.5) & (overtakes(calls) > 0) & (inversions(calls) == 0),
        )

    work >> judge()
