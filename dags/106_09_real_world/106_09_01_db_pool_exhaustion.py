"""# 106.9.1 Database connection pool exhaustion

**Purpose.** Handle DB connection limits: two DAGs read from a database whose role may hold twelve connections. Each
task has a connection pool of its own, of four, and knows nothing of the others.

**What to watch.** `rehearse` takes connections until the database refuses one, while `watch` counts them from outside;
then it meets an empty connection pool, a lock and a slow statement. A pilot shows what one task holds. From that, and
the role's limit, follow the slots of one Airflow pool for both DAGs; then the work comes.

**Expected behaviour.** DB pressure managed: the connections are used, and none is refused. In scenario `separate` each
DAG has a pool as large as the limit, and nothing has a timeout: work fails with `too many connections for role`.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connections import ConnectionPool
from backpressure.airflow.database import Sessions
from backpressure.airflow.evidence import evidence
from backpressure.airflow.exhaustion import stalls, use_up, watch_role
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count, peak
from backpressure.measures.exhaustion import Exhaustion
from backpressure.measures.samples import reading

LESSON = "106_09_01_db_pool_exhaustion"
TASKS, SECONDS, EACH, LASTS, INSISTS = 3, 5.0, 4, 2.0, 2.0  # of a DAG, s, connections, s of a stall, of asking
APPLICATION = "{{ dag_run.conf['application'] }}"
TAGS = ["reference", "real-world", "intermediate", "success"]
PARAMS = {"scenario": Param("coordinated", enum=["coordinated", "separate"])}
# [pools]
RESERVE, ALARM = 3, 0.8  # connections for people and repairs, share of the limit
POOLS = {
    "coordinated": {"reports": "db_connections", "exports": "db_connections"},
    "separate": {"reports": "db_reports", "exports": "db_exports"},
}
OPTIONS = {"coordinated": "-c lock_timeout=500 -c statement_timeout=1000", "separate": ""}  # ms; without: for ever
PATIENCE = {"coordinated": 0.5, "separate": 60.0}  # s that a task waits for a connection of its own pool
# [/pools]


# [query]
@task
def query(number: int, application: str) -> None:
    """Read with several connections at once, out of a connection pool; it is the pool that the database refuses."""
    with closing(ConnectionPool(EACH, 1.0, application, insist=INSISTS)) as pool, ExitStack() as stack:
        for _ in range(EACH):
            stack.enter_context(pool.transaction()).execute("SELECT clock_timestamp()")
        time.sleep(SECONDS)
        # [/query]


with DAG(dag_id=f"{LESSON}__pilot", schedule=None):
    query(0, APPLICATION)
for kind, pools in POOLS.items():
    for dag, shared in pools.items():
        with DAG(dag_id=f"{LESSON}__{kind}_{dag}", schedule=None):
            query.override(pool=shared).partial(application=APPLICATION).expand(number=list(range(TASKS)))

with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def watch() -> list[dict]:
        """Count the role's connections, and alarm whenever they come to be nearly used up."""
        return watch_role(run := Run.current(), "lab", ALARM, until=lambda: run.over("conduct"))

    @task(**CONTROL)
    def rehearse() -> dict[str, list]:
        """Use the connections up, while somebody watches; then see what three stalls cost with these timeouts."""
        run = Run.current()
        run.wait_for(lambda: run.started("watch"), seconds=60)
        return {"used": [use_up("lab", 0.5)], "stalls": stalls(OPTIONS[run.scenario], PATIENCE[run.scenario], LASTS)}

    @task(**CONTROL)
    def size() -> dict[str, float]:
        """Let a pilot show what a task holds, and make the pools: for what fits, or, each for itself, for the limit."""
        run, sessions = Run.current(), Sessions()
        run.trigger(f"{LESSON}__pilot", "pilot", application=(name := f"{run.run_id}-pilot"))
        seen = run.sample(
            lambda: sessions.sample(application=name), lambda: run.helper_runs_over(f"{LESSON}__pilot"), 60, 0.25
        )
        # [size]
        limit, each = sessions.limit("lab"), max(one["total"] for one in seen)
        slots = (limit - RESERVE) // each if run.scenario == "coordinated" else limit
        given = [run.create_pool(pool, slots).slots for pool in set(POOLS[run.scenario].values())]
        # [/size]
        return {"limit": limit, "each": each, "given": sum(given), "at": sessions.now()}

    @task(**CONTROL)
    def conduct() -> None:
        """Start both DAGs, and wait until they are done."""
        run = Run.current()
        helpers = [f"{LESSON}__{run.scenario}_{dag}" for dag in POOLS[run.scenario]]
        print("started", *(run.trigger(helper, "work", application=run.run_id) for helper in helpers))
        run.wait_for(lambda: run.helper_runs_over(*helpers), seconds=120)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the server counted and refused with its limit, the pool's slots and the alarms."""
        size, watched, told = run.result("size"), run.result("watch"), Upstream(run.run_id).notifications()
        seen = Exhaustion(**run.result("rehearse"), samples=watched, since=size["at"], alarms=[n["at"] for n in told])
        work = run.helpers(*(f"{LESSON}__{run.scenario}_{dag}" for dag in POOLS[run.scenario]))
        limit, each, slots = size["limit"], size["each"], reading(size["given"], "slots", "pools over REST")
        reached = (seen.granted() == limit) & (seen.refusal() == "53300") & (seen.highest() < limit)
        yield finding("Symptom identification", "the role's limit is what refuses; the work does not reach it", reached)
        fits = (slots == (limit - RESERVE) // each) & (seen.highest() == slots * each) & (count(work, "failed") == 0)
        yield finding("Pool sizing strategy", "what fits into the limit, less a reserve: all used, none refused", fits)
        timely = (seen.longest_stall() < LASTS) & (seen.gave_up() == 1)
        yield finding("Connection timeout handling", "who is stalled gives up, sooner than what stalls it", timely)
        wanted = (peak(work, "both DAGs") * each).named("connections that both DAGs want at once")
        yield finding("Task pool coordination", "together they leave the reserve alone", wanted <= limit - RESERVE)
        warned = (seen.warning() > 0) & (seen.alarms_in(work) == 0)
        yield finding("Monitoring setup", "the alarm comes before the refusal, and not while all is well", warned)

    watched = watch()
    rehearse() >> size() >> conduct() >> judge() << watched
