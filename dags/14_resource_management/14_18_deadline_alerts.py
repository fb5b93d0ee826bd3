"""# 14.18 Pattern 4: a deadline instead of an SLA

**Purpose.** Be told when a run is late. `sla=` does that no more: Airflow 3 accepts it, warns, and ignores it. What
there is instead is a `DeadlineAlert` on the DAG.

**What to watch.** Two runs with one deadline: a short one, and one that goes on until somebody is told that it is late.
The first ends in time and nobody hears of it. Of the second the alert tells once, while it still runs; and nothing else
happens to it, for an alert neither stops a run nor gives it a slot sooner.

**Expected behaviour.** One message for each run that is late, at its deadline or soon after, and none for the others.

**Scenario `sla_only`.** The same runs, with an `sla` of one second on each task instead: nobody is told anything.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, Param, SyncCallback, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures.samples import reading, share

LESSON = "14_18_deadline_alerts"
ALLOWED, PATIENCE = timedelta(seconds=4), 24.0  # from the run's being queued; s for which the late run goes on at most


# [deadline]
def tell(context: dict[str, Any]) -> None:
    """Send a message that names the run; called in an executor, where Airflow lets nobody read a connection."""
    dag_run, deadline = context["dag_run"], context["deadline"]
    lesson_run, _, label = dag_run["dag_run_id"].rpartition("__")
    pager = Upstream(lesson_run, base_url=dag_run["conf"]["pager"])
    pager.notify({"late": label, "deadline": str(deadline["deadline_time"])})


DEADLINE = DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=ALLOWED, callback=SyncCallback(tell))
# [/deadline]


@task
def work() -> None:
    """Go on until somebody was told that this run is late, or nobody for so long."""
    lesson_run, until = Run.current().run_id.rpartition("__")[0], time.monotonic() + PATIENCE
    while time.monotonic() < until and not Upstream(lesson_run).notifications():
        time.sleep(0.5)


for name, settings, sla in (("deadline", {"deadline": DEADLINE}, None), ("sla_only", {}, timedelta(seconds=1))):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all that comes of sla=: "The SLA feature is removed in Airflow 3.0"
        with DAG(dag_id=f"14_18_deadline_alerts__late_{name}", schedule=None, **settings):
            work.override(sla=sla)()
        with DAG(dag_id=f"14_18_deadline_alerts__short_{name}", schedule=None, **settings):
            # The scheduler itself does this task: the run is in time however busy the machine is.
            EmptyOperator(task_id="work", sla=sla)  # noqa: AIR311 - that it does nothing is what is shown

with DAG(
    dag_id="14_18_deadline_alerts",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "deadline", "pattern", "success"],
    params={"scenario": Param("deadline", enum=["deadline", "sla_only"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Let both runs come, and wait until they are over."""
        run = Run.current()
        helpers = {label: f"{LESSON}__{label}_{run.scenario}" for label in ("short", "late")}
        for label, helper in helpers.items():
            run.trigger(helper, label, pager=Upstream(run.run_id).endpoint.base_url)
        run.wait_for(lambda: all(map(run.helper_runs_over, helpers.values())), seconds=120, every=0.5)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the messages that arrived with the runs, and with when these ended."""
        short, late = (run.runs(f"{LESSON}__{label}_{run.scenario}") for label in ("short", "late"))
        told = Upstream(run.run_id).notifications()
        of_late, of_short = ([note for note in told if note["body"]["late"] == label] for label in ("late", "short"))
        once = reading(len(of_late) if len(late) else None, "messages of the late run", "upstream log") == 1
        yield finding(
            "A late run is told of, once",
            "of the run that goes on past its deadline there is one message, of the run that ends in time none",
            once & (reading(len(of_short) if len(short) else None, "messages of the short run", "upstream log") == 0),
        )
        due = [datetime.fromisoformat(note["body"]["deadline"]).timestamp() for note in of_late]
        set_for = [one - ALLOWED.total_seconds() - late.scheduled[0] for one in due]
        after = [note["at"] > one for note, one in zip(of_late, due, strict=True)]
        yield finding(
            "The deadline counts from when the run was queued",
            "the alert names the instant at which the run was queued and so much later, and comes after it",
            once
            & (share((abs(seconds) < 1 for seconds in set_for), "deadlines at that instant") == 1)
            & (share(after, "messages that came after it", "upstream log") == 1),
        )
        in_time = sum(note["at"] < late.end[0] for note in of_late) if len(late) else None
        yield finding(
            "It tells while the run goes on, and stops nothing",
            "the message comes before the run ends, and the run ends well all the same",
            (reading(in_time, "messages before the run's end", "upstream log") == 1)
            & (share(late.state.isin("success"), "late runs that end well") == 1),
        )

    conduct() >> judge()
