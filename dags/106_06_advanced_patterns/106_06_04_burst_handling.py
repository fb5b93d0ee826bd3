"""# 106.6.4 Burst handling patterns

**Purpose.** Manage sudden load spikes: an order now and then, and suddenly six at once. Each is some seconds of our own
work and then four calls of a partner, who serves four at a time, lets two more wait, and refuses the rest.

**What to watch.** `absorb` looks twice a second how many orders have come, and tells a burst from an ordinary day. For
its length the pool has five slots instead of two, while each order reserves the instants of its calls from a rate that
the partner bears. When nothing waits any more, pool and alert go back.

**Expected behaviour.** Graceful burst absorption. In `raw` the pool always has five slots, and nothing is smoothed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.arrivals import arrive
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.burst import BurstDetector
from backpressure.findings import Finding, finding
from backpressure.limiter import Permit, Rate, RateLimiter
from backpressure.measures import peak
from backpressure.measures.bursts import Burst
from backpressure.measures.samples import most, reading
from backpressure.measures.upstream import requests

LESSON, SIZE, LINES, WORK, POOL = "106_06_04_burst_handling", 6, 4, 2.5, "burst_handling"
ORDER, BURST, PARTNER = f"{LESSON}__order", f"{LESSON}__burst", Upstream("burst_handling")
FEW, MANY, RATE = 2, 5, 2.0  # slots on ordinary days and in a burst, calls a second
SMOOTH = RateLimiter("burst_handling.partner", Rate(RATE, 1.0), storage())
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("smoothed", enum=["smoothed", "raw"])}


@task(pool=POOL)
def order(number: int, dag_run: Any = None) -> None:
    """Some work of our own, and then a call for each line of the order."""
    time.sleep(WORK)
    # [smooth]
    permits = SMOOTH.reserve(LINES) if dag_run.conf["smooth"] else [Permit(delay=0.0, at=0.0)] * LINES

    def send(permit: Permit) -> None:
        time.sleep(permit.delay)
        PARTNER.call(check=False)

    with ThreadPoolExecutor(LINES) as lines:
        list(lines.map(send, permits))
    # [/smooth]


for name, size in (("order", 1), ("burst", SIZE)):
    with DAG(dag_id=f"106_06_04_burst_handling__{name}", schedule=None):
        order.expand(number=list(range(size)))

with DAG(dag_id="106_06_04_burst_handling", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool, and a partner with little room."""
        (run := Run.current()).create_pool(POOL, FEW if run.scenario == "smoothed" else MANY)
        SMOOTH.reset()
        return PARTNER.begin(capacity=4, queue_limit=2, service_time=1.5)

    @task(**CONTROL)
    def customers(since: float) -> None:
        """Once somebody looks: an order every other second, and then six at once."""
        smooth = {"smooth": (run := Run.current()).scenario == "smoothed"}
        run.wait_for(lambda: PARTNER.notifications(since=since), seconds=60)
        arrive(run, [(2.0 * n, kind, f"{n}", smooth) for n, kind in enumerate((ORDER, ORDER, BURST))])
        run.wait_for(lambda: run.helper_runs_over(ORDER) and run.helper_runs_over(BURST), seconds=120)

    @task(**CONTROL)
    def absorb() -> list[dict[str, float]]:
        """Look at what has come; widen the pool in a burst, and narrow it when nothing waits any more."""
        run, detector, raised, seen, over = Run.current(), BurstDetector(window=2.0, least=4), False, [], False
        while not over:
            over = run.over("customers")  # asked before the look: the last one sees all that there was
            # [absorb]
            records = [record for record in run.helper_records(ORDER, BURST) if record["scheduled_when"]]
            rates = detector.look(time.time(), len(records))
            waiting = sum(record["start_date"] is None for record in records)
            if run.scenario == "smoothed" and raised != (rates.burst or (raised and waiting > 0)):
                raised = not raised
                run.resize_pool(POOL, MANY if raised else FEW)
                PARTNER.notify({"alert": "raised" if raised else "cleared"})
            # [/absorb]
            if not seen:
                PARTNER.notify("somebody looks")
            seen.append({"at": time.time(), "slots": run.pool(POOL).slots, "waiting": waiting, **rates._asdict()})
            time.sleep(0.5)
        return seen

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare when orders came with what was sent, when, and with what people were told."""
        since, seen = run.result("prepare"), run.result("absorb")
        log, came, work = PARTNER.log(since=since), run.helpers(BURST), run.helpers(ORDER, BURST)
        burst = Burst(work, came, log, PARTNER.notifications(since=since), LINES)
        soon = (burst.told("raised") == 1) & (burst.noticed() >= 0) & (burst.unstarted() >= SIZE / 2)
        yield finding("Detect burst patterns", "people know of the burst, and of nothing else, while most waits", soon)
        ends = reading((seen[0]["slots"], seen[-1]["slots"]) if seen else None, "slots at first and at last", "pool")
        wide = (most(seen, "slots", "slots at most") == MANY) & (ends == (FEW, FEW))
        wide &= peak(came, slots=True, begin="queued") > FEW
        yield finding("Temporary capacity expansion", "the pool is widened, is used, and is narrowed again", wide)
        spread = (burst.peak(1.0) >= 4 * burst.sent(1.0)) & (requests(log, "calls refused", status=503) == 0)
        yield finding("Smoothing algorithms", "what comes at once is sent at a rate that the partner bears", spread)
        done = burst.recovered() <= 4 * SIZE * LINES / RATE
        done &= requests(log, "calls served", status=200) == LINES * len(work)
        yield finding("Recovery procedures", "all calls are served, within four times the time that they need", done)
        told = (burst.told("raised") == 1) & (burst.told("cleared") == 1) & (burst.cleared() >= 0)
        yield finding("Burst alerting", "people are told once of the burst, and once that none of it waits", told)

    [customers(since := prepare()), since >> absorb()] >> judge()
