"""# 106.1.5 Executor capacity limits

**Purpose.** Understand executor constraints: more tasks than processes, connections and a link can take.
**What to watch.** Every task connects to the database and then calls an upstream that keeps all callers waiting until
the lesson opens it, so that as many run at once as can; the others stay *queued*. Then all answers come over one link.
**Expected behaviour.** Executor limits understood. In scenario `light` one task goes to each executor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow import machine
from backpressure.airflow.configured import configured
from backpressure.airflow.database import Sessions, TooManyConnectionsError, connect
from backpressure.airflow.evidence import evidence
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import depth, peak
from backpressure.measures.samples import fall, most, reading, share
from backpressure.measures.symptoms import download_rate

LESSON = "106_01_05_executor_limits"
BELOW = ("local below scheduler", "celery below worker")
PARALLELISM = conf.getint("core", "parallelism")
LOADS = {"saturate": (PARALLELISM + 2, 4), "light": (1, 1)}  # tasks for LocalExecutor and for Celery's queue


# [hold]
@task
def hold(kind: str, run_id: str | None = None) -> None:
    """Take a connection if there is one, then wait for the upstream; its log keeps which part of the lab called."""
    with ExitStack() as stack:
        path = "connected"
        try:
            stack.enter_context(closing(connect(application=LESSON)))
        except TooManyConnectionsError:
            path = "refused"
        Upstream(str(run_id), timeout=120).call(path, key=f"{kind} below {machine.part_of()}")


for name, (local, celery) in LOADS.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_tasks=64):
        hold.override(task_id="celery", executor="CeleryExecutor", queue="default").expand(kind=["celery"] * celery)
        hold.override(task_id="local").expand(kind=["local"] * local)
# [/hold]

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("saturate", enum=["saturate", "light"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, Any]:
        """Shut the upstream, let the tasks come, look when all is full, and open it. This task takes a process, too."""
        run, sessions = Run.current(), Sessions()
        helper, lane, limit = f"{LESSON}__{run.scenario}", Upstream(f"{run.run_id}__load"), sessions.limit("lab")
        link = lane.configure(service_time=0.0, body_size=100_000, link_rate=1_000_000)["link_rate"]
        lane.call("alone")
        processes = sum(len(run.workers.processes(worker)) for worker in run.workers.serving("default"))
        full = sum(map(min, LOADS[run.scenario], (PARALLELISM - 1, processes)))
        with lane.shut():
            run.trigger(helper, "load")
            run.wait_for(lambda: lane.state()["waiting"] >= full, seconds=90)
            samples = run.sample(lambda: sessions.sample(role="lab"), lambda: False, seconds=2.0)
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=60)
        return {"samples": samples, "limit": limit, "processes": processes, "link": link}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was held at once, by timestamps, sessions and the upstream's log, with each limit."""
        seen, tasks = run.result("conduct"), run.helpers(f"{LESSON}__{run.scenario}")
        log, full = Upstream(f"{run.run_id}__load").log(), seen["samples"][-1]["at"]
        local, celery = (tasks.select(task_id=name) for name in ("local", "celery"))
        processes = reading(seen["processes"], "processes of the queue's workers", "Celery's remote control")
        yield finding(
            "Worker availability",
            "as many Celery tasks run at once as the workers of their queue have processes; the others wait, queued",
            (peak(celery, "Celery tasks") == processes) & (depth(celery, "Celery tasks", at=full) >= 1),
        )
        yield finding(
            "Parallelism settings",
            "LocalExecutor runs as many tasks at once as its parallelism says, this lesson's own included; three wait",
            (peak(local | run.tasks("conduct"), "local tasks") == configured("core", "parallelism"))
            & (depth(local, at=full) == 3),
        )
        granted = most(seen["samples"], "total", "connections of the role", "pg_stat_activity")
        yield finding(
            "Resource quotas",
            "the database grants the role's limit of connections, and refuses the tasks beyond it (SQLSTATE 53300)",
            (granted == reading(seen["limit"], "limit of the role", "pg_roles"))
            & (reading(log.count(path="refused"), "tasks that were refused", "upstream log") >= 1),
        )
        together = log.select(path=["connected", "refused"], until=full)
        yield finding(
            "Network bandwidth",
            "downloads that run together get less than a quarter each of what one gets alone, and fill the link",
            (download_rate(together, "together") < 0.25 * download_rate(log.select(path="alone"), "alone"))
            & download_rate(together, "in all", total=True).near(seen["link"], 0.2),
        )
        told, span, gauge = Metrics(), (log.arrival[0], full), "executor.open_slots.{}Executor".format
        fell = fall(told.matching(gauge("Celery"), *span), "fall of Celery's open slots")
        still = fall(told.matching(gauge("Local"), *span), "fall of Local's open slots")
        yield finding(
            "Executor-specific limits",
            "tasks have another parent under each executor; Celery keeps account of all it was handed, Local of none",
            (share((key.startswith(BELOW) for key in together.key), "tasks below their executor", "process tree") == 1)
            & ((fell > processes) & (still == 0)),
        )

    conduct() >> judge()
