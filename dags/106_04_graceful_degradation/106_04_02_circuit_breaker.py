"""# 106.4.2 Circuit breaker for external systems

**Purpose.** Protect from external failures: four tasks ask a partner for its rates twice a second. For six seconds the
partner takes every call and answers none.

**What to watch.** Four timeouts open the breaker, for all tasks at once, as its state is in PostgreSQL. While it is
open no call reaches the partner, and each is answered at once with the last good value, marked as stale. After two
seconds one call is let through as a probe; the first probe that succeeds closes the breaker.

**Expected behaviour.** Resilient external calls: nobody waits for what will not come, and all go on when it comes back.
In scenario `bare`, without the breaker, each call waits for its timeout and has no answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.breaker import CircuitBreaker, LastGood
from backpressure.findings import Finding, finding
from backpressure.measures.breaker import Journal, Story

CALLERS, CALLS, EVERY, TIMEOUT, OUTAGE = 4, 40, 0.5, 1.0, 6.0
PARTNER, JOURNAL = Upstream("circuit_breaker", timeout=TIMEOUT), Journal()
# [breaker]
FAILURES, OPEN_FOR, PERMITS = 4, 2.0, 1
BREAKER = CircuitBreaker(
    "circuit_breaker.partner",
    storage("backpressure_db"),
    failure_threshold=FAILURES,  # so many failures within a minute open it, whichever tasks had them
    open_for=OPEN_FOR,  # after that it lets probes through
    half_open_permits=PERMITS,  # so many at once
    probe_lease=3.0,  # a probe that has not come back by then is given up: longer than the calls' own timeout
    listeners=[JOURNAL],
)
RATES = LastGood(BREAKER, max_age=60.0)
# [/breaker]


def fetch(name: str) -> str:
    """The partner's rates."""
    return str(PARTNER.call("rates", request_id=name).data["digest"])[:8]


with DAG(
    dag_id="106_04_02_circuit_breaker",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "advanced", "success"],
    params={"scenario": Param("breaker", enum=["breaker", "bare"])},
):

    @task(**CONTROL)
    def prepare() -> dict[str, Any]:
        """Begin with a closed breaker and a healthy partner whose rates are new."""
        BREAKER.reset()
        return {"since": PARTNER.begin(service_time=0.02), "rates": fetch("prepare")}

    @task
    def call_partner(caller: int) -> dict[str, list[dict[str, Any]]]:
        """One task's calls, from when all tasks are there, one after the other; and what came of them."""
        (run := Run.current()).wait_for(lambda: run.started("call_partner", "break_down") > CALLERS, seconds=90)
        ask = partial(RATES.call, "rates", fetch) if run.scenario == "breaker" else fetch
        for number in range(CALLS):
            JOURNAL.call(f"{caller}-{number}", ask)
            time.sleep(EVERY)
        return JOURNAL.to_dict()

    @task(**CONTROL)
    def break_down() -> None:
        """Let the partner hang for a while, two seconds after all tasks have begun to call."""
        (run := Run.current()).wait_for(lambda: run.started("call_partner") == CALLERS, seconds=90)
        PARTNER.schedule([{"at": 2.0, "set": {"hang": 1.0}, "for": OUTAGE}])

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the callers saw with what reached the partner."""
        since, rates = (run.result("prepare")[name] for name in ("since", "rates"))
        story = Story.of(run.results("call_partner"), PARTNER.log(since=since))
        began, ended = (change["at"] for change in PARTNER.changes(since=since) if "hang" in change["settings"])
        yield finding(
            "Detect external overload",
            "the breaker opens in the outage, and not before, after as many failures as it was told",
            (story.failed_before("open", FAILURES) == FAILURES) & story.until("open", began).between(0, OUTAGE),
        )
        settled = (story.at("open") or began + 2 * TIMEOUT) + 1.5 * TIMEOUT  # what was under way has timed out
        yield finding(
            "Open circuit on failures",
            "no call that is asked for while the breaker is open reaches the partner, whichever task asks",
            story.held((since, CALLERS), (settled, PERMITS), until=ended)
            & (story.kept_out("open") >= 10)
            & (story.passed("open") == 0),
        )
        yield finding(
            "Half-open testing",
            "of those who ask while the breaker is half-open, one is let through and the others are kept out",
            (story.kept_out("half_open", "open") >= 2) & (story.most_arrivals("half_open", "open") == PERMITS),
        )
        yield finding(
            "Close on recovery",
            "the breaker closes within an open time and a probe of the recovery, and calls are served again",
            (story.until("closed", ended) <= OPEN_FOR + 3 * TIMEOUT) & (story.served_since("closed") == 1),
        )
        yield finding(
            "Fallback behaviors",
            "every call of the outage has an answer, at once, and the stale ones are what the partner still has",
            (story.answered(began, ended) == 1)
            & (story.stale_values(began, ended) == (rates,))
            & (story.took(began, ended) < 0.2 * TIMEOUT),
        )

    prepare() >> [call_partner.expand(caller=list(range(CALLERS))), break_down()] >> judge()
