"""# 106.5.1 Backpressure metrics dashboard

**Purpose.** Visualize backpressure indicators: a dashboard of four panels, drawn of what Airflow sends to StatsD.

**What to watch.** Three tasks fill a pool of three slots; then 15 come at once. The panels show it, an alert goes out
when the queue is too long, and the findings read the picture itself, which is kept in `.lab/airflow/artifacts/`.

**Expected behaviour.** Clear backpressure visibility. In scenario `blind` the panels show what many dashboards begin
with, the executor's queue and tasks and how long tasks take: they stay flat while 15 tasks wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.panels import changes, points
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.dashboard import Panel, draw, read
from backpressure.findings import Finding, finding
from backpressure.measures import gate
from backpressure.measures.panels import agrees, followed, panel_mean, panel_quantile, real_mean, spacing
from backpressure.measures.planning import crossing
from backpressure.measures.samples import reading

DAG_ID = "106_05_01_metrics_dashboard"
POOL, SLOTS = "metrics_dashboard", 3
EARLY, LATE, SECONDS, DEEP = 3, 15, 6.0, 4
# [panels]
GAUGES = {
    "wired": {
        "depth": (f"pool.scheduled_slots.{POOL}",),
        "used": (f"pool.running_slots.{POOL}", f"pool.queued_slots.{POOL}"),
        "lag": (f"dag.{DAG_ID}.late.scheduled_duration",),
    },
    "blind": {
        "depth": ("executor.queued_tasks.LocalExecutor",),
        "used": ("executor.running_tasks.LocalExecutor",),
        "lag": (f"dag.{DAG_ID}.late.duration",),
    },
}
# [/panels]


with DAG(
    dag_id="106_05_01_metrics_dashboard",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("wired", enum=["wired", "blind"])},
):

    @task(pool=POOL)
    def work(number: int) -> None:
        """Hold a slot for a while."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def rush() -> list[int]:
        """Let the many come once the few have started, and a gauge has been received since."""
        (run := Run.current()).create_pool(POOL, SLOTS)
        run.wait_for(lambda: run.started("early", "dashboard") == EARLY + 1, seconds=60)
        began = time.time()
        run.wait_for(lambda: points(GAUGES["wired"]["depth"], began), seconds=60)
        return list(range(LATE))

    @task(**CONTROL)
    def dashboard(dag_run: Any = None) -> str:
        """Read the gauges while the work goes on, alert by what the depth panel shows, and draw the panels."""
        began, alerts, names = dag_run.start_date.timestamp(), [], GAUGES[(run := Run.current()).scenario]

        def look() -> float:
            at, depth = (points(names["depth"], began) or [(0.0, 0.0)])[-1]
            if depth > DEEP and not alerts:
                Upstream(run.run_id).notify({"depth": depth, "at": at, "limit": DEEP})
                alerts.append((time.time(), "alert"))
            return at

        run.sample(look, until=lambda: run.over("early", "late"), seconds=120)
        ended = time.time()
        run.wait_for(lambda: look() > ended, seconds=30)
        depth, lag, used = (points(names[panel], began) for panel in ("depth", "lag", "used"))
        panels = [
            Panel("Queue depth", depth, "tasks", limit=DEEP),
            Panel("Lag", [(at, ms / 1000) for at, ms in lag], "s"),
            Panel("Utilisation", [(at, slots / SLOTS) for at, slots in used], "of the slots", limit=1),
            Panel("Trend", changes(depth), "tasks/s"),
        ]
        picture = draw(panels, title=f"Backpressure, pool {POOL}, scenario {run.scenario}", marks=alerts)
        print("the dashboard is in", keep(f"{DAG_ID}.{run.scenario}.svg", picture))
        return picture

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the drawn panels show with the task instances' own timestamps."""
        depth, lag, used, trend = read(run.result("dashboard")).values()
        work, notes = run.tasks("early", "late"), Upstream(run.run_id).notifications()
        queue, taken = work.concurrency("scheduled", "queued"), work.concurrency("queued", "end")
        shown = agrees(depth.points, queue, "Queue depth") >= 0.75
        yield finding("Queue depth charts", "the panel shows, give or take one, how many tasks waited", shown)
        lags = panel_quantile(lag, 0.95).near(gate(run.tasks("late"), "p95"), 0.1)
        yield finding("Lag time metrics", "the panel's lags are what tasks waited for a slot", lags)
        used_so = panel_mean(used, taken).near(real_mean(used, taken, SLOTS), 0.2)
        yield finding("Resource utilization", "the slots are used as the panel says", used_so)
        yield finding("Trend analysis", "the panel shows how the queue grew and shrank", followed(trend, work) >= 0.75)
        told = [(note["body"]["at"], note["body"]["depth"]) for note in notes]
        wait = -1 * crossing(work, DEEP + 1, told[0][0] if told else float("nan"), "tasks", finish="queued")
        alerted = shown & (reading(len(notes) if len(work) else None, "alerts delivered", "upstream log") == 1)
        alerted &= wait.named("from too many waiting to the gauge that alerts") <= spacing(depth) + 2
        alerted &= agrees(told, queue, "alerts") == 1
        yield finding("Alerting integration", "a panel that is right sends one alert, by its next gauge", alerted)

    few, many = (work.override(task_id=name) for name in ("early", "late"))
    [few.expand(number=list(range(EARLY))), many.expand(number=rush()), dashboard()] >> judge()
