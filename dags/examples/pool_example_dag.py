"""# Pools

**Purpose.** Assign tasks to a pool: the page's own example, `start >> task_in_my_api_pool >> end`, and beside it calls
that really take the pool's slots.

**What to watch.** Four things that older texts get wrong. The example's tasks are EmptyOperators: they are done without
a slot, even while `my_api_pool` is full. `orphan` names a pool that does not exist: it does not fall back to
`default_pool`, it stays *scheduled* until somebody makes the pool. `oversized` wants 129 slots of `default_pool`, which
has 128 and not infinitely many: it waits as well, until the pool is made infinite by hand (-1). And pools do decide the
order: calls wait as *scheduled*, not as queued, and a free slot goes to the heaviest.

**Expected behaviour.** Tasks run only while their pool has a free slot, the heaviest first.

**Scenario `open`.** The same tasks with every limit lifted beforehand: nothing waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import executor_wait, gate, inversions, overtakes, peak
from backpressure.measures.samples import reading, share
from backpressure.pools import DEFAULT_POOL, INFINITE

POOL, OTHER_POOL = "my_api_pool", "my_other_pool"
CALLS, URGENT, SECONDS = 6, 2, 1.5

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
    task_in_pool = EmptyOperator(task_id="task_in_my_api_pool", pool="my_api_pool", pool_slots=1)
    end = EmptyOperator(task_id="end")
    start >> task_in_pool >> end
    # [/page]

    def lift_limits(run: Run) -> None:
        """Make the pool that is missing, and give the default pool infinite slots."""
        run.create_pool(OTHER_POOL, 1)
        run.resize_pool(DEFAULT_POOL, INFINITE)

    @task(weight_rule="absolute")
    def call(number: int) -> None:
        """One call of the API."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def prepare() -> int:
        """Lift the limits beforehand where the scenario says so; returns the slots of the default pool."""
        run = Run.current()
        if run.scenario == "open":
            lift_limits(run)
        return run.pool(DEFAULT_POOL).slots

    @task(**CONTROL)
    def plan(scenario: str, calls: int) -> list[int]:
        """The calls of one scenario; none in the other."""
        return list(range(calls)) if Run.current().scenario == scenario else []

    @task(**CONTROL)
    def when_some_run() -> None:
        """Wait until calls run; from then on the pool is full."""
        run = Run.current()
        run.wait_for(lambda: "running" in run.states("calls", "free_calls"), seconds=60)

    @task(**CONTROL)
    def lift_when_over() -> float:
        """Lift the limits once all calls are over, or after a minute; returns when that was."""
        run = Run.current()
        try:
            run.wait_for(lambda: run.over("calls", "free_calls", "urgent", "free_urgent"), seconds=60)
        finally:
            at = time.time()
            lift_limits(run)
        return at

    # [pools]
    more_than_all = conf.getint("core", "default_pool_task_slot_count") + 1
    orphan = call.override(task_id="orphan", pool=OTHER_POOL)(0)
    oversized = call.override(task_id="oversized", pool_slots=more_than_all)(0)
    neighbour = call.override(task_id="neighbour")(0)
    # [/pools]
    prepared, some_run, lifted = prepare(), when_some_run(), lift_when_over()
    prepared >> [orphan, oversized, neighbour, some_run, lifted]
    some_run >> start
    calls = []
    for scenario, prefix, pool in (("created", "", POOL), ("open", "free_", DEFAULT_POOL)):
        light = plan.override(task_id=f"plan_{prefix}calls")(scenario, CALLS)
        heavy = plan.override(task_id=f"plan_{prefix}urgent")(scenario, URGENT)
        prepared >> light
        some_run >> heavy
        calls.append(call.override(task_id=f"{prefix}calls", pool=pool).expand(number=light))
        calls.append(call.override(task_id=f"{prefix}urgent", pool=pool, priority_weight=10).expand(number=heavy))

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the tasks' own timestamps with the pools as they were."""
        calls = run.tasks("calls", "urgent", "free_calls", "free_urgent").select(state="success")
        page, orphan, oversized, neighbour = map(run.tasks, (task_in_pool.task_id, "orphan", "oversized", "neighbour"))
        lifted, slots = run.result("lift_when_over"), run.result("prepare")
        passed = (calls.scheduled <= page.end.max()) & (calls.queued > page.end.max())
        yield finding(
            "An EmptyOperator takes no pool slot",
            "the page's task is done without ever being queued, past calls that wait for a slot of the same pool",
            (share(page.queued > 0, "of it queued") == 0)
            & (reading(int(passed.sum()), "calls that waited then", "task instances") > 0),
        )
        yield finding(
            "Pool slots bound how much runs at once",
            "the calls fill the pool's slots and never take one more",
            peak(calls, "the calls", begin="queued", slots=True)
            == reading(run.pool(POOL).slots, f"slots of {POOL}", "pools over REST"),
        )
        yield finding(
            "A missing pool does not fall back to default_pool",
            "a task that names a missing pool waits until there is one, unlike its neighbour without a pool",
            (share(orphan.queued >= lifted, "orphans that waited") == 1)
            & (share(neighbour.queued >= lifted, "neighbours that waited") == 0),
        )
        yield finding(
            "default_pool is finite",
            "it has the configured slots; a task that wants one more waits until the pool is made infinite by hand",
            (reading(slots, f"slots of {DEFAULT_POOL}", "pools over REST") == more_than_all - 1)
            & (share(oversized.queued >= lifted, "oversized tasks that waited") == 1),
        )
        yield finding(
            "Waiting tasks are scheduled, in order of priority",
            "calls wait as scheduled, not as queued, and urgent ones overtake those that have waited for longer",
            (gate(calls, "max", "the calls") > executor_wait(calls, "max", "the calls"))
            & (overtakes(calls, "the calls") > 0)
            & (inversions(calls, "the calls") == 0),
        )

    [*calls, orphan, oversized, neighbour, lifted, end] >> judge()
