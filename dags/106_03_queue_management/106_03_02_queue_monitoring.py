"""# 106.3.2 Queue depth monitoring

**Purpose.** Monitor queue health: see how many tasks wait for a pool, tell normal from overload, and plan the slots.
**What to watch.** Three small waves of work make the history that a threshold is taken from. Then waves grow, and there
is one alert. At last the largest comes again, with the slots that its size, service time and target wait ask for.
**Expected behaviour.** Queue visibility. In scenario `steady` all waves are small: no alert, no trend, no more slots.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.history import DepthHistory
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import depth, gate, growth, start_rate
from backpressure.measures.monitoring import alerts_sent, samples_until_alert
from backpressure.measures.planning import hold
from backpressure.measures.samples import agreement, reading

LESSON = "106_03_02_queue_monitoring"
POOL, SLOTS, SMALL, APART, WITHIN = "queue_monitoring", 2, 3, 3.0, 240.0  # the last: s, on the slowest of machines
PATIENCE, USED = 4, 0.4  # the target wait, in times that a task takes up a slot; how much of it a plan may use
WAVES = {"ramp": [SMALL, 6, 12], "steady": [SMALL] * 3}
DAGS = {f"{LESSON}__{size}": size for sizes in WAVES.values() for size in sizes}

for size in DAGS.values():
    with DAG(dag_id=f"{LESSON}__{size}", schedule=None):
        BashOperator.partial(task_id="work", pool=POOL).expand(bash_command=["sleep 2"] * size)

TAGS = ["reference", "patterns", "intermediate", "success"]
PARAMS = {"scenario": Param("ramp", enum=["ramp", "steady"])}

with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def feed(label: str) -> float | None:
        """Let waves come, see them through, and look up in the history the depth that 95 % of the samples kept to."""
        run, begun, load = Run.current(), time.time(), WAVES[Run.current().scenario]
        run.wait_for(lambda: run.started("monitor"), WITHIN)
        for number, size in enumerate({"calm": [SMALL] * 3, "load": load, "again": load[-1:]}[label]):
            run.trigger(f"{LESSON}__{size}", f"{label}-{number}")
            time.sleep(APART)
            if size == SMALL:  # is served before the next one comes, however slow the machine
                run.wait_for(lambda: run.helper_runs_over(*DAGS), WITHIN, every=0.5)
        run.wait_for(lambda: run.helper_runs_over(*DAGS), WITHIN, every=0.5)
        return DepthHistory(run.run_id).percentile(0.95, begun, time.time())

    # [monitor]
    @task(**CONTROL)
    def monitor() -> list[dict[str, float]]:
        """Make the pool, write its depth down once a second, and alert once when that is no longer normal."""
        (run := Run.current()).create_pool(POOL, SLOTS)
        history, alerts = DepthHistory(run.run_id), Upstream(run.run_id)

        def read() -> dict[str, float]:
            history.write(sample := {"depth": (pool := run.pool(POOL)).scheduled + pool.queued, "at": time.time()})
            normal = run.result("calm")
            if normal is not None and sample["depth"] > 2 * normal + 1 and not alerts.notifications():
                alerts.notify(sample)
            return sample

        return run.sample(read, until=lambda: run.over("load"), seconds=2 * WITHIN, every=1.0)
        # [/monitor]

    # [plan]
    @task(**CONTROL)
    def plan() -> dict[str, int]:
        """Let the last wave be served in as many rounds as the target leaves time for; a round takes a slot a task."""
        run, size = Run.current(), WAVES[Run.current().scenario][-1]
        last = run.helpers(*DAGS, label="load-2")
        taken = float(last.queued.max() - last.queued.min()) / (math.ceil(size / SLOTS) - 1)
        target = PATIENCE * taken
        rounds = math.floor(USED * target / taken) + 1  # the first of them waits for nothing
        return {"slots": run.resize_pool(POOL, math.ceil(size / rounds)).slots}
        # [/plan]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare samples, alert, history and plan with the work's own timestamps."""
        normal, loaded, planned, samples = (run.result(name) for name in ("calm", "load", "plan", "monitor"))
        work, calm, load, last, again = (run.helpers(*DAGS, label=it) for it in ("", "calm", "load", "load-2", "again"))
        alerts = [note["body"]["at"] for note in Upstream(run.run_id).notifications()]
        yield finding(
            "Queue depth metrics",
            "the depth sampled is the depth that was, and under load it grows to more than twice that of calm days",
            (agreement(samples, "depth", work.depth_curve()) >= 0.8) & (depth(load, "load") > 2 * depth(calm, "calm")),
        )
        yield finding(
            "Alerting thresholds",
            "the depth passes twice the p95 of calm days plus one; within two samples there is one alert of it",
            (alerts_sent(alerts, samples) == 1)
            & samples_until_alert(samples, load.depth_curve(), 2 * normal + 1, alerts).between(0, 2),
        )
        history = reading(loaded, "p95 of the load's depth in the history", "PostgreSQL")
        deep = (history > 2 * normal + 1) & (history <= depth(load, "load") + 1)
        yield finding("Historical analysis", "the history tells the load from calm days, as deep as it was", deep)
        come = run.helpers(*DAGS, label="load-1").scheduled.min(initial=math.inf) - APART
        gone = load.scheduled.max(initial=0) + APART
        up = (growth(load, (come, gone)) > 0.1 * start_rate(load)) & (growth(load, (gone, load.end.max(initial=0))) < 0)
        yield finding("Trend detection", "the queue grows by over a tenth of the start rate, and then shrinks", up)
        few, many = (f"the wave with {slots} slots" for slots in (SLOTS, planned["slots"]))
        yield finding(
            "Capacity planning",
            "the last wave waits longer than four tasks hold a slot; coming again, to the slots planned, it does not",
            (gate(last, "p95", few) > PATIENCE * hold(last, few))
            & (gate(again, "p95", many) <= PATIENCE * hold(again, many)),
        )

    calm, load, again = (feed.override(task_id=label)(label) for label in ("calm", "load", "again"))
    [calm >> load >> plan() >> again, monitor()] >> judge()
