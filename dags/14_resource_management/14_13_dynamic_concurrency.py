"""# 14.13 Dynamic concurrency

**Purpose.** Let concurrency follow the load: a controller halves a pool's slots while a partner is busy, and gives them
back afterwards.

**What to watch.** Sixteen calls in a pool of four slots. While the first four go on the partner has little left for
us, and says so. The controller looks three times a second and makes the pool two slots: calls that have a slot keep
it, and from then on two are given one at once. When the partner has recovered, there are four again.

**Expected behaviour.** What starts, starts as the load allows. The rule is one line; what makes it work is that a task
asks it again and again and changes a *pool*. Limits in the DAG are read from its serialized form and stay as they are.

**Scenario `parse_time`.** The rule is asked once, at the beginning, as where a DAG file calls it: always four slots.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures.queues import given_at_once
from backpressure.measures.samples import share

PARTNER, POOL = Upstream("dynamic_concurrency"), "dynamic_concurrency"
CALLS, SECONDS, SOME, MOST_LOOKS = 16, 1.5, 3, 400
EASY, BUSY = 8, 2  # what the partner can serve at once
# [rule]
BASE, HIGH = 4, 0.8


def slots_for(load: float) -> int:
    """As many slots as ever, or half of them while the load is high."""
    return max(1, BASE // 2) if load > HIGH else BASE
    # [/rule]


with DAG(
    dag_id="14_13_dynamic_concurrency",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "concurrency", "pool", "success"],
    params={"scenario": Param("controller", enum=["controller", "parse_time"])},
):

    @task(pool=POOL)
    def call(number: int) -> None:
        """One call of the partner."""
        PARTNER.call("fetch", request_id=f"call {number}")

    @task(**CONTROL)
    def prepare() -> None:
        """Make the pool; the partner has much to spare."""
        Run.current().create_pool(POOL, BASE)
        PARTNER.begin(capacity=EASY, service_time=SECONDS)

    @task(**CONTROL)
    def steer() -> list[dict[str, Any]]:
        """Play the partner's weather, and after each change and three times a second look at the load and act."""
        run, fixed, enough = Run.current(), slots_for(BASE / EASY), None
        seen: list[dict[str, Any]] = []
        while not run.over("call") and len(seen) < MOST_LOOKS:
            if enough is None and run.started("call") >= BASE:
                PARTNER.configure(capacity=BUSY)
            elif enough is not None and run.ended("call") >= enough:
                PARTNER.configure(capacity=EASY)
            # [controller]
            load = BASE / PARTNER.state()["settings"]["capacity"]  # what we would ask for, by what there is
            wanted = slots_for(load) if run.scenario == "controller" else fixed
            pool = run.pool(POOL)
            if wanted != pool.slots:
                pool = run.resize_pool(POOL, wanted)
            # [/controller]
            seen.append({"at": time.time(), "load": load, "slots": pool.slots})
            if load > HIGH and enough is None:  # it is busy until some that were given a slot meanwhile have ended
                enough = run.ended("call") + pool.occupied + SOME
            time.sleep(0.3)
        return seen

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the pool with the load, and how many calls were given a slot at once with the pool."""
        seen, calls = run.result("steer"), run.tasks("call")
        busy = [one["at"] for one in seen if one["load"] > HIGH]
        after = [one["at"] for one in seen if busy and one["at"] > busy[-1]]
        under = given_at_once(calls, (busy[0], busy[-1]) if busy else None, "calls under load")
        later = given_at_once(calls, (after[0], float("inf")) if after else None, "calls after it")
        yield finding(
            "The pool follows the load",
            "at each look the pool has the slots that the rule gives for the partner's load",
            share((one["slots"] == slots_for(one["load"]) for one in seen), "looks with these slots", "pools over REST")
            == 1,
        )
        yield finding(
            "What starts under load is bounded by the smaller pool",
            "whenever a call is given a slot under load, half as many as usual have one",
            under == BASE // 2,
        )
        yield finding(
            "Concurrency comes back when the load is gone",
            "afterwards more calls have a slot at once than under load, as many as before",
            (later == BASE) & (later > under),
        )

    prepare() >> [call.expand(number=list(range(CALLS))), steer()] >> judge()
