"""# 14.11 Task concurrency

**Purpose.** Bound the instances of one task twice: in each run, and in all runs of the DAG together.

**What to watch.** Two runs of four instances each. A run may have two at once, and both together three, so one of them
has to make do with one for a while. What is above a limit stays *scheduled*; `sibling`, which names no limit, starts at
once. `jobs` may run one at a time in a run. A job is *deferred* most of its time, in which it holds no slot and no
worker: it counts all the same, and the second waits for the first to end.

**Expected behaviour.** The smaller of the two limits binds, and a deferred instance counts, here towards the limit of
its run.

**Scenario `unlimited`.** The same runs without these limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.jobs import JobOperator
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.queues import waited_in_line
from backpressure.measures.samples import share

LESSON = "14_11_task_concurrency"
PER_DAG, PER_RUN = 3, 2
RUNS, INSTANCES, SECONDS = ("first", "second"), 4, 2.0
JOB: dict[str, Any] = {"lane": "task_concurrency", "seconds": 2.0, "deferrable": True}
# [limits]
LIMITS: dict[str, dict[str, Any]] = {
    "limited": {"max_active_tis_per_dag": PER_DAG, "max_active_tis_per_dagrun": PER_RUN},
    "unlimited": {},
}
ONE: dict[str, dict[str, Any]] = {"limited": {"max_active_tis_per_dagrun": 1}, "unlimited": {}}
# [/limits]


@task
def work(number: int) -> None:
    """Some work."""
    time.sleep(SECONDS)


for name, limits in LIMITS.items():
    with DAG(dag_id=f"14_11_task_concurrency__{name}", schedule=None):
        work.override(task_id="instances", **limits).expand(number=list(range(INSTANCES)))
        work.override(task_id="sibling")(0)
        JobOperator.partial(task_id="jobs", **JOB, **ONE[name]).expand(name=["one", "another"])

with DAG(
    dag_id="14_11_task_concurrency",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "concurrency", "success"],
    params={"scenario": Param("limited", enum=["limited", "unlimited"])},
):

    @task(**CONTROL)
    def trigger_runs() -> None:
        """Create both runs at once, and wait until they are over."""
        run = Run.current()
        run.trigger_together((f"{LESSON}__{run.scenario}", label) for label in RUNS)
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__{run.scenario}"), seconds=180, every=0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare how many instances were active at once, in each run and together, with the limits."""
        one, other = (run.helpers(f"{LESSON}__{run.scenario}", label=label) for label in RUNS)
        first, second = (tasks.select(task_id="instances") for tasks in (one, other))
        siblings, ended = (one | other).select(task_id="sibling"), (first | second).end.min(initial=float("inf"))
        yield finding(
            "max_active_tis_per_dagrun bounds a task in each run",
            "no run ever has more instances active than the limit, though three are active in both",
            (peak(first, "the first run's", begin="queued") <= PER_RUN)
            & (peak(second, "the second run's", begin="queued") <= PER_RUN)
            & (peak(first | second, "both runs'", begin="queued") > PER_RUN),
        )
        yield finding(
            "max_active_tis_per_dag bounds it in all runs",
            "both runs together have as many active as this limit says, less than the two runs might have by theirs",
            peak(first | second, "both runs'", begin="queued") == PER_DAG,
        )
        yield finding(
            "What is above a limit waits, and nothing else does",
            "more than half of the instances are queued only after another has ended; no sibling waits for any of them",
            (waited_in_line(first | second, "instances") > 0.5)
            & (share(siblings.queued >= ended, "siblings that waited", of=siblings) == 0),
        )
        jobs = [tasks.select(task_id="jobs") for tasks in (one, other)]
        yield finding(
            "A deferred instance counts",
            "each job is deferred and resumed, and yet the second of a run starts only after the first has ended",
            (share((jobs[0] | jobs[1]).resumed, "jobs that were deferred") == 1)
            & (peak(jobs[0], "the first run's jobs") == 1)
            & (peak(jobs[1], "the second run's jobs") == 1),
        )

    trigger_runs() >> judge()
