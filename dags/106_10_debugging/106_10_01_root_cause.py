"""# 106.10.1 Identifying backpressure root cause

**Purpose.** Find the bottleneck: seven flows of orders look alike, and six of them have a fault, each another one.

**What to watch.** Each case has a pool, a partner and a stock. Two orders of each go through; then faults are drawn,
and more come. The diagnosis knows neither which nor when: it asks where orders lose time, joins their logs with the
partner's, looks for the beginning, and writes a report. At last it sends orders round each suspect.

**Expected behaviour.** Root cause identified. In `untraced` orders, as most tasks, send no ids and log no steps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow import casebook, cases
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.diagnosis import report
from backpressure.findings import Finding, finding
from backpressure.measures.diagnoses import bracketed, isolated, joined, named_in, placed
from backpressure.phases import phase

LESSON, CASES, POOL = "106_10_01_root_cause", "abcdefg", "root_cause_"
FAULTS = dict.fromkeys(("pool", "neighbour", "surge"), "slot") | {one: one for one in ("partner", "database", "code")}
SLOTS, SURGE, NOTABLE = 2, 24, 2.5  # of a pool, orders in a surge, s that an order must lose in one place
HELPERS = [f"{LESSON}__{place}" for place in (*CASES, "elsewhere")]
own = partial(cases.Cases, LESSON, CASES, POOL, SLOTS)


# [order]
@task
def order() -> None:
    """Call the partner, take from the stock, work on each line; when traced, log how long each took, and the id."""
    ti, conf = get_current_context()["ti"], get_current_context()["dag_run"].conf
    lane, traced, skip = f"{conf['lesson']}-{conf['case']}", conf["scenario"] == "traced", conf.get("without")
    step, request = (phase, ti.run_id) if traced else (cases.silent, None)
    partner, take = cases.ways(lane)  # addresses, which Airflow knows: looked up before the clock runs
    with step("partner", request=request):
        if skip != "partner":
            partner.call(request_id=request)
    with step("database"):
        lines = 1 if skip == "database" else take() or 1
    with step("code"):
        time.sleep(0.1 * lines if skip != "code" else 0.0)
        # [/order]


for place in (*CASES, "elsewhere"):
    with DAG(dag_id=f"106_10_01_root_cause__{place}", schedule=None, max_active_runs=64):
        order.override(pool=POOL + place)()
    with DAG(dag_id=f"106_10_01_root_cause__reports_{place}", schedule=None):
        cases.report.override(pool=POOL + place).expand(number=[*range(SLOTS)])


# [rule]
def cause(lost: dict[str, float], seen: casebook.Seen) -> str:
    """What is wrong: where an order loses most time tells it; of those that wait for a slot, who has the slots."""
    where = max(lost, key=lost.__getitem__)
    if where == "slot":
        where = "neighbour" if seen.strangers else "surge" if seen.orders > seen.usual_orders else "slot"
        where = "pool" if seen.slots < seen.usual_slots else where
    return where if max(lost.values()) >= NOTABLE else "none"
    # [/rule]


with DAG(
    dag_id="106_10_01_root_cause",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "debugging", "intermediate", "success"],
    params={"scenario": Param("traced", enum=["traced", "untraced"])},
):

    @task(**CONTROL)
    def inject() -> list[dict[str, Any]]:
        """Let orders go through; then draw the faults, let more come, and keep what was drawn sealed until the end."""
        (mine := own()).begin()
        return mine.suffer(dict(zip(CASES, random.sample(["none", *FAULTS], 7), strict=True)), SURGE, until="isolate")

    @task(**CONTROL)
    def diagnose() -> dict[str, Any]:
        """Once each order is through, or has waited for a while, find out what is wrong from what is recorded."""
        (mine := own()).run.wait_for(lambda: mine.settled("now", 7.0, len(CASES)), cases.PATIENCE)
        book = casebook.Book(mine, NOTABLE)
        found = [book.diagnosis(case, cause(book.lost[case], book.seen(case))) for case in CASES]
        print(text := report(found), "is in", keep(f"{LESSON}.{mine.run.scenario}.md", text))
        return {"report": text, "cases": [one.to_dict() for one in found], "named": book.requests(), "at": book.at}

    @task(**CONTROL)
    def isolate(found: dict[str, Any]) -> list[dict[str, Any]]:
        """Send an order round each suspect, and one round something else."""
        return own().go_round(found["cases"])

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Open the seal, and compare."""
        sealed, found, tried = (run.result(name) for name in ("inject", "diagnose", "isolate"))
        right = placed(sealed, found["cases"], FAULTS, NOTABLE) == 1
        yield finding("Metric analysis", "most time is lost where the fault is, and none where there is none", right)
        logs = [Upstream(f"{run.run_id}-{case}").log(until=found["at"] - 2) for case in CASES]
        same = joined((one for log in logs for one in log.request_id.tolist()), found["named"]) >= 0.95
        yield finding("Log correlation", "the partner's requests are found in the tasks' logs, by their ids", same)
        since = bracketed(sealed, found["cases"]) == 1
        yield finding("Timeline reconstruction", "each fault came before its first sign, after the last good", since)
        again = run.helpers(*HELPERS, label="round")
        alone = isolated(sealed, tried, again, NOTABLE, passing=["surge"]) >= 0.8
        yield finding("Component isolation", "orders are quick round the suspect, but not round other things", alone)
        told = named_in(sealed, found["report"]) == 1
        yield finding("Root cause documentation", "the report names each fault, and none where there is none", told)

    [isolate(diagnose()), inject()] >> judge()
