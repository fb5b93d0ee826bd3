"""# 106.9.3 Scheduler overload

**Purpose.** Handle scheduler bottlenecks: one after the other is made worse, measured, cured, and measured again.

**What to watch.** A file that waits for four seconds when it is parsed; a run of 200 tasks that wait, which the
scheduler looks at in each turn; a run for each item that comes; more tasks than one scheduler has processes for; and a
history of 100 000 task instances in which 16 are sought.

**Expected behaviour.** Scheduler healthy: each cure shows. In `untouched` the second measurement is as the first.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from airflow.sdk import DAG, Param, get_parsing_context, task
from backpressure.airflow import machine
from backpressure.airflow.configured import configured
from backpressure.airflow.evidence import evidence
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.parsing import parse_lag
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.schedulers import alive_since, crowd, examined, queue_query, swept
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.overload import before_and_after, least_share, loop_time

LESSON = "106_09_03_scheduler_overload"
CLOSED = "scheduler_overload"
TAGS = ["reference", "real-world", "advanced", "success"]
PARAMS = {"scenario": Param("tuned", enum=["tuned", "untouched"])}
# [heavy]
HEAVY, SLOW = Path(os.environ.get("AIRFLOW_HOME", "")) / "artifacts" / "heavy.flag", 4.0
if HEAVY.exists() and get_parsing_context().dag_id is None:  # at each parse, and at no start of a task
    time.sleep(SLOW)  # what belongs into a task: a query, a file over the network, a model
# [/heavy]


@task(pool=CLOSED)
def opening() -> None:
    """What the others wait for."""


@task
def work(items: str) -> None:
    """Work off some items."""
    time.sleep(0.05 * int(items))


@task
def call(lane: str) -> None:
    """Call an upstream that keeps its callers waiting, and tell it which part of the lab this task is a child of."""
    Upstream(lane, timeout=120).call(key=machine.part_of())


for shape, steps in {"fine": 200, "coarse": 4}.items():  # the same work in pieces of a second, or of minutes
    with DAG(dag_id=f"{LESSON}__{shape}", schedule=None):
        opening() >> work.expand(items=[1] * steps)
with DAG(dag_id=f"{LESSON}__sweep", schedule=None, max_active_runs=16):
    work("{{ dag_run.conf['items'] }}")
with DAG(dag_id=f"{LESSON}__crowd", schedule=None, max_active_runs=64):
    call.expand(lane=["{{ dag_run.conf['lane'] }}"] * 2)

with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def conduct() -> dict[str, list]:
        """Measure each bottleneck as it is, and again with its cure, if there is one in this scenario."""
        run, lane = Run.current(), Upstream(f"{Run.current().run_id}-crowd")
        tuned, helper = run.scenario == "tuned", f"{LESSON}__{{}}".format
        run.create_pool(CLOSED, 0)
        # [cures]
        run.put_file(HEAVY)
        parse = [parse_lag(run.api, LESSON)]
        if tuned:
            HEAVY.unlink()  # nothing is waited for at the top of the file any more
        parse.append(parse_lag(run.api, LESSON))
        HEAVY.unlink(missing_ok=True)
        look = partial(examined, run, pool=CLOSED, turns=5)
        loop = [look(helper("fine"), "one"), look(helper("coarse" if tuned else "fine"), "two")]
        sweep = partial(swept, run, helper("sweep"), items=8, every=0.25)
        item = [sweep("one", batch=1), sweep("two", batch=8 if tuned else 1)]
        query = [queue_query(), queue_query("CREATE INDEX ON task_instances (state)" if tuned else "")]
        since = time.time()
        if tuned:
            second = run.put_file(machine.switch("scheduler-2"))
            run.wait_for(lambda: alive_since(run, since), seconds=90)
        crowd(run, helper("crowd"), lane, beyond=4, patience=8.0)
        # [/cures]
        if tuned:
            second.unlink()
            run.wait_for(lambda: "scheduler-2" not in machine.parts(), seconds=60)
        return {"parse": parse, "loop": loop, "item": item, "query": query}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Hold each second measurement against its first."""
        seen, log = run.result("conduct"), Upstream(f"{run.run_id}-crowd").log()
        heavy, light = before_and_after(seen["parse"], "lag", "from asking to parsed", "DAG processor", "s")
        long, short = before_and_after(seen["parse"], "took", "duration of parsing", "DAG processor", "s")
        late = (heavy > light) & (long - short >= SLOW / 2)
        yield finding("Parse lag detection", "a file is late by what it waits for when it is parsed", late)
        many, few = before_and_after(seen["loop"], "cpu", "core-seconds for a turn", "/proc", "s")
        slow, quick = loop_time(seen["loop"], Metrics())
        fewer = (many >= 2 * few) & (slow >= 2 * quick)
        yield finding("DAG complexity reduction", "less to look at: less of a core, and a quicker turn", fewer)
        each, batch = before_and_after(seen["item"], "cpu", "core-seconds for an item", "/proc", "s")
        yield finding("Scheduling interval tuning", "a run for all costs less than a run for each", each >= 2 * batch)
        several = peak(run.helpers(f"{LESSON}__crowd"), "the crowd") > configured("core", "parallelism")
        several &= least_share(log, ["scheduler", "scheduler-2"], "least share of a scheduler") > 0
        yield finding("Multiple schedulers", "two run more at once than one can, and both take part", several)
        plain, indexed = before_and_after(seen["query"], "blocks", "blocks read to find the queue", "EXPLAIN")
        yield finding("Database optimization", "the queue is found without reading the history", plain >= 5 * indexed)

    conduct() >> judge()
