"""# 106.10.3 Scheduler performance debugging

**Purpose.** Debug scheduler issues: why does a scheduler that is alive hand over no work?

**What to watch.** Short jobs come twice a second. In their midst a session on the metadata database takes the lock
that a scheduler needs to hand over tasks, with one statement that lasts. The scheduler's loop goes on, and its
heartbeat, too. Beside that this file takes four seconds to parse, and a task names a pool that does not exist.

**Expected behaviour.** Scheduler issues resolved: each shows in another place. In scenario `sound` the same jobs come,
the session takes no lock, the file is quick, and the pool is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_parsing_context, task
from backpressure.airflow.arrivals import drop
from backpressure.airflow.evidence import evidence
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.parsing import parse_times, reparse_file
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures.samples import reading
from backpressure.measures.scheduler import lock_holder, longest_parse, slowest_statement, stall, stalled
from backpressure.measures.symptoms import turn

LESSON = "106_10_03_scheduler_debugging"
JOB, MISSING, LOOP = f"{LESSON}__job", "scheduler_debugging_missing", "scheduler.scheduler_loop_duration"
JOBS, EVERY, HELD = 16, 0.5, {"troubled": 8.0, "sound": 0.01}  # jobs, s between them, s of the session's statement
# [slow]
SLOW_UNTIL = Path(os.environ.get("AIRFLOW_HOME", ".")) / f"{LESSON}.slow"
if get_parsing_context().dag_id is None and SLOW_UNTIL.exists() and time.time() < float(SLOW_UNTIL.read_text()):
    time.sleep(4.0)  # a query, a download, a large file: whatever stands at the top of a DAG file
# [/slow]


@task
def job() -> None:
    """Nothing: what is looked at is how long it waits."""


with DAG(dag_id=f"{LESSON}__job", schedule=None):
    job()

with DAG(dag_id=f"{LESSON}__lost", schedule=None):
    job.override(pool=MISSING)()

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "debugging", "advanced", "success"],
    params={"scenario": Param("troubled", enum=["troubled", "sound"])},
):

    @task(**CONTROL)
    def watch() -> list[dict[str, Any]]:
        """Ask the database ten times a second who has the scheduler's lock."""
        from backpressure.airflow.metadata import LockWatch  # noqa: PLC0415 - parsing needs no database driver

        run, locks = Run.current(), LockWatch()
        return run.sample(locks.sample, lambda: run.over("trouble"), seconds=120, every=0.1)

    # [trouble]
    @task(**CONTROL)
    def trouble() -> dict[str, Any]:
        """Let jobs come, and what keeps the scheduler from them; then read the logs of database and scheduler."""
        from backpressure.airflow.metadata import CRITICAL_SECTION, hold_lock, read_logs  # noqa: PLC0415 - the same

        run, troubled = Run.current(), Run.current().scenario == "troubled"
        if not troubled:
            run.create_pool(MISSING, 1)
        run.wait_for(lambda: run.started("watch"), seconds=60)
        since, asked = time.time(), reparse_file(run.api, LESSON)
        SLOW_UNTIL.write_text(str(since + 20 * troubled))  # over by itself, whatever becomes of this task
        run.trigger(f"{LESSON}__lost", "lost")
        run.trigger_spaced(JOB, "job", JOBS, EVERY)
        run.wait_for(lambda: len(run.helpers(JOB).starts()) >= 2, seconds=60)
        held = hold_lock(HELD[run.scenario], lock=CRITICAL_SECTION if troubled else None)
        run.wait_for(lambda: run.helper_runs_over(JOB), seconds=60)
        seen = {"held": [held], "files": run.wait_for(lambda: parse_times(run.api, LESSON, asked), seconds=60)}
        SLOW_UNTIL.unlink()
        drop(run, f"{LESSON}__lost")
        seen |= read_logs(f"non-existent pool '{MISSING}'", since, until := time.time())
        return seen | {"since": since, "until": until}
        # [/trouble]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Look for each trouble where it shows: in hand-overs, parse times, the database's log, its locks, our log."""
        seen, holders, jobs = run.result("trouble"), run.result("watch"), run.helpers(JOB)
        since, until, (held,), metrics = seen["since"], seen["until"], seen["held"] or [{}], Metrics()
        turns, (begin, end) = metrics.instants(LOOP, since, until), stalled(jobs) or (since, since)
        meanwhile = reading(sum(begin < at < end for at in turns) or None, "turns of the loop meanwhile", "StatsD")
        still = (stall(jobs, "jobs") > 6 * turn(turns)) & (meanwhile > 6)
        yield finding("Scheduler loop timing", "its loop turns as ever, and hands over nothing while work waits", still)
        sent = metrics.series(f"dag_processing.last_duration.lessons.{LESSON}", since, until)
        took = {one["name"]: one["seconds"] for one in seen["files"]}.get(LESSON)
        told = reading(max(sent.values, default=None) if sent else None, "the file's own, as sent", "StatsD")
        slow = (longest_parse(seen["files"], LESSON) > 1.5) & told.near(reading(took, "as listed", "REST"), 0.2)
        yield finding("DAG parse times", "this file takes longer than any other; a metric says the same", slow)
        statement = slowest_statement(seen["slow"], "seconds", "longest statement", jobs, "s")
        holder, pid = lock_holder(holders), slowest_statement(seen["slow"], "pid", "its process", jobs)
        guilty = statement.near(stall(jobs, "jobs"), 0.4) & (pid == holder)
        yield finding("Database query analysis", "a statement of the lock's holder lasts as long as the stall", guilty)
        refused = len(metrics.instants("scheduler.critical_section_busy", since, until))
        taken = reading(refused if len(jobs) else None, "turns that found it taken", "StatsD") >= 6
        taken &= holder == reading(held.get("pid"), "process of the session", "the session itself")
        yield finding("Lock contention", "turn after turn the scheduler's lock is taken; by whom, says pg_locks", taken)
        lines = reading(len(seen["said"]) if len(jobs) else None, "lines about the missing pool", "scheduler's log")
        often = lines >= 0.5 * reading(len(turns) - refused or None, "turns that could hand over", "StatsD")
        yield finding("Scheduler logs", "its log names the missing pool whenever it gets to hand over work", often)

    [watch(), trouble()] >> judge()
