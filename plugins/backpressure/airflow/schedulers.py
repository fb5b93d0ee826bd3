"""What a scheduler's work costs, and what a second one brings: measured on the live one, for lesson 106.9.3."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk import conf

from backpressure.airflow import machine
from backpressure.airflow.metrics import Metrics
from backpressure.measures.overload import LOOP

if TYPE_CHECKING:
    from backpressure.airflow.run import Run
    from backpressure.airflow.upstream import Upstream

__all__ = ["alive_since", "crowd", "examined", "queue_query", "swept"]

_TABLE = """CREATE TEMPORARY TABLE task_instances AS SELECT number AS id, 'dag_' || number %% 50 AS dag_id,
    CASE WHEN number %% %(each)s = 0 THEN 'scheduled' ELSE 'success' END AS state, number %% 7 AS priority_weight,
    repeat('x', 200) AS everything_else FROM generate_series(1, %(rows)s) AS number"""
_QUEUE = """SELECT id, dag_id FROM task_instances WHERE state = 'scheduled'
    ORDER BY priority_weight DESC, id LIMIT 16"""
# Quick turns are watched for as long as slow ones take: a moment's hitch must not be most of what is seen.
_LOOK_SECONDS = 4.0
_CROWD_SECONDS = 90.0


def examined(run: Run, helper: str, label: str, pool: str, turns: int) -> dict[str, float]:
    """Let the scheduler look at a helper run whose first task waits for a closed pool; what that costs it, and when.

    Args:
        run: the lesson's.
        helper: whose first task is in the pool, and its others after that one.
        label: of the run; it is ended afterwards.
        pool: without slots, and used by nobody else.
        turns: how many turns of its loop, at least, as StatsD has them; for four seconds at least.

    Returns ``since`` and ``at`` (epoch s), and ``cpu``: processor seconds of the scheduler's own process for a turn.
    """
    scheduler, metrics = machine.parts()["scheduler"], Metrics()
    run_id = run.trigger(helper, label)
    try:
        run.wait_for(lambda: run.pool(pool).scheduled, seconds=60)
        since, before = time.time(), machine.cpu_seconds(scheduler, own=True) or 0.0

        def done() -> int:
            return max((len(one) for one in metrics.matching(f"{LOOP}*", since)), default=0)

        run.wait_for(lambda: done() >= turns and time.time() - since >= _LOOK_SECONDS, seconds=90)
        spent, at, number = (machine.cpu_seconds(scheduler, own=True) or 0.0) - before, time.time(), done()
    finally:  # or the scheduler would look at it for ever
        run.api.set_run_state(helper, run_id, "failed")
    run.wait_for(lambda: not run.pool(pool).scheduled, seconds=60)
    return {"since": since, "at": at, "cpu": spent / number}


def swept(run: Run, helper: str, label: str, *, items: int, batch: int, every: float) -> dict[str, float]:
    """Let helper runs work off items, a batch each; ``cpu``: processor seconds of the executor's processes for an item.

    Args:
        run: the lesson's.
        helper: gets its number of items as ``items`` in its conf.
        label: of the runs.
        items: how many in all.
        batch: how many for each run.
        every: seconds in which one item comes; a run begins when its batch is there.
    """
    scheduler, mine = machine.parts()["scheduler"], machine.ancestors()[0]

    def spent() -> float:
        # Not the scheduler's own: that looks at what there is in each turn, whether something comes or not.
        own = machine.cpu_seconds(scheduler, own=True) or 0.0
        return (machine.cpu_seconds(scheduler) or 0.0) - own - (machine.cpu_seconds(mine) or 0.0)

    since, before = time.time(), spent()
    for number in range(items // batch):
        time.sleep(max(0.0, since + (number + 1) * batch * every - time.time()))
        run.trigger(helper, f"{label}-{number}", items=batch)

    def done() -> bool:
        return all(one["state"] == "success" for one in run.helper_runs(helper, f"{label}-"))

    run.wait_for(done, seconds=90)
    return {"at": time.time(), "cpu": (spent() - before) / items}


def alive_since(run: Run, instant: float) -> int:
    """How many schedulers are alive that started after an instant (epoch s)."""
    found = run.api.pages("/jobs", "jobs", job_type="SchedulerJob", is_alive=True)
    return sum(datetime.fromisoformat(job["start_date"]).timestamp() > instant for job in found)


def crowd(run: Run, helper: str, lane: Upstream, *, beyond: int, patience: float, every: float = 0.3) -> None:
    """Let helper runs of two tasks come until more tasks run at once than one scheduler has processes.

    Each task calls an upstream, which keeps all of them waiting until then; or, once they are as many as one scheduler
    can run beside the task that calls this, until for a while there was not one more. In that while further runs come,
    since a scheduler may take more tasks than it has processes for, and keep those that another could run.

    Args:
        run: the lesson's.
        helper: gets the upstream's name as ``lane`` in its conf.
        lane: the upstream.
        beyond: how many more than a scheduler's ``parallelism``.
        patience: seconds without one more.
        every: seconds between the runs, of the first; a quarter of the patience between further ones.

    Raises:
        TimeoutError: not even one scheduler is full in time.
    """
    lane.configure(capacity=0, service_time=0.0)
    processes = conf.getint("core", "parallelism")
    enough, full = processes + beyond, processes - 1
    number, waiting = 0, 0
    since = begun = due = time.monotonic()
    while waiting < enough and (waiting < full or time.monotonic() - since <= patience):
        if time.monotonic() - begun > _CROWD_SECONDS:
            raise TimeoutError(f"after {_CROWD_SECONDS:g} s only {waiting} of {full} tasks run that one scheduler can")
        if number <= enough // 2 or (waiting >= full and time.monotonic() >= due):
            run.trigger(helper, f"crowd-{number}", lane=lane.lane)
            number, due = number + 1, time.monotonic() + patience / 4
        time.sleep(every)
        if (now := lane.state()["waiting"]) > waiting:
            waiting, since = now, time.monotonic()
    lane.configure(capacity=None)
    run.wait_for(lambda: run.helper_runs_over(helper), seconds=90)


def queue_query(index: str = "", *, rows: int = 100_000, each: int = 2_000, dsn: str | None = None) -> dict[str, float]:
    """Ask for the next 16 scheduled task instances in a table that looks like a long history of them.

    The table is the connection's own and gone with it.

    Args:
        index: SQL that is executed before the question is asked, such as ``CREATE INDEX ON task_instances (state)``.
        rows: how long the history is.
        each: of so many rows one is scheduled, the others are done.
        dsn: a libpq connection string instead of the application database's Airflow connection.

    Returns ``at`` (epoch s), ``blocks``, which the question made the database look at, and ``ms``, that it took.
    """
    from backpressure.airflow.database import connect  # noqa: PLC0415 - not while a DAG file is parsed

    with closing(connect(application="queue query", dsn=dsn)) as database, database.cursor() as cursor:
        cursor.execute(_TABLE, {"rows": rows, "each": each})
        if index:
            cursor.execute(index)
        cursor.execute("ANALYZE task_instances")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_QUEUE}")
        ((found,),) = cursor.fetchall()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]
    names = ("Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Local Read Blocks")
    blocks = sum(plan["Plan"][name] for name in names)
    return {"at": time.time(), "blocks": blocks, "ms": plan["Execution Time"]}
