"""# 106.4.3 Rate limiting external calls

**Purpose.** Limit the load on an external system: a partner grants each key 16 calls in any two seconds. Four tasks,
two for each of two keys, have 24 calls each; two more use a key whose quota nobody has told us.

**What to watch.** All tasks run at once, and each call waits for a permit of its key's token bucket, which lies in
PostgreSQL: the partner sees the agreed rate and refuses nothing. The third key's limiter is set too high: there the
partner refuses with 429 and `Retry-After`, and the limiter takes that over, for everybody who uses the key.

**Expected behaviour.** External systems protected: no call too many, none lost, each done as early as the quota allows.
In scenario `pool_only`, without limiters, a pool of two slots lets few tasks call at once, and far too often.
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
from backpressure.measures import peak
from backpressure.measures.upstream import arrivals, arrivals_above, honoured, requests, served, span

POOL, FEW, TRIES = "rate_limiting", 2, 3
PARTNER = Upstream("rate_limiting")
ONE, TWO, UNTOLD, PERIOD = "partner.one", "partner.two", "partner.untold", 2.0
QUOTAS = {ONE: 16, TWO: 16, UNTOLD: 4}  # calls of each key that the partner takes in any PERIOD
CALLS = {ONE: 24, TWO: 24, UNTOLD: 6}  # of each of two callers
CALLERS = [{"key": key, "caller": caller} for key in QUOTAS for caller in (1, 2)]
# [limiters]
# In any PERIOD it lets through burst + rate * PERIOD = 4 + 4 * 2 = 12 calls, which leaves room for late ones.
KNOWN = Rate(4, 1.0, burst=4)
RATES = {ONE: KNOWN, TWO: KNOWN, UNTOLD: Rate(10, 1.0, burst=5)}
LIMITERS = {key: RateLimiter(key, rate, storage("backpressure_db")) for key, rate in RATES.items()}
# [/limiters]


# [paced]
def paced(key: str, name: str) -> bool:
    """Call when there is a permit; where the partner refuses all the same, everybody waits as long as it says."""
    while True:
        LIMITERS[key].acquire(timeout=60)
        reply = PARTNER.call(key=key, request_id=name, check=False)
        if reply.ok:
            return True
        LIMITERS[key].adopt(reply.headers)
        # [/paced]


with DAG(
    dag_id="106_04_03_rate_limiting",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("limited", enum=["limited", "pool_only"])},
):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool, and set what the partner grants each key."""
        run = Run.current()
        run.create_pool(POOL, FEW if run.scenario == "pool_only" else len(CALLERS))
        quotas = {key: {"limit": limit, "period": PERIOD} for key, limit in QUOTAS.items()}
        return PARTNER.begin(quotas=quotas, service_time=0.01)

    @task(pool=POOL)
    def call_partner(key: str, caller: int) -> None:
        """One task's calls, one after the other."""
        names = [f"{key}-{caller}-{number}" for number in range(CALLS[key])]
        if Run.current().scenario == "limited":
            done = [paced(key, name) for name in names]
        else:
            done = [any(PARTNER.call(key=key, request_id=n, check=False).ok for _ in range(TRIES)) for n in names]
        print(f"{sum(done)} of {len(done)} calls succeeded")

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the partner's own log with what it grants, and with what the limiters were told."""
        log = PARTNER.log(since=run.result("prepare"))
        one, two, untold, known = (log.select(key=key) for key in (ONE, TWO, UNTOLD, [ONE, TWO]))
        room = (
            QUOTAS[ONE] - KNOWN.burst - KNOWN.limit * PERIOD
        )  # what calls may be late by, and still be within the quota
        yield finding(
            "Implement rate limits",
            "more tasks call at once than a small pool lets, and none is refused where the quota is known",
            (peak(run.tasks("call_partner")) > FEW) & (requests(known, "refused calls", status=429) == 0),
        )
        yield finding(
            "Token bucket patterns",
            "half of the burst at least is used, and in no interval do more calls arrive than burst + rate * length",
            (arrivals(one, PERIOD, "calls of key one in 2 s") >= KNOWN.limit * PERIOD + KNOWN.burst / 2)
            & (arrivals_above(one, KNOWN.limit, KNOWN.burst, "calls above burst + rate * length") <= room),
        )
        yield finding(
            "Per-connection limits",
            "each key keeps to its own quota, and both together get more through than one of them may",
            (arrivals(one, PERIOD, "calls of key one in 2 s") <= QUOTAS[ONE])
            & (arrivals(two, PERIOD, "calls of key two in 2 s") <= QUOTAS[TWO])
            & (arrivals(known, PERIOD, "calls of both in 2 s") > QUOTAS[ONE]),
        )
        yield finding(
            "Backoff strategies",
            "where the limiter is set too high, whoever is refused comes back no sooner than the partner says",
            (requests(untold, "refused calls of the third key", status=429) >= 1)
            & (honoured(untold, "refused calls that waited as told") == 1),
        )
        asked, least = 2 * sum(CALLS.values()), (2 * CALLS[ONE] - KNOWN.burst) / KNOWN.limit
        yield finding(
            "Queue excess requests",
            "no call is lost, and those that waited were done as soon as the rate allows",
            (served(log, "calls served") == asked) & span(one, "seconds from first call to last").near(least, 0.15),
        )

    prepare() >> call_partner.expand_kwargs(CALLERS) >> judge()
