"""# 14.10 DAG concurrency

**Purpose.** Bound how many runs of a DAG are active, and how many instances of one of its tasks in all of them.

**What to watch.** Five runs are created at once. Three of them become active; two are *queued* and have no task
scheduled. Each active run has two instances of `limited`: four run at once, in all runs together, and the rest stays
*scheduled*, though pool slots are free. `sibling`, a task of the same runs, names no limit and waits for nobody.

**Expected behaviour.** Each limit bounds what it names: the runs of this DAG, the instances of this task.

**Scenario `open`.** The same runs of a DAG that sets neither limit so low that it matters: nothing waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.queues import in_line, waited_in_line
from backpressure.measures.samples import reading

LESSON = "14_10_dag_concurrency"
ACTIVE_RUNS, ACROSS_RUNS, MANY = 3, 4, 64
RUNS, INSTANCES, SECONDS = 5, 2, 2.0


@task
def work(number: int) -> None:
    """What a run does."""
    time.sleep(SECONDS)


# [limits]
with DAG(dag_id="14_10_dag_concurrency__limited", schedule=None, max_active_runs=ACTIVE_RUNS):
    work.override(task_id="limited", max_active_tis_per_dag=ACROSS_RUNS).expand(number=list(range(INSTANCES)))
    work.override(task_id="sibling")(0)
# [/limits]
with DAG(dag_id="14_10_dag_concurrency__open", schedule=None, max_active_runs=MANY):
    work.override(task_id="limited", max_active_tis_per_dag=MANY).expand(number=list(range(INSTANCES)))
    work.override(task_id="sibling")(0)

with DAG(
    dag_id="14_10_dag_concurrency",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "concurrency", "success"],
    params={"scenario": Param("limited", enum=["limited", "open"])},
):

    @task(**CONTROL)
    def trigger_runs() -> None:
        """Create all runs at once, and wait until they are over."""
        run = Run.current()
        run.trigger_together((f"{LESSON}__{run.scenario}", f"run-{number}") for number in range(RUNS))
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__{run.scenario}"), seconds=180, every=0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare when runs and task instances were active with the limits that the DAG sets."""
        helper = f"{LESSON}__{run.scenario}"
        runs, limited, sibling = (
            run.runs(helper),
            *(run.helpers(helper, task_ids=[name]) for name in ("limited", "sibling")),
        )
        limit = reading(run.api.dag(helper)["max_active_runs"], "max_active_runs of the DAG", "DAGs over REST")
        yield finding(
            "max_active_runs bounds the runs of one DAG",
            "as many runs are active at once as the DAG allows, no more",
            (limit == ACTIVE_RUNS) & (peak(runs, "the runs") == ACTIVE_RUNS),
        )
        first_end = float(runs.end.min(initial=float("inf")))
        begun = int((sibling.scheduled <= first_end).sum()) if len(sibling) else None
        yield finding(
            "A run above the limit has no task scheduled",
            "when the first run ends, only as many runs as were active by then have had a task scheduled",
            reading(begun, "runs with a task scheduled by then", "task instances", at=first_end) == ACTIVE_RUNS,
        )
        yield finding(
            "max_active_tis_per_dag bounds a task in all runs together",
            "instances of the task hold slots up to the limit, which is more than one run has, and never one more",
            peak(limited, "limited, of all runs", begin="queued") == ACROSS_RUNS,
        )
        yield finding(
            "Only the task that names the limit waits for it",
            "above the limit an instance is queued when another has ended for it; its sibling never waits for one",
            (in_line(limited, ACROSS_RUNS, "instances above the limit that waited for an end") == 1)
            & (waited_in_line(sibling.select(sibling.scheduled < first_end), "siblings in the first runs") == 0),
        )

    trigger_runs() >> judge()
