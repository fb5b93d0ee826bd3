"""# 106.6.3 Cascading backpressure

**Purpose.** Handle downstream pressure: batches of items come from runs of another DAG, are transformed here, and are
delivered to a partner, who becomes five times as slow after four seconds.

**What to watch.** Before each stage is room for two items, and who puts one there needs a permit. So `transform` waits
for `deliver`, the source's tasks for `transform`, and `feed` starts no run of the source while one of its tasks waits.

**Expected behaviour.** System-wide coordination: all is as fast as the slowest stage. In `open_loop` room does not end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.line import Line
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.bulkhead import Bulkhead, Lease
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.flow import Flow, in_service
from backpressure.measures.samples import share

LESSON = "106_06_03_cascading_backpressure"
SOURCE, PARTNER, ROOM = f"{LESSON}__source", Upstream("cascading"), 2
BATCH, EVERY = 40, 3.0  # items of a run of the source, seconds between its runs
QUICK, SLOW, GOOD, BAD = 0.2, 1.0, 4.0, 9.0  # seconds of a delivery, and for how long the partner is quick, and slow
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("credits", enum=["credits", "open_loop"])}


def room(line: str, stage: int, size: int) -> Bulkhead:
    """The room before and in a stage, the first being 0; a permit is for one item, and its token goes along with it."""
    return Bulkhead(f"{line}.{stage}", size, storage(), lease=120.0)


with DAG(dag_id="106_06_03_cascading_backpressure__source", schedule=None):

    @task
    def produce(dag_run: Any = None) -> None:
        """A batch of items, each put in the line as soon as there is room for it."""
        line, first = Line(dag_run.conf["line"]), room(dag_run.conf["line"], 0, dag_run.conf["size"])
        [line.put(first.acquire(timeout=90).token) for _ in range(BATCH)]

    produce()
with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict[str, Any]:
        """An empty line with so much room before its stages, and a partner that takes one delivery at a time."""
        Line((run := Run.current()).run_id).create()
        given = {"line": run.run_id, "size": ROOM if run.scenario == "credits" else 1000}
        return given | {"since": PARTNER.begin(capacity=1, service_time=QUICK)}

    @task
    def transform(line: str, size: int) -> None:
        """The first stage: it takes no time, if it has somewhere to put things."""
        items, here, there = Line(line), room(line, 0, size), room(line, 1, size)
        for item in items.items(stage=0):
            # [hop]
            permit = there.acquire(timeout=90)  # first room before the next stage,
            items.pass_on(item, permit.token)
            Lease(here, item.token, 1).release()  # then one's own is given back
            # [/hop]

    @task
    def deliver(worker: int, line: str, size: int) -> None:
        """The second stage, as quick as the partner."""
        items, here = Line(line), room(line, 1, size)
        for item in items.items(stage=1):
            PARTNER.call()
            items.pass_on(item)
            Lease(here, item.token, 1).release()

    @task(**CONTROL)
    def feed(line: str, size: int) -> dict[str, list[Any]]:
        """Start a run of the source now and then; in the end the partner is quick, so that all is done soon."""
        run, items, first, held_back = Run.current(), Line(line), room(line, 0, size), []
        run.wait_for(lambda: run.started("transform", "deliver") == 3, seconds=90)
        run.trigger(SOURCE, "batch-first", line=line, size=size)
        run.wait_for(items.steps, seconds=90)
        PARTNER.schedule([{"at": at, "set": {"service_time": s}} for at, s in ((GOOD, SLOW), (GOOD + BAD, 0.005))])
        for number in range(round((GOOD + BAD) / EVERY)):
            # [signal]
            held_back.append(first.count()[1] > 0)  # if a task of the source waits, it has more than there is room for
            if not held_back[-1]:
                run.trigger(SOURCE, f"batch-{number}", line=line, size=size)
            # [/signal]
            time.sleep(EVERY)
        run.wait_for(lambda: run.helper_runs_over(SOURCE) and not items.left(stages=2), seconds=90)
        items.end()
        return {"steps": items.steps(), "held_back": held_back}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the items' steps and the source's runs with the partner's log and with the room there is."""
        since, fed = run.result("prepare")["since"], run.result("feed")
        slow, ease = [one["at"] for one in PARTNER.changes(since=since) if "service_time" in one["settings"]][-2:]
        flow, before, after, log = Flow(fed["steps"]), (slow - 4, slow), (slow + 3, ease), PARTNER.log(since=since)
        stuck = (in_service(log, after, "use of the partner") >= 0.8) & (flow.held(1, after, "transform") >= SLOW / 2)
        yield finding("Detect downstream bottlenecks", "the partner is busy, and so transform cannot go on", stuck)
        made, out = flow.rate(0, after, "items made, slow"), flow.rate(4, after, "items out, slow")
        less = (made <= 1.5 * out) & (flow.rate(0, before, "items made, quick") >= 1.5 * made)
        yield finding("Propagate pressure upstream", "soon the source makes no more than is delivered", less)
        full = (flow.between(0, 2, "for transform") == ROOM) & (flow.between(2, 4, "for deliver") == ROOM)
        yield finding("Prevent queue buildup", "the room before a stage is used, and never exceeded", full)
        few = share(fed["held_back"], "runs held back", "feed") >= 0.3
        few &= count(run.runs(SOURCE), label="runs of the source") == 1 + fed["held_back"].count(False)
        yield finding("Coordinate across DAGs", "runs of the source's DAG are held back, and do not come", few)
        even = flow.pace(4, after, "items out").near(1 / SLOW, 0.25) & (flow.age(0.95, 4, after) <= 3 * ROOM * SLOW)
        yield finding("End-to-end flow control", "items come out as fast as the slowest stage can, and soon", even)

    line, size = (made := prepare())["line"], made["size"]
    [transform(line, size), deliver.partial(line=line, size=size).expand(worker=[1, 2]), feed(line, size)] >> judge()
