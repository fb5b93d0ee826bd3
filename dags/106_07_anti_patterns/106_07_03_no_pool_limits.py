"""# 106.7.3 No pool limits

**Purpose.** Demonstrate unlimited concurrency risks: eight jobs open two database connections each and call a partner
that serves two at once. Nothing says how many of them may run.

**What to watch.** All eight start. Six at most get the connections that they need, as the database's role may hold
twelve; the others are refused, and fail. The partner refuses calls, too, and is called again and again. The `quick`
tasks stand behind it all: the run has room for nine tasks, and eight jobs and a watcher take it.

**Expected behaviour.** Pool limits understood. By default the run fails. In `fixed` the same jobs share a pool of two
slots: two times two connections and two calls fit, there is room for quick tasks, and nothing is refused.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.patience import connect_within
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count, peak, utilisation
from backpressure.measures.samples import most, reading, share
from backpressure.measures.upstream import requests

# Connections of a job, s of its call, s to wait for one. However the jobs come between each other, the role's twelve
# are enough for four of them: eight that hold one each leave four.
JOBS, QUICK, EACH, SECONDS, PATIENCE = 8, 3, 2, 6.0, 2.0
CAPACITY, ROOM = 2, JOBS + 1  # calls at once, tasks at once
LESSON = "106_07_03_no_pool_limits"
PARTNER = Upstream("no_pool_limits", timeout=30.0)
# [pool]
POOL, SLOTS = "no_pool_limits", 2  # no more than CAPACITY, and than the role's connections // EACH
# [/pool]
TAGS = ["reference", "anti-pattern", "beginner", "failure"]
PARAMS = {"scenario": Param("broken", enum=["broken", "fixed"])}

with DAG(LESSON, schedule=None, max_active_runs=1, max_active_tasks=ROOM, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool, and a partner that refuses what it cannot serve at once."""
        Run.current().create_pool(POOL, SLOTS)
        return PARTNER.begin(capacity=CAPACITY, queue_limit=0, service_time=SECONDS)

    @task(**CONTROL)
    def watch() -> dict[str, Any]:
        """Count the role's connections until the jobs are over."""
        from backpressure.airflow.database import Sessions  # noqa: PLC0415 - parsing needs no database driver

        run, sessions = Run.current(), Sessions()
        seen = run.sample(lambda: sessions.sample(role="lab"), lambda: run.over("job", "job_in_pool"), 120, 0.25)
        return {"limit": sessions.limit("lab"), "samples": seen}

    @task(**CONTROL)
    def plan(scenario: str) -> list[int]:
        """The jobs of one scenario, once they are watched; none in the other."""
        run = Run.current()
        run.wait_for(lambda: run.started("watch"), seconds=60)
        return list(range(JOBS)) if run.scenario == scenario else []

    # [job]
    @task(weight_rule="absolute", priority_weight=2)
    def job(number: int) -> None:
        """Hold some connections while the partner works."""
        with ExitStack() as held:
            for _ in range(EACH):
                held.enter_context(closing(connect_within(PATIENCE, PARTNER.notify, application=LESSON)))
            while not PARTNER.call(key=f"job-{number}", check=False).ok:
                time.sleep(0.5)

    # [/job]
    @task(weight_rule="absolute", priority_weight=1)
    def quick(number: int) -> None:
        """Something small that needs neither database nor partner."""

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the database, the partner and the scheduler had to give with what was asked of them."""
        since, watched = run.result("prepare"), run.result("watch")
        log, told = PARTNER.log(since=since), [note["body"] for note in PARTNER.notifications(since=since)]
        jobs = run.tasks("job", "job_in_pool").select(state=("success", "failed"))
        held = most(watched["samples"], "total", "connections of the role at most", "database")
        yield finding(
            "Resource exhaustion", "the jobs take every connection that the role may hold", held >= watched["limit"]
        )
        overload = requests(log, "calls refused", status=503)
        yield finding(
            "External system overload", "more jobs call than the partner serves, and it refuses", overload > 0
        )
        refused, lost = (len(told), sum(one["gives_up"] for one in told)) if len(jobs) else (None, None)
        refusals = reading(refused, "connections refused (53300)", "database")
        yield finding(
            "Database connection limits",
            "the database refuses connections, and that is why jobs fail",
            (refusals >= 1) & (count(jobs, "failed", "jobs") == reading(lost, "jobs that gave up", "database")),
        )
        quick = run.tasks("quick")
        behind = share(quick.queued >= jobs.end.min(initial=float("inf")), "quick tasks behind a job", of=quick)
        yield finding("Worker starvation", "quick tasks start only when a job has ended", behind == 1)
        yield finding(
            "Pool configuration fix",
            "a pool smaller than both limits: nothing is refused, all jobs succeed, and its slots are well used",
            (refusals == 0)
            & (overload == 0)
            & (count(jobs, "success", "jobs") == JOBS)
            & (peak(jobs, "jobs") <= SLOTS)
            & (utilisation(jobs, SLOTS, label="jobs") >= 0.6),
        )

    planned = [plan.override(task_id=f"plan_{scenario}")(scenario) for scenario in ("broken", "fixed")]
    unlimited = job.expand(number=planned[0])
    pooled = job.override(task_id="job_in_pool", pool=POOL).expand(number=planned[1])
    prepare() >> [*planned, watching := watch()]
    planned >> (beside := quick.expand(number=list(range(QUICK))))
    [unlimited, pooled, beside, watching] >> judge()
