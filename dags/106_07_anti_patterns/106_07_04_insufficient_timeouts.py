"""# 106.7.4 Insufficient timeout configuration

**Purpose.** Show timeout importance: three calls of a partner that does not answer them for thirty-six seconds, and,
in the same pool of three slots, four deliveries that are due in thirty-two.

**What to watch.** Each call sits in a slot and in an open transaction, and waits. No delivery gets a slot. When the
partner at last drops the connections the calls are tried again, and succeed; now the deliveries come, and the database
refuses all of them, since they are late.

**Expected behaviour.** Timeout strategy understood. By default the run fails. In `fixed` the same calls, with the same
single retry, have a timeout for the request, one for the task, and one for the transaction.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

from airflow.sdk import DAG, Param, task
from backpressure.airflow.due import DueDeliveries
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count, duration, gate, peak
from backpressure.measures.samples import most, stretch

POOL, SLOTS, CALLS, DELIVERIES = "insufficient_timeouts", 3, 3, 4
HANG, DUE, LONG = 36.0, 32.0, 18.0  # s of the partner's silence, until deliveries are due, and half of the silence
PARTNER, CALLERS = Upstream("insufficient_timeouts"), ("call_unbounded", "call_bounded")
# [timeouts]
REQUEST = {"broken": 60.0, "fixed": 1.0}  # seconds without an answer after which a request is given up
IDLE = {"broken": "0", "fixed": "3s"}  # how long a transaction may lie idle until the database ends it; 0: for ever
BOUNDED = {"execution_timeout": timedelta(seconds=5)}  # of the task; without it: for ever
# [/timeouts]
TAGS = ["reference", "anti-pattern", "intermediate", "failure"]
PARAMS = {"scenario": Param("broken", enum=["broken", "fixed"])}

with DAG("106_07_04_insufficient_timeouts", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make pool and table, and a partner that does not answer anybody's first request."""
        run = Run.current()
        run.create_pool(POOL, SLOTS)
        DueDeliveries(run.run_id).create()
        return PARTNER.begin(hang_first=1, hang_seconds=HANG, service_time=0.5)

    @task(**CONTROL)
    def watch() -> list[dict[str, float]]:
        """Look at the pool and at the calls' transactions until all is over."""
        from backpressure.airflow.database import Sessions  # noqa: PLC0415 - as above

        run, sessions = Run.current(), Sessions()

        def look() -> dict[str, float]:
            return sessions.sample(application=PARTNER.lane) | {"open": run.pool(POOL).open}

        return run.sample(look, lambda: run.over(*CALLERS, "deliver"), seconds=120, every=0.4)

    @task(**CONTROL)
    def plan(scenario: str) -> list[int]:
        """The calls of one scenario, once they are watched; none in the other."""
        run = Run.current()
        run.wait_for(lambda: run.started("watch"), seconds=60)
        return list(range(CALLS)) if run.scenario == scenario else []

    # [call]
    @task(pool=POOL, weight_rule="absolute", priority_weight=2, retries=1, retry_delay=timedelta(seconds=1))
    def call_partner(number: int) -> None:
        """Ask the partner within a transaction, as one does who wants to write the answer down."""
        from backpressure.airflow.database import connect  # noqa: PLC0415 - as above

        scenario = Run.current().scenario
        with closing(connect(application=PARTNER.lane)) as database, database.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [IDLE[scenario]])
            cursor.execute("BEGIN")
            PARTNER.call(key=f"call-{number}", timeout=REQUEST[scenario])
            cursor.execute("COMMIT")

    # [/call]
    @task(pool=POOL, weight_rule="absolute", priority_weight=1)
    def deliver(number: int, released: float) -> None:
        """Something quick that is worth nothing when it is late."""
        DueDeliveries(Run.current().run_id).deliver(f"delivery-{number}", due=released + DUE)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare tries, slots, waits and transactions with the partner's silence."""
        samples, tries = run.result("watch"), run.every_try(*CALLERS)
        first, second = (tries.select(tries.try_number == number) for number in (1, 2))
        calls, deliveries = run.tasks(*CALLERS).select(state=("success", "failed")), run.tasks("deliver")
        stuck = duration(first, "min", "first tries") > 4 * duration(second, "median", "second tries")
        yield finding(
            "Stuck tasks accumulate",
            "all first tries are stuck at once, each for more than four times as long as a second one takes",
            stuck & (peak(first, "first tries") == CALLS),
        )
        idle = most(samples, "in_transaction", "transactions that lie idle", "database")
        oldest = most(samples, "longest_transaction", "seconds of the longest transaction", "database")
        leaks = (idle == peak(first, "first tries")) & (oldest >= LONG)
        yield finding("Resource leak", "each stuck call holds an open transaction while it is stuck", leaks)
        blocked = gate(deliveries, "min", "deliveries") >= LONG
        yield finding("Queue blockage", "no delivery gets a slot for half of the partner's silence, or longer", blocked)
        full = stretch(samples, "open", 0, "time without an open slot", "pool samples") >= LONG
        yield finding("Slot exhaustion", "the pool has no open slot for as long", full)
        ended = duration(first, "max", "first tries") <= BOUNDED["execution_timeout"].total_seconds()
        done = count(calls, "success", "calls") == CALLS
        yield finding(
            "Proper timeout fix",
            "no try lasts longer than the task's timeout, no transaction lies idle for long, and all is done in time",
            ended & (oldest < LONG) & done & (count(deliveries, "success", "deliveries") == DELIVERIES),
        )

    released = prepare()
    planned = [plan.override(task_id=f"plan_{scenario}")(scenario) for scenario in ("broken", "fixed")]
    unbounded = call_partner.override(task_id="call_unbounded").expand(number=planned[0])
    bounded = call_partner.override(task_id="call_bounded", **BOUNDED).expand(number=planned[1])
    released >> [*planned, watching := watch()]
    planned >> (delivered := deliver.partial(released=released).expand(number=list(range(DELIVERIES))))
    [unbounded, bounded, delivered, watching] >> judge()
