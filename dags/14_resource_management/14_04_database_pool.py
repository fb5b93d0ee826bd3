"""# 14.04 A database's connections

**Purpose.** Keep tasks within a database's connections: a real PostgreSQL whose role may hold twelve, and five reports
that want three each.

**What to watch.** The pool has a slot for each connection that the role may hold, less three for people and repairs.
A report takes as many slots as it opens connections, so three of them run at once, and the reserve is never touched.
Each report asks the server how many connections it has. In scenario `one_slot` the same reports count as one connection
each, as if a task were a query: all five run, want fifteen, and the server refuses.

**Expected behaviour.** The database refuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connections import ConnectionPool
from backpressure.airflow.database import Sessions
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import count, peak
from backpressure.measures.samples import reading, share

LESSON = "14_04_database_pool"
ROLE = "lab"
POOL, RESERVE = "database_pool", 3  # connections that the pool leaves alone
REPORTS, EACH = 5, 3  # connections of a report
SLOTS = {"sized": EACH, "one_slot": 1}  # of a report
_LONGEST_NAME = 63  # what PostgreSQL keeps of an application's name


# [report]
@task(pool=POOL)
def report(number: int) -> int:
    """Hold connections until all reports that have a slot hold theirs; returns how many the server counts."""
    run = Run.current()
    name = f"{number} {run.run_id}"[:_LONGEST_NAME]
    with closing(ConnectionPool(EACH, timeout=1.0, application=name)), Sessions() as sessions:

        def complete() -> bool:
            """Whether the role has the connections of every report that is under way."""
            under_way = [state for state in run.states("report") if state in ("queued", "running")]
            return sessions.sample(role=ROLE)["total"] >= EACH * len(under_way)

        run.wait_for(complete, seconds=120, every=0.5)
        return int(sessions.sample(application=name)["total"])
        # [/report]


for scenario, slots in SLOTS.items():
    with DAG(dag_id=f"{LESSON}__{scenario}", schedule=None):
        # [slots]
        report.override(pool_slots=slots).expand(number=list(range(REPORTS)))
        # [/slots]

with DAG(
    dag_id="14_04_database_pool",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "database", "success"],
    params={"scenario": Param("sized", enum=["sized", "one_slot"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, int]:
        """Size the pool by the role's limit, and open it when all reports wait."""
        run = Run.current()
        helper = f"{LESSON}__{run.scenario}"
        run.create_pool(POOL, 0)
        run.trigger(helper, "work")
        run.wait_for(lambda: run.arrived(POOL, helper=helper) == REPORTS, seconds=120)
        # [size]
        with Sessions() as sessions:
            limit = sessions.limit(ROLE)
        run.resize_pool(POOL, limit - RESERVE)
        # [/size]
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)
        return {"limit": limit}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the server counted and refused with the slots and the role's limit."""
        helper, limit = f"{LESSON}__{run.scenario}", run.result("conduct")["limit"]
        work, done = run.helpers(helper), run.with_results("report", helper=helper)
        counted = [record["result"] == record["pool_slots"] for record in done]
        yield finding(
            "A slot stands for a connection",
            "each report has as many connections as it takes slots",
            share(counted, "reports with a slot for each connection", "pg_stat_activity") == 1,
        )
        wanted = (peak(work, "the reports", begin="queued") * EACH).named("connections wanted at once")
        yield finding(
            "The pool leaves the reserve alone",
            "the reports that run at once want what the role may hold, less the reserve",
            wanted == reading(limit - RESERVE, "the role's limit less the reserve", "pg_roles"),
        )
        yield finding(
            "No connection is refused",
            "no report fails",
            (count(work, "failed", "reports") == 0) & (count(work, "success", "reports") == REPORTS),
        )

    conduct() >> judge()
