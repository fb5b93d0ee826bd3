"""# 14.12 Global concurrency settings

**Purpose.** See what the deployment's defaults bound, and what a DAG's own setting makes of them.

**What to watch.** `plain` sets nothing, so it has `[core] max_active_tasks_per_dag`; its run has two tasks more than
that, and these two wait. `pair` sets two for itself: each of its two runs has two tasks active, so the DAG has four,
for the limit is one of a *run*, whatever the setting's name says.

**Expected behaviour.** A default binds DAGs that say nothing; a DAG's own value goes before it; both count per run.

**Scenario `override`.** The same runs of a DAG that allows itself 64 active tasks: nothing waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow.configured import configured
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.samples import reading

LESSON, GATE = "14_12_global_settings", Upstream("global_settings", timeout=120)
DEFAULT = conf.getint("core", "max_active_tasks_per_dag")
OWN, MANY, MORE = 2, 64, 2
# [settings]
# For each helper DAG what it sets, and how many tasks its runs have.
SETTINGS = {
    "plain": ({}, DEFAULT + MORE),
    "pair": ({"max_active_tasks": OWN}, OWN + 1),
    "plain_wide": ({"max_active_tasks": MANY}, DEFAULT + MORE),
    "pair_wide": ({"max_active_tasks": MANY}, OWN + 1),
}
# [/settings]
HELPERS = {"defaults": ("plain", "pair"), "override": ("plain_wide", "pair_wide")}
active = partial(peak, begin="queued", finish="end")


def handed_over(run: Run, *helpers: str) -> int:
    """How many tasks of the helper runs are queued or running."""
    return sum(record["state"] in ("queued", "running") for record in run.helper_records(*helpers))


@task
def work(number: int) -> None:
    """Wait at the gate, so that as many are active at once as may be, however slowly they start."""
    GATE.call()


for name, (setting, tasks) in SETTINGS.items():
    with DAG(dag_id=f"14_12_global_settings__{name}", schedule=None, **setting):
        work.expand(number=list(range(tasks)))

with DAG(
    dag_id="14_12_global_settings",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "concurrency", "success"],
    params={"scenario": Param("defaults", enum=["defaults", "override"])},
):

    @task(**CONTROL)
    def trigger_runs() -> None:
        """Create a run of the first helper and two of the second; open the gate when all are active that may be."""
        run = Run.current()
        plain, pair = (f"{LESSON}__{name}" for name in HELPERS[run.scenario])
        runs = [(plain, "plain"), (pair, "pair-1"), (pair, "pair-2")]
        sizes = [(run.api.dag(dag)["max_active_tasks"], SETTINGS[dag.rpartition("__")[2]][1]) for dag, _ in runs]
        may_be = sum(min(limit, tasks) for limit, tasks in sizes)
        with GATE.shut():
            run.trigger_together(runs)
            run.wait_for(lambda: handed_over(run, plain, pair) >= may_be, seconds=90)
            time.sleep(2.0)  # time for more, if the limits let more through
        run.wait_for(lambda: run.helper_runs_over(plain, pair), seconds=180, every=0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare how many tasks were active with the configuration, and with the DAGs' own settings."""
        plain_dag, pair_dag = (f"{LESSON}__{name}" for name in HELPERS[run.scenario])
        plain, first, second = (
            run.helpers(dag, label=label)
            for dag, label in ((plain_dag, "plain"), (pair_dag, "pair-1"), (pair_dag, "pair-2"))
        )
        default = configured("core", "max_active_tasks_per_dag")
        limits = (run.api.dag(dag)["max_active_tasks"] for dag in (plain_dag, pair_dag))
        of_plain, of_pair = (reading(value, "max_active_tasks", "DAGs over REST") for value in limits)
        yield finding(
            "A DAG that sets nothing has the default",
            "its limit is the configured one, and its run has exactly as many tasks active",
            (of_plain == default) & (active(plain, "the plain run's tasks") == default),
        )
        late = int((plain.queued >= plain.end.min(initial=float("inf"))).sum()) if len(plain) else None
        yield finding(
            "What is above the default waits",
            "the tasks beyond the limit are queued only after others of the run have ended",
            reading(late, "tasks that waited for an end", "task instances") >= MORE,
        )
        yield finding(
            "A DAG's own setting goes before the default",
            "a run of a DAG that allows fewer has fewer active",
            (of_pair == OWN) & (active(first, "the first of the pair") == OWN),
        )
        yield finding(
            "The limit is one of a run, not of the DAG",
            "two runs at once have twice as many tasks active as the setting says",
            active(first | second, "both of the pair") == 2 * OWN,
        )

    trigger_runs() >> judge()
