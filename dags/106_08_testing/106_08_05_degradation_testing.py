"""# 106.8.5 Degradation testing

**Purpose.** Test graceful degradation from the users' side: four of them place orders and look at offers, through a
shop that asks a partner. For eight seconds the partner answers nobody.

**What to watch.** Offers are shed at the second failure, and four failures open the breaker. From then on orders are
served at once, from the last good prices. A probe finds out when the partner is back. Each user notes what came.

**Expected behaviour.** Degradation validated: of an outage users see old prices and no offers. In scenario `brittle`
the shop asks the partner each time, and users see timeouts and errors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.breaker import CircuitBreaker, LastGood
from backpressure.findings import Finding, finding
from backpressure.measures.breaker import Journal, Story
from backpressure.measures.experience import Experience
from backpressure.shedding import PriorityThresholds

USERS, REQUESTS, EVERY, TIMEOUT, CALM, OUTAGE = 4, 20, 1.0, 0.8, 3.0, 8.0
PARTNER, JOURNAL = Upstream("degradation_testing", timeout=TIMEOUT), Journal()
# [shop]
FAILURES, OPEN_FOR, LEASE = 4, 1.5, 2.0
BREAKER = CircuitBreaker(
    "degradation_testing.partner",
    storage("backpressure_db"),
    failure_threshold=FAILURES,
    open_for=OPEN_FOR,
    probe_lease=LEASE,
    listeners=[JOURNAL],
)
PRICES = LastGood(BREAKER, max_age=60.0)
SHEDDING = PriorityThresholds({"offer": 0.5, "order": math.inf})


class ShedError(Exception):
    """The shop does without this now."""


def ask(name: str) -> str:
    """The partner's prices."""
    return str(PARTNER.call("prices", request_id=name).data["digest"])[:8]


def shop(name: str) -> Any:
    """Answer a request: shed it, ask the partner, or serve what is kept; the load is how near the breaker is."""
    now, kind = BREAKER.snapshot(), name.partition("-")[0]
    load = now.failures / FAILURES if now.state == "closed" else 1.0
    if kind in SHEDDING.refused(load):
        raise ShedError(name)
    return PRICES.call("prices", ask, name)
    # [/shop]


TAGS = ["reference", "testing", "intermediate", "success"]
PARAMS = {"scenario": Param("graceful", enum=["graceful", "brittle"])}
with DAG("106_08_05_degradation_testing", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict[str, Any]:
        """Begin with a closed breaker and a healthy partner whose prices are new."""
        BREAKER.reset()
        return {"since": PARTNER.begin(service_time=0.02), "prices": ask("prepare")}

    @task
    def visit(user: int) -> dict[str, list[dict[str, Any]]]:
        """One user's requests, each when it is due, and what came of them, by the user's own clock."""
        answer, began = shop if Run.current().scenario == "graceful" else ask, time.monotonic()
        for number in range(REQUESTS):
            time.sleep(max(0.0, began + number * EVERY - time.monotonic()))
            JOURNAL.call(f"{'offer' if number % 2 else 'order'}-{user}-{number}", answer)
        return JOURNAL.to_dict()

    @task(**CONTROL)
    def break_down() -> None:
        """Let the partner hang for a while, once all users have come."""
        (run := Run.current()).wait_for(lambda: run.started("visit") == USERS, seconds=90)
        PARTNER.schedule([{"at": CALM, "set": {"hang": 1.0}, "for": OUTAGE}])

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what users saw before, during and after the outage with what reached the partner."""
        since, prices = (run.result("prepare")[name] for name in ("since", "prices"))
        story = Story.of(run.results("visit"), PARTNER.log(since=since))
        began, ended = (change["at"] for change in PARTNER.changes(since=since) if "hang" in change["settings"])
        back, settled = ended + OPEN_FOR + EVERY + 2 * TIMEOUT, began + FAILURES * EVERY + 2 * TIMEOUT
        seen = Experience.of(story.calls, before=(since, began), during=(began, ended), after=(back, math.inf))
        marks = [(began, "outage"), (ended, "partner back")]
        keep(f"{run.dag_id}.{run.scenario}.svg", seen.picture(f"Orders, {run.scenario}", "order", marks))
        keep(f"{run.dag_id}.{run.scenario}.md", seen.table())
        served = seen.first_stale("order") <= FAILURES * EVERY + TIMEOUT
        served &= (seen.stale("order", "during") >= 0.5) & (story.stale_values(began, ended) == (prices,))
        yield finding("Fallback activation", "soon, orders are served at the last prices the partner told", served)
        trips = (story.failed_before("open", FAILURES) == FAILURES) & story.until("open", began).between(0, OUTAGE)
        trips &= (story.passed("open") == 0) & (story.kept_out("open") >= USERS)
        yield finding("Circuit breaker triggers", "it opens after so many failures, and then nothing passes", trips)
        shed = (seen.error("offer", "during", "ShedError") >= 0.5) & (seen.error("order", "during", "ShedError") == 0)
        shed &= (seen.error("offer", "before", "ShedError") == 0) & (seen.error("offer", "after", "ShedError") == 0)
        yield finding("Load shedding behavior", "offers are shed in the outage only, orders never", shed)
        heals = story.arrived(settled, ended) <= 1 + OUTAGE / OPEN_FOR
        heals &= (story.until("closed", ended) <= back - ended) & (seen.fresh(None, "after") >= 0.9)
        yield finding("Recovery procedures", "probes alone find the partner back, and then all is fresh again", heals)
        calm = (seen.answered("order", "during") >= 0.95) & (seen.latency("order", "during") < 0.5 * TIMEOUT)
        calm &= (seen.stale("order", "before") <= 0.1) & (seen.stale("order", "after") <= 0.1)
        yield finding("User experience during degradation", "orders are answered, quickly as a rule", calm)

    prepare() >> [visit.expand(user=list(range(USERS))), break_down()] >> judge()
