"""# 106.8.4 Throttle effectiveness testing

**Purpose.** Validate that throttling works by trying to break it: a pool of two slots, and a DAG that allows two runs.

**What to watch.** The pool begins with 0 slots. Five light tasks wait for it, then three heavy ones, and `greedy`, the
heaviest, which wants three slots. The pool opens, is cut to one slot while two run, and gets three at last.

**Expected behaviour.** Throttling verified: no attack gets more through than the limits say. In scenario `off` pool and
DAG allow 16 all the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count, depth, inversions, overtakes, peak, starts
from backpressure.measures.queues import in_index_order, in_line, last_end
from backpressure.measures.samples import agreement, reading

LESSON = "106_08_04_throttle_testing"
POOL, SLOTS, CUT, WANTED, WIDE = "throttle_testing", 2, 1, 3, 16
LIGHT, HEAVY, RUNS, SECONDS, SHUT = 5, 3, 5, 1.2, 3.0
ALL, PARTNER = ("light", "heavy", "greedy"), Upstream("throttle_testing", timeout=120)
TAGS = ["reference", "testing", "intermediate", "success"]
PARAMS = {"scenario": Param("on", enum=["on", "off"])}


@task(pool=POOL, weight_rule="absolute")
def call(number: int = 0) -> None:
    """Call a partner, who takes no calls before the pool is cut: whoever has a slot by then keeps it."""
    PARTNER.call(key=f"call-{number}")


for name, limit in {"on": SLOTS, "off": WIDE}.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_runs=limit):
        call.override(task_id="work", pool="default_pool")()

with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool before anything asks for it: shut, if there is a throttle; and so is the partner."""
        on = (run := Run.current()).scenario == "on"
        run.create_pool(POOL, 0 if on else WIDE)
        return PARTNER.begin(service_time=SECONDS, capacity=0 if on else None)

    @task(**CONTROL)
    def release() -> None:
        """Let the heavy tasks come once the light ones and the greedy one are there, and have what slots there are."""
        (run := Run.current()).wait_for(lambda: run.arrived(POOL) > LIGHT and run.settled(POOL), seconds=60)

    # [attack]
    @task(**CONTROL)
    def attack() -> dict[str, float]:
        """Open the pool when all wait, cut it while it is full, and give the greedy task what it wants at last."""
        run, at = Run.current(), {}

        def resize(step: str, slots: int) -> int:
            at[step] = time.time()
            now = run.resize_pool(POOL, slots if run.scenario == "on" else WIDE)
            return now.occupied - now.slots

        run.wait_for(lambda: run.arrived(POOL) == LIGHT + HEAVY + 1, seconds=60)
        time.sleep(SHUT)
        resize("opened", SLOTS)
        run.wait_for(lambda: run.pool(POOL).running >= SLOTS or run.over(*ALL), seconds=60)
        at["above"] = resize("cut", CUT)
        PARTNER.configure(capacity=None)
        run.wait_for(lambda: run.over("light", "heavy"), seconds=120)
        resize("enlarged", WANTED)
        return at
        # [/attack]

    @task(**CONTROL)
    def trigger_runs() -> None:
        """Trigger more runs at once than may be active, and see them through."""
        run, helper = Run.current(), f"{LESSON}__{Run.current().scenario}"
        run.trigger_together([(helper, f"run-{number}") for number in range(RUNS)])
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=240, every=0.5)

    @task(**CONTROL)
    def watch() -> list[dict[str, float]]:
        """Read the pool four times a second until the attack is over."""
        return (run := Run.current()).sample_pool(POOL, lambda: run.over("attack"), seconds=240, every=0.25)

    light = call.override(task_id="light").expand(number=list(range(LIGHT)))
    heavy = call.override(task_id="heavy", priority_weight=10).expand(number=list(range(HEAVY)))
    greedy = call.override(task_id="greedy", priority_weight=100, pool_slots=WANTED)()

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what got through, and in which order, with the limits as they were at the time."""
        made, at, samples = (run.result(task_id) for task_id in ("prepare", "attack", "watch"))
        helper, small, every = f"{LESSON}__{run.scenario}", run.tasks("light", "heavy"), run.tasks(*ALL)
        most = peak(small, slots=True, begin="queued") == SLOTS
        yield finding("Pool limit verification", "never a slot more, and all of them", most)
        allowed = reading(run.api.dag(helper)["max_active_runs"], "max_active_runs", "DAGs over REST") == SLOTS
        allowed &= peak(run.runs(helper), "the runs") == SLOTS
        yield finding("max_active_runs testing", "as many runs as the DAG allows are active, and no more", allowed)
        ahead = (overtakes(small) >= LIGHT) & (inversions(small) == 0)
        yield finding("Priority enforcement", "heavy tasks that come later go first, and none goes behind", ahead)
        queue = agreement(samples, "scheduled", every.concurrency("scheduled", "queued", slots=True)) >= 0.8
        queue &= in_line(small, SLOTS, "tasks that got a slot after another's end") == 1
        queue &= in_index_order(small.select(task_id="light"), "ties in the order of their index") == 1
        yield finding("Queue behavior", "who waits is counted, goes when another has ended, and ties in order", queue)
        edges = depth(every, "the shut pool", at=at["opened"]) == LIGHT + HEAVY + 1
        edges &= starts(every, (made, at["opened"]), "all while the pool is shut") == 0
        edges &= starts(run.tasks("greedy"), (made, at["enlarged"]), "greedy before there are slots enough") == 0
        edges &= reading(at["above"], "slots in use above the cut size", "pools over REST") == SLOTS - CUT
        edges &= count(small, "success", "light and heavy") == LIGHT + HEAVY
        edges &= peak(small, "the rest", begin="queued", window=(last_end(small, at["cut"]), None)) == CUT
        yield finding("Edge case testing", "shut, cut or too small, the pool kills nothing and lets nothing in", edges)

    prepare() >> [light, greedy, watch(), attack(), trigger_runs(), release() >> heavy] >> judge()
