"""# 14.19 Good and bad pool designs

**Purpose.** Give each resource a pool of its own, named and sized after it; see what one pool for all of them does.

**What to watch.** A partner bears two calls at once, and today it does not answer. Four calls come, and then three
downloads from somewhere else. With a pool for each, two calls reach the partner, two wait, and the downloads go on as
if nothing were wrong. The partner answers when the downloads are done, or all wait for a slot.

**Expected behaviour.** What is slow holds up what needs it, and nothing else; and the pool's backlog says what that is.

**Scenario `generic`.** One pool `external` of four slots for both: all four calls are at the partner, which bears two,
and the downloads wait for a partner that they have nothing to do with.
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
from backpressure.measures import peak
from backpressure.measures.samples import reading, share
from backpressure.pools import PoolStatus

LESSON, PARTNER = "14_19_pool_designs", Upstream("pool_designs", timeout=120)
CALLS, DOWNLOADS = 4, 3
# [designs]
BEARS = 2  # calls at once, says the partner
SPECIFIC = {"api_partner_x": BEARS, "s3_downloads": 3}
GENERIC = {"external": 4}
POOL_OF = {"specific": ("api_partner_x", "s3_downloads"), "generic": ("external", "external")}
# [/designs]


@task
def call(number: int) -> None:
    """One call of the partner."""
    PARTNER.call("fetch", request_id=f"call {number}")


def stuck(pool: PoolStatus) -> bool:
    """Whether all downloads wait for a slot, and there is none."""
    return pool.open <= 0 and pool.scheduled >= DOWNLOADS


@task
def download(number: int) -> None:
    """Get something from elsewhere."""
    time.sleep(0.2)


for name, (of_calls, of_downloads) in POOL_OF.items():
    with DAG(dag_id=f"14_19_pool_designs__calls_{name}", schedule=None):
        call.override(pool=of_calls).expand(number=list(range(CALLS)))
    with DAG(dag_id=f"14_19_pool_designs__downloads_{name}", schedule=None):
        download.override(pool=of_downloads).expand(number=list(range(DOWNLOADS)))

with DAG(
    dag_id="14_19_pool_designs",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "pool", "success"],
    params={"scenario": Param("specific", enum=["specific", "generic"])},
):

    @task(**CONTROL)
    def conduct() -> dict[str, Any]:
        """Let calls and then downloads come to a partner that does not answer; wait for a while, and let it answer."""
        run = Run.current()
        calls, downloads = (f"{LESSON}__{kind}_{run.scenario}" for kind in ("calls", "downloads"))
        of_calls, of_downloads = POOL_OF[run.scenario]
        for pool, slots in (SPECIFIC | GENERIC).items():
            run.create_pool(pool, slots)
        with PARTNER.shut(service_time=0.1):
            run.trigger(calls, "calls")
            run.wait_for(lambda: PARTNER.state()["waiting"] >= run.pool(of_calls).occupied >= BEARS, seconds=60)
            run.trigger(downloads, "downloads")
            run.wait_for(lambda: run.helper_runs_over(downloads) or stuck(run.pool(of_downloads)), seconds=90)
            pool, at_partner, at = run.pool(of_calls), PARTNER.state()["waiting"], time.time()
        run.wait_for(lambda: run.helper_runs_over(calls) and run.helper_runs_over(downloads), seconds=120)
        return {"at": at, "at_partner": at_partner, "backlog": pool.scheduled}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what came to the partner, and what waited, with what the partner bears."""
        calls, downloads = (run.helpers(f"{LESSON}__{kind}_{run.scenario}") for kind in ("calls", "downloads"))
        seen = run.result("conduct")
        at_partner = reading(seen["at_partner"] if len(calls) else None, "calls at the partner", "upstream")
        yield finding(
            "A pool of a purpose is as large as its resource bears",
            "as many calls hold slots, and are at the partner, as it bears",
            (peak(calls, begin="queued", slots=True) == BEARS) & (at_partner == BEARS),
        )
        yield finding(
            "What is slow holds up nothing else",
            "the downloads are done while the partner does not answer",
            share(downloads.end < seen["at"], "downloads done by then", of=downloads) == 1,
        )
        waiting = int(((calls.scheduled <= seen["at"]) & (calls.queued > seen["at"])).sum()) if len(calls) else None
        told = reading(seen["backlog"], "backlog of their pool", "pools over REST")
        yield finding(
            "The pool's backlog says what is waited for",
            "what the calls' pool tells of its backlog are the calls that wait for the partner, and nothing else",
            (reading(waiting, "calls that wait", "task instances") == told) & (told > 0),
        )

    conduct() >> judge()
