"""What a scheduler's work costs, and what a second one brings: measured on the live one, for lesson 106.9.3."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from backpressure.airflow import machine

if TYPE_CHECKING:
    from backpressure.airflow.run import Run
    from backpressure.airflow.upstream import Upstream

__all__ = ["alive_since", "crowd", "examined", "queue_query", "swept"]

_TABLE = """CREATE TEMPORARY TABLE task_instances AS SELECT number AS id, 'dag_' || number %% 50 AS dag_id,
    CASE WHEN number %% %(each)s = 0 THEN 'scheduled' ELSE 'success' END AS state, number %% 7 AS priority_weight,
    repeat('x', 200) AS everything_else FROM generate_series(1, %(rows)s) AS number"""
_QUEUE = """SELECT id, dag_id FROM task_instances WHERE state = 'scheduled'
    ORDER BY priority_weight DESC, id LIMIT 16"""


def examined(run: Run, helper: str, label: str, pool: str, seconds: float) -> dict[str, float]:
    """Let the scheduler look at a helper run whose first task waits for a closed pool; what that costs it, and when.

    Args:
        run: the lesson's.
        helper: whose first task is in the pool, and its others after that one.
        label: of the run; it is ended afterwards.
        pool: without slots, and used by nobody else.
        seconds: how long.

    Returns ``since`` and ``at`` (epoch s), and ``cpu``: processor seconds of the scheduler's own process a second.
    """
    scheduler = machine.parts()["scheduler"]
    run_id = run.trigger(helper, label)
    run.wait_for(lambda: run.pool(pool).scheduled, seconds=60)
    since, before = time.time(), machine.cpu_seconds(scheduler, own=True) or 0.0
    time.sleep(seconds)
    spent, at = (machine.cpu_seconds(scheduler, own=True) or 0.0) - before, time.time()
    run.api.set_run_state(helper, run_id, "failed")
    run.wait_for(lambda: not run.pool(pool).scheduled, seconds=60)
    return {"since": since, "at": at, "cpu": spent / (at - since)}


def swept(run: Run, helper: str, label: str, *, items: int, batch: int, every: float) -> dict[str, float]:
    """Let helper runs work off items, a batch each; ``cpu``: processor seconds for an item, of scheduler and tasks.

    Args:
        run: the lesson's.
        helper: gets its number of items as ``items`` in its conf.
        label: of the runs.
        items: how many in all.
        batch: how many for each run.
        every: seconds in which one item comes; a run begins when its batch is there.
    """
    own = machine.ancestors()[0]

    def spent() -> float:
        return machine.portrait(machine.parts()["scheduler"], without=[own])["cpu"]

    since, before = time.time(), spent()
    for number in range(items // batch):
        time.sleep(max(0.0, since + (number + 1) * batch * every - time.time()))
        run.trigger(helper, f"{label}-{number}", items=batch)
    labels = [f"{run.run_id}__{label}-{number}" for number in range(items // batch)]
    run.wait_for(lambda: all(run.api.run(helper, one)["state"] == "success" for one in labels), seconds=60)
    return {"at": time.time(), "cpu": (spent() - before) / items}


def alive_since(run: Run, instant: float) -> int:
    """How many schedulers are alive that started after an instant (epoch s)."""
    found = run.api.pages("/jobs", "jobs", job_type="SchedulerJob", is_alive=True)
    return sum(datetime.fromisoformat(job["start_date"]).timestamp() > instant for job in found)


def crowd(run: Run, helper: str, lane: Upstream, *, runs: int, enough: int, seconds: float) -> None:
    """Let helper runs come whose tasks call an upstream that answers nobody until so many have called, or time is over.

    Args:
        run: the lesson's.
        helper: gets the upstream's name as ``lane`` in its conf.
        lane: the upstream.
        runs: how many, a third of a second apart.
        enough: calls at once.
        seconds: how long to wait for them.
    """
    lane.configure(capacity=0, service_time=0.0)
    for number in range(runs):
        run.trigger(helper, f"crowd-{number}", lane=lane.lane)
        time.sleep(0.3)
    run.sample(lambda: None, lambda: lane.state()["waiting"] >= enough, seconds, 0.25)
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
