"""# 106.10.2 Queue analysis techniques

**Purpose.** Analyze queue state: what waits, since when, who is next, how full the pool is, when it will be empty.

**What to watch.** Work of three weights comes to a pool that is shut, so that its queue stands still: the lightest
first, three slots a task, the heaviest last. It is inspected, and written down by pool and weight. Then the pool opens;
when two thirds of it are gone, the end is foretold. A second pool beside it has slots for all that comes to it.

**Expected behaviour.** Queue issues understood: all that was seen and foretold comes true. Scenario `glance` looks as
people often do: at what is *queued*, as if it went by age, and at tasks instead of slots.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.capacity import trend
from backpressure.findings import Finding, finding
from backpressure.inspection import table, waiting
from backpressure.measures.inspection import ages_right, drained, in_order, slots_seen
from backpressure.measures.planning import held
from backpressure.measures.samples import integral, reading

NARROW, WIDE = "queue_analysis_narrow", "queue_analysis_wide"
SLOTS = 3  # and of each kind of work the tasks, their weight, and the slots that each takes
KINDS = {"light": ([*range(4)], 1, 3), "middle": ([*range(3)], 5, 3), "heavy": ([*range(3)], 10, 3)}

# [look]
STATE = {"exact": "scheduled", "glance": "queued"}  # what waits for a slot is scheduled; what is queued has one
NEXT = {"exact": lambda one: (-one["priority_weight"], one["map_index"]), "glance": lambda one: one["scheduled_when"]}


def look(run: Run) -> dict[str, float]:
    """What waits and what is used: in slots, as the pool counts, or at a glance in tasks."""
    if run.scenario == "exact":
        pool = run.pool(NARROW)
        return {"at": time.time(), "waiting": pool.scheduled, "used": pool.occupied}
    tasks = run.states(*KINDS)
    return {"at": time.time(), "waiting": tasks.count("queued"), "used": tasks.count("running")}
    # [/look]


TAGS = ["reference", "debugging", "intermediate", "success"]
PARAMS = {"scenario": Param("exact", enum=["exact", "glance"])}
with DAG("106_10_02_queue_analysis", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(weight_rule="absolute")
    def work(number: int) -> None:
        """Take some time."""
        time.sleep(2.0)

    @task(**CONTROL)
    def shut() -> None:
        """Make the pools, the narrow one without a slot yet."""
        for pool, slots in ((NARROW, 0), (WIDE, 8)):
            Run.current().create_pool(pool, slots)

    @task(**CONTROL)
    def after(number: int) -> None:
        """Wait until so much has come, and a second longer."""
        (run := Run.current()).wait_for(lambda: run.arrived(NARROW) >= number, seconds=60)
        time.sleep(1.0)

    # [analyse]
    @task(**CONTROL)
    def analyse() -> dict:
        """Inspect the queue while it stands still; then open the pool, and in time say when nothing will wait."""
        run = Run.current()
        run.wait_for(lambda: run.arrived(NARROW) == 10 and run.over("wide"), seconds=60)
        records = run.api.task_instances(run.dag_id, run.run_id, state=[STATE[run.scenario]], pool=[NARROW, WIDE])
        at, pools = time.time(), {pool: asdict(run.pool(pool)) for pool in (NARROW, WIDE)}
        seen = waiting(sorted(records, key=NEXT[run.scenario]), at)
        print(shown := table(seen, pools), "is in", keep(f"{run.dag_id}.{run.scenario}.md", shown))
        samples, opened = [first := look(run)], time.time()
        run.resize_pool(NARROW, SLOTS)
        samples += run.sample(lambda: look(run), lambda: look(run)["waiting"] <= first["waiting"] / 3, 90, 0.3)
        falls = [(a, b) for a, b in pairwise(samples) if b["waiting"] < a["waiting"]]
        fell = [((a["at"] + b["at"]) / 2, b["waiting"]) for a, b in falls]  # between the two looks, nobody knows when
        empty = (trend(fell).reaches(0) if fell else None) or time.time()
        samples += run.sample(lambda: look(run), lambda: run.over(*KINDS), 90, 0.3)
        return {"at": at, "seen": seen, "pools": pools, "opened": opened, "empty": empty, "samples": samples}
        # [/analyse]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was seen and foretold with what the pools count, and with what came."""
        found, jobs, wide = run.result("analyse"), run.tasks(*KINDS), run.tasks("wide")
        seen, at, opened, pools = (found[name] for name in ("seen", "at", "opened", "pools"))
        count = {name: reading(pool["scheduled"], "its own count", "pools over REST") for name, pool in pools.items()}
        listed = slots_seen(seen, NARROW, jobs, "the narrow pool") == count[NARROW]
        listed &= slots_seen(seen, WIDE, wide, "the wide pool") == count[WIDE]
        yield finding("Queue inspection queries", "the list has all that waits, pool by pool, and nothing else", listed)
        aged = ages_right(seen, at, jobs) == 1
        yield finding("Task age analysis", "each task that waited is listed with its age, the oldest, too", aged)
        ordered = in_order(seen, at, jobs) >= 0.9
        yield finding("Priority distribution", "slots go to the tasks in the order that was foretold", ordered)
        used = integral(found["samples"], "used", "slot-seconds in the samples", over=jobs).near(held(jobs, "all"), 0.4)
        yield finding("Pool utilization", "the samples say how much of the pool was used, by timestamps", used)
        foretold = reading(found["empty"] - opened, "the same, foretold", "inspection", unit="s")
        ends = foretold.near(drained(jobs, opened, "the narrow pool"), 0.3)
        yield finding("Trend analysis", "nothing waits any more about when that was foretold", ends)

    light, middle, heavy = (
        work.override(task_id=kind, pool=NARROW, priority_weight=weight, pool_slots=slots).expand(number=numbers)
        for kind, (numbers, weight, slots) in KINDS.items()
    )
    wide = work.override(task_id="wide", pool=WIDE).expand(number=[1, 2, 3])
    (made := shut()) >> [light, wide, analysed := analyse()]
    made >> after.override(task_id="after_light")(4) >> middle
    made >> after.override(task_id="after_middle")(7) >> heavy
    [light, middle, heavy, wide, analysed] >> judge()
