"""# 106.5.2 Predictive capacity alerts

**Purpose.** Alert before overload: the queue of a pool grows, and is cut short before it is too long.

**What to watch.** Every two seconds a job comes for a pool of one slot, and one for its twin. The watcher draws a line
through the pool's queue, alerts when that will be too long in sixteen seconds, and gives the pool slots for the load
(arrivals a second times seconds in a slot, and room). The twin is left alone: it shows what would have come.

**Expected behaviour.** Proactive alerting: the alert comes first, and the overload does not. In scenario
`threshold_only` the alert comes when the queue is too long, and adds one slot.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.arrivals import arrive, drop
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.capacity import Trend, trend
from backpressure.findings import Finding, finding
from backpressure.measures import growth, peak
from backpressure.measures.planning import arrival_rate, crossing, hold
from backpressure.measures.samples import reading

WAVE = "106_05_02_predictive_alerts__wave"
POOL, TWIN, SLOTS = "predictive_alerts", "predictive_twin", 1
WAVES, EVERY, SECONDS = 22, 2.0, 6.0
DEEP, AHEAD, BACK, MOST_USED = 12, 16.0, 12.0, 0.7  # jobs that are too many, s to foretell, s looked back, share used

with DAG(dag_id="106_05_02_predictive_alerts__wave", schedule=None, max_active_runs=64):

    @task
    def job() -> None:
        """Some work of the same length each time."""
        time.sleep(SECONDS)

    job.override(pool=POOL)()
    job.override(task_id="twin", pool=TWIN)()


# [forecast]
def forecast(scenario: str, samples: list[tuple[float, int]]) -> Trend:
    """How the queue goes on: along the line through its samples, or, where only a threshold is watched, as it is."""
    return trend(samples if scenario == "predict" else samples[-1:])


def recommended(run: Run) -> int:
    """Slots for the load: arrivals a second times seconds in a slot, and room; or, by rule of thumb, one more."""
    load = arrival_rate(jobs := run.helpers(WAVE, task_ids=["job"]), "jobs") * hold(jobs, "jobs")
    return math.ceil(load.value / MOST_USED) if run.scenario == "predict" else SLOTS + 1
    # [/forecast]


with DAG(
    dag_id="106_05_02_predictive_alerts",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "advanced", "success"],
    params={"scenario": Param("predict", enum=["predict", "threshold_only"])},
):

    @task(**CONTROL)
    def feed() -> None:
        """Make the pools, send the waves, the second once the scheduler has seen the first, and drop what is left."""
        print("made", *((run := Run.current()).create_pool(pool, SLOTS) for pool in (POOL, TWIN)))
        run.trigger(WAVE, "wave-0")
        run.wait_for(lambda: run.arrived(POOL, helper=WAVE), seconds=60)
        arrive(run, [(number * EVERY, WAVE, f"wave-{number}", {}) for number in range(1, WAVES)])
        run.wait_for(lambda: run.arrived(TWIN, helper=WAVE) == WAVES, seconds=60)
        print("waves that were not done and are dropped:", drop(run, WAVE))

    @task(**CONTROL)
    def watch() -> dict[str, Any]:
        """Once a job has come, sample the queue and foretell it; alert and respond as soon as it will be too long."""
        run, samples = Run.current(), []
        run.wait_for(lambda: run.arrived(POOL, helper=WAVE), seconds=60)

        def overload() -> Trend | None:
            samples.append((now := time.time(), run.pool(POOL).scheduled))
            line = forecast(run.scenario, samples)
            return line if now - samples[0][0] >= BACK and line.at(now + AHEAD) >= DEEP else None

        line = run.wait_for(overload, seconds=60, every=0.5)
        ahead = (line.reaches(DEEP) or line.origin) - line.origin
        alert = {"since": samples[0][0], "at": line.origin, "growth": line.slope, "ahead": ahead}
        run.wait_for(lambda: run.helpers(WAVE, task_ids=["job"]).select(state="success"), seconds=60)
        Upstream(run.run_id).notify(alert)
        return alert | {"slots": (slots := recommended(run)), "given": run.resize_pool(POOL, slots).slots}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was foretold of the pool with what came to its twin, and what came to the pool."""
        alert, told = run.result("watch"), Upstream(run.run_id).notifications()[0]["at"]
        jobs, twin = (run.helpers(WAVE, task_ids=[name]) for name in ("job", "twin"))
        for_slot, deepest = partial(crossing, finish="queued"), partial(peak, begin="scheduled", finish="queued")
        grown = growth(twin, (alert["since"], alert["at"]), "the twin")
        rests = reading(alert["growth"], "growth in the alert", "pool samples", unit="/s").near(grown, 0.5)
        yield finding("Trend analysis", "the alert rests on the growth that the twin's queue shows meanwhile", rests)
        ahead = reading(alert["ahead"], "the same, foretold", "pool samples", unit="s")
        foretold = for_slot(twin, DEEP, alert["at"], "the twin's jobs").near(ahead, 0.5)
        yield finding("Threshold prediction", "the overload comes to the twin when it was foretold", foretold)
        effect = crossing(jobs, SLOTS + 1, told, "jobs", begin="queued", finish="end")
        early = for_slot(jobs | twin, DEEP, told, "jobs") > effect
        yield finding("Early warning alerts", "the alert is delivered sooner than a response needs to work", early)
        load = (arrival_rate(jobs, "jobs") * hold(jobs.select(state="success"), "jobs")).named("load in slots")
        slots = reading(alert["slots"], "slots recommended", "pool samples")
        enough = (slots >= load) & (slots <= 2 * load)
        yield finding("Capacity recommendations", "the slots bear the load that came, not twice as much", enough)
        kept = (slots == alert["given"]) & (deepest(jobs, "the jobs") < DEEP) & (deepest(twin, "the twin") >= DEEP)
        yield finding("Automated responses", "given these slots, its queue never got too long, unlike the twin's", kept)

    [feed(), watch()] >> judge()
