"""# 106.6.2 Multi-tenant backpressure

**Purpose.** Isolate tenant impacts: `a` floods the platform with 20 calls, of which each says that nothing is more
urgent. `b` and `c` have three each, which come a little later.

**What to watch.** Each tenant has a pool of its own, a quota of calls, and a weight for the one slot that all share for
what is too much for their own. The flood fills `a`'s two slots and uses up its quota; the rest of it is skipped. `b`
waits about as long as it did alone, before the flood.

**Expected behaviour.** Tenant isolation maintained. In scenario `shared` there is one pool of as many slots and no
quota: `a` takes all slots, and then the calls that the partner grants us all together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowSkipException
from backpressure.airflow.backlog import this_item
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.limiter import Quota, RateLimiter
from backpressure.measures import count, duration, gate, inversions, overtakes, peak
from backpressure.measures.tenants import fairness, ranked
from backpressure.measures.upstream import requests

LESSON = "106_06_02_multi_tenant_backpressure"
TENANTS, ALLOWED, WORK, EXTRA = "abc", 16, {"a": 17, "b": 2, "c": 2}, {"a": 3, "b": 1, "c": 1}
# [tenants]
SLOTS = {"a": 2, "b": 1, "c": 1}  # of a pool for each tenant
WEIGHTS = {"a": 1, "b": 3, "c": 2}  # in the pool of one slot that they share beside,
CLAIMS = {"a": 9, "b": 1, "c": 1}  # and not what they say of themselves
QUOTA = 6  # calls a day
LIMITERS = {one: RateLimiter(f"tenants.{one}", Quota(QUOTA, "day"), storage()) for one in TENANTS}
# [/tenants]
PARTNER, OVERFLOW, SHARED = Upstream("multi_tenant"), "tenants_overflow", "tenants_shared"
WHERE = {"own": (OVERFLOW, WEIGHTS), "shared": (SHARED, CLAIMS)}  # what is too much for a tenant, and by which weights
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("isolated", enum=["isolated", "shared"])}


@task(weight_rule="absolute")
def call(number: int, tenant: str, limited: bool) -> None:  # noqa: FBT001 - a task's argument
    """One call of the partner, by the account that all tenants use."""
    # [quota]
    if limited and not LIMITERS[tenant].try_acquire():
        raise AirflowSkipException(f"tenant {tenant} has used up its quota")
    PARTNER.call(tenant, key="ours", request_id=this_item(), check=False)
    # [/quota]


for one, (where, (spare, weights)) in product(TENANTS, WHERE.items()):
    with DAG(dag_id=f"106_06_02_multi_tenant_backpressure__{one}_{where}", schedule=None):
        pool = f"tenant_{one}" if where == "own" else SHARED
        ours = call.override(task_id="work", pool=pool, priority_weight=CLAIMS[one])
        more = call.override(task_id="extra", pool=spare, priority_weight=weights[one])
        for calls, number in ((ours, WORK[one]), (more, EXTRA[one])):
            calls.partial(tenant=one, limited=where == "own").expand(number=list(range(number)))

with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict[str, Any]:
        """Make the pools; nobody has used any quota yet, and the partner grants our account so many calls a minute."""
        run, sizes = Run.current(), {OVERFLOW: 1, SHARED: sum(SLOTS.values())}
        slots = {one: run.create_pool(f"tenant_{one}", SLOTS[one]).slots for one in TENANTS}
        [run.create_pool(pool, size) for pool, size in sizes.items()]
        [limiter.reset() for limiter in LIMITERS.values()]
        quotas = {"ours": {"limit": ALLOWED, "period": 60.0}}
        return {"slots": slots, "since": PARTNER.begin(capacity=None, service_time=2.0, quotas=quotas)}

    @task(**CONTROL)
    def tenants_come() -> None:
        """First b alone, to see how long it waits then; after it a, b and c, until all wait for the spare slot."""
        run = Run.current()
        run.trigger(f"{LESSON}__b_own", "alone")
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__b_own"), seconds=60)
        dags = {one: f"{LESSON}__{one}_{'own' if run.scenario == 'isolated' else 'shared'}" for one in TENANTS}
        run.resize_pool(OVERFLOW, 0)
        run.trigger(dags["a"], "a")
        run.wait_for(lambda: run.arrived("tenant_a", SHARED, helper=dags["a"]), seconds=60)
        [run.trigger(dags[one], one) for one in "bc"]
        run.wait_for(lambda: all(run.arrived(OVERFLOW, SHARED, helper=dags[one]) >= EXTRA[one] for one in TENANTS), 60)
        run.resize_pool(OVERFLOW, 1)
        run.wait_for(lambda: all(run.helper_runs_over(dag) for dag in dags.values()), seconds=120)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what each tenant got with what it is entitled to, and with what b had alone."""
        slots, since = (run.result("prepare")[name] for name in ("slots", "since"))
        load = {one: run.helpers(f"{LESSON}__{one}_own", f"{LESSON}__{one}_shared", label=one) for one in TENANTS}
        work = {one: tasks.select(task_id="work") for one, tasks in load.items()}
        alone, log = run.helpers(f"{LESSON}__b_own", label="alone"), PARTNER.log(since=since)
        a, b, c = (peak(work[one], f"tenant {one}", slots=True) for one in TENANTS)
        own = (a == slots["a"]) & (b <= slots["b"]) & (c <= slots["c"])
        yield finding("Per-tenant pool allocation", "the flood fills a's pool, and nobody takes more than his", own)
        fair = fairness(work, slots) >= 0.8
        yield finding("Fair scheduling across tenants", "while all have work, each holds the slots that are his", fair)
        undisturbed = gate(work["b"], "min", "b, flooded") < duration(alone.select(task_id="work"), "min", "b alone")
        yield finding("Noisy neighbor prevention", "b's first call waits for nobody else's to end", undisturbed)
        common = ranked({one: tasks.select(pool=[OVERFLOW, SHARED]) for one, tasks in load.items()}, WEIGHTS)
        decides = "where tenants share slots the platform's weights decide, and not what the tenants say of themselves"
        by_weight = (overtakes(common, "tenants") >= 1) & (inversions(common, "tenants") == 0)
        yield finding("Tenant priority configuration", decides, by_weight)
        asked = count(alone | load["b"] | load["c"], label="calls of b and c")
        yield finding(
            "Quota enforcement",
            "of the flood the partner sees the quota, and the rest is skipped; b and c get every call that they want",
            (requests(log.select(path="a"), "calls of a") == QUOTA)
            & (count(load["a"], "skipped", "calls of a") == WORK["a"] + EXTRA["a"] - QUOTA)
            & (requests(log.select(path=["b", "c"]), "calls of b and c served", status=200) == asked),
        )

    prepare() >> tenants_come() >> judge()
