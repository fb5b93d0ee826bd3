"""# 106.2.2 max_active_runs Configuration

**Purpose.** Limit concurrent DAG runs: six runs of a DAG that allows two at once, and beside them more runs than the
deployment allows of a DAG that sets no limit of its own.

**What to watch.** All runs are triggered at once. Two of the `batch` run; the other four are *queued*: a queued run has
no task scheduled, takes no slot, and is not refused, however many there are. As soon as one run ends, the run that was
triggered first among those waiting takes its place: three waves. The runs of the DAG without a setting stop at
`[core] max_active_runs_per_dag`, which is 16 unless the deployment says otherwise.

**Expected behaviour.** Controlled DAG concurrency: never more runs than the limit, the others wait in their order.

**Scenario `unlimited`.** The same runs of a DAG that allows far more than there are: nobody waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import depth, duration, makespan, peak
from backpressure.measures.samples import reading, share

LESSON = "106_02_02_max_active_runs"
LIMIT, MANY = 2, 64
RUNS, SECONDS = 6, 4.0
# [limits]
LIMITS = {"limited": {"max_active_runs": LIMIT}, "default": {}, "unlimited": {"max_active_runs": MANY}}
# [/limits]
# Of which helper DAG the six runs of the batch are, and of which the many plain ones.
HELPERS = {"limited": ("limited", "default"), "unlimited": ("unlimited", "unlimited")}


@task
def work() -> None:
    """What a run does."""
    time.sleep(SECONDS)


for name, limit in LIMITS.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, **limit):
        work()

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("limited", enum=["limited", "unlimited"])},
):

    @task(**CONTROL)
    def trigger_runs() -> dict[str, int]:
        """Trigger the batch, and two runs more than the deployment's default allows; wait until all are over."""
        run = Run.current()
        batch, plain = (f"{LESSON}__{name}" for name in HELPERS[run.scenario])
        default = conf.getint("core", "max_active_runs_per_dag")
        runs = [(batch, f"batch-{number}") for number in range(RUNS)]
        run.trigger_together(runs + [(plain, f"plain-{number}") for number in range(default + 2)])
        run.wait_for(lambda: run.helper_runs_over(batch, plain), seconds=240, every=0.5)
        return {"default": default}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the runs' own timestamps with the limits of their DAGs."""
        batch_dag, plain_dag = (f"{LESSON}__{name}" for name in HELPERS[run.scenario])
        batch, plain = run.runs(batch_dag, "batch"), run.runs(plain_dag, "plain")
        tasks = run.helpers(batch_dag, label="batch")
        default = reading(run.result("trigger_runs")["default"], "max_active_runs_per_dag", "configuration")
        limit_of = {name: run.api.dag(name)["max_active_runs"] for name in (batch_dag, plain_dag)}
        yield finding(
            "Set max_active_runs per DAG",
            "the DAG's own limit is what Airflow knows of it, and as many of its runs as that are active at once",
            (reading(limit_of[batch_dag], "max_active_runs of the batch's DAG", "DAGs over REST") == LIMIT)
            & (peak(batch, "the batch's runs") == LIMIT),
        )
        yield finding(
            "Global default configuration",
            "a DAG that sets nothing has the deployment's default, and its runs stop exactly there",
            (reading(limit_of[plain_dag], "max_active_runs of the plain DAG", "DAGs over REST") == default)
            & (peak(plain, "the plain runs") == default),
        )
        yield finding(
            "Impact on scheduling",
            "the batch takes as many waves as the limit makes of it, though each run is as short as ever",
            makespan(batch, "the batch") / duration(batch, label="one run") >= 0.8 * RUNS / LIMIT,
        )
        first_end = float(batch.end.min())
        busy = int((tasks.scheduled <= first_end).sum())
        yield finding(
            "Queue behavior",
            "when the first run ends, all beyond the limit still wait as queued, and none of them has a task scheduled",
            (depth(batch, "the batch's runs", at=first_end) == RUNS - LIMIT)
            & (reading(busy, "runs with a task scheduled by then", "task instances") == LIMIT),
        )
        started = batch.start[batch.order("scheduled")]
        yield finding(
            "Run queuing patterns",
            "runs start in the order in which they were triggered, each beyond the limit only after another has ended",
            (share(started[1:] >= started[:-1], "runs that started after the one before", "DAG runs") == 1)
            & (share(started[LIMIT:] >= sorted(batch.end)[:-LIMIT], "runs that waited for an end", "DAG runs") == 1),
        )

    trigger_runs() >> judge()
