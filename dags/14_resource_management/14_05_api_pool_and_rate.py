"""# 14.05 An API's pool and its rate

**Purpose.** Hold a rate, which a pool alone does not: a partner grants ten calls in any second.

**What to watch.** The partner does not answer until as many tasks call as the pool has slots, so that all of them are
at it together. In `pool_only` three tasks at once, and never four, make far more than ten calls in a second, since a
call takes a few milliseconds: the partner refuses with 429, and work is lost. In `limiter` the same tasks in the same
pool ask a limiter first, whose state they share.

**Expected behaviour.** The partner sees the agreed rate, refuses nothing, and every call is served.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.limiter import Rate, RateLimiter
from backpressure.measures.upstream import arrivals, in_progress, requests, served

PARTNER, POOL, SLOTS = Upstream("api_pool_and_rate"), "api_pool_and_rate", 3
KEY, QUOTA, PERIOD = "partner.pool_and_rate", 10, 1.0  # calls that the partner grants in any PERIOD
TASKS, CALLS, SERVICE = 4, 12, 0.01
# [limiter]
# In any second it grants burst + limit calls, and of each slot one more may be under way from before: 1 + 6 + 3 = 10.
RATE = Rate(limit=QUOTA - SLOTS - 1, period=PERIOD, burst=1)
LIMITER = RateLimiter(KEY, RATE, storage("backpressure_db"))
# [/limiter]

with DAG(
    dag_id="14_05_api_pool_and_rate",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "rate", "success"],
    params={"scenario": Param("limiter", enum=["limiter", "pool_only"])},
):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool, and let the partner grant its quota, but answer nobody yet."""
        Run.current().create_pool(POOL, SLOTS)
        quotas = {KEY: {"limit": QUOTA, "period": PERIOD}}
        return PARTNER.begin(quotas=quotas, service_time=SERVICE, capacity=0, queue_limit=None)

    @task(**CONTROL)
    def open_partner() -> None:
        """Let the partner answer once a call of each slot waits for it."""
        Run.current().wait_for(lambda: PARTNER.state()["waiting"] == SLOTS, seconds=120)
        PARTNER.configure(capacity=None)

    # [calls]
    @task(pool=POOL)
    def call_partner(number: int) -> None:
        """One task's calls, one after the other."""
        limited = Run.current().scenario == "limiter"
        for call in range(CALLS):
            if limited:
                LIMITER.acquire(timeout=120)
            PARTNER.call(key=KEY, request_id=f"{number}-{call}", timeout=120, check=False)
            # [/calls]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the partner's own log with the pool's slots and with what it grants."""
        since, ended = run.result("prepare"), float(run.tasks("call_partner").end.max(initial=0))
        log = PARTNER.log(since=since)
        fastest = arrivals(log, PERIOD, "most calls in a second")
        yield finding(
            "A pool bounds calls at once, not calls a second",
            "the partner has as many calls on its hands as the pool has slots, and more in a second than it grants",
            (in_progress(log, since, ended, "most calls in progress") == SLOTS) & (fastest > QUOTA),
        )
        yield finding("A limiter keeps the rate", "in no second do more calls arrive than granted", fastest <= QUOTA)
        refused = requests(log, "refused calls", status=429)
        yield finding("Nothing is refused", "the partner turns nobody away", refused == 0)
        yield finding(
            "No call is lost",
            "every call of every task is served",
            served(log, "calls served") == TASKS * CALLS,
        )

    calls = call_partner.expand(number=list(range(TASKS)))
    prepare() >> [calls, open_partner()] >> judge()
