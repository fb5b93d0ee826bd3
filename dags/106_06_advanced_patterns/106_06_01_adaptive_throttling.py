"""# 106.6.1 Adaptive throttling

**Purpose.** Dynamic throttle adjustment: six tasks call a partner that bears four calls at once, then two, then four
again. It tells nobody, and refuses what is too much.

**What to watch.** The calls go through a bulkhead whose limit all tasks learn together. A window of time without a
refusal adds one call, a window with one takes away three tenths. From one call at first the limit climbs to what the
partner bears, falls when that falls, and climbs again when it is well.

**Expected behaviour.** Self-tuning throttling: near the capacity from either side, and never more than two calls above
it once settled. In scenario `fixed` the limit is six, which somebody once found good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.adaptive import AIMD, AdaptiveBulkhead, AdaptiveLimit
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream, UpstreamUnavailableError
from backpressure.bulkhead import Bulkhead
from backpressure.findings import Finding, finding
from backpressure.measures.following import Following, Learning

CALLERS, SERVICE, PAUSE = 6, 1.2, 0.8  # seconds that a call takes, and after which one that was refused comes again
PARTNER, USUAL, POOR, OVER = Upstream("adaptive_throttling"), 4, 2, 1
PATIENCE, SETTLED = 14.0, 3.0  # seconds for which the limit may look for a new capacity, and then stays with it
# [rule]
STEP, WINDOW = 1, 1.5  # calls added at once, and seconds of a window: longer than a call
RULE = AIMD(
    initial=1,  # begin with one call and find out
    increase=STEP,  # after a window in which nothing was refused
    backoff=0.7,  # after one in which something was
)
# [/rule]
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("aimd", enum=["aimd", "fixed"])}

with DAG(
    dag_id="106_06_01_adaptive_throttling", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS
):

    @task(**CONTROL)
    def prepare() -> float:
        """A partner that refuses at once what it has no room for, which is everything until all six call."""
        return PARTNER.begin(capacity=0, queue_limit=0, service_time=SERVICE)

    @task
    def call_partner(caller: int) -> list[dict[str, Any]]:
        """One task's calls, one after the other, until the partner says that the day is over."""
        run, learning, over = Run.current(), Learning(RULE), False
        # [permit]
        limit = AdaptiveLimit(run.run_id, storage(), algorithm=learning, window=WINDOW)
        learned, fixed = AdaptiveBulkhead(limit), Bulkhead(run.run_id, CALLERS, storage())
        permit = learned.hold if run.scenario == "aimd" else fixed.acquire
        while not over:
            try:
                with permit(timeout=30):
                    over = PARTNER.call().data["revision"] == OVER
            except UpstreamUnavailableError:  # the bulkhead has noted it
                time.sleep(PAUSE)
        # [/permit]
        return learning.windows

    @task(**CONTROL)
    def change_capacity() -> list[dict[str, float]]:
        """Once all call: open, fall, and rise again, each time when the limit has followed the partner's capacity."""
        run, seen = Run.current(), []
        limit = AdaptiveLimit(run.run_id, storage(), algorithm=RULE)

        def note() -> None:
            seen.append({"at": time.time(), "limit": limit.limit if run.scenario == "aimd" else CALLERS})

        def is_there() -> bool:
            return seen[-1]["limit"] >= USUAL if capacity == USUAL else seen[-1]["limit"] <= POOR

        run.wait_for(lambda: run.started("call_partner") == CALLERS, seconds=90)
        for capacity in (USUAL, POOR, USUAL):
            PARTNER.configure(capacity=capacity)
            run.sample(note, is_there, PATIENCE, 0.25)
            run.sample(note, lambda: False, SETTLED, 0.25)
        PARTNER.configure(revision=OVER)
        return seen

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the callers measured, and the limit that came of it, with the partner's own log."""
        since = run.result("prepare")
        log, changes = PARTNER.log(since=since), PARTNER.changes(since=since)
        seen = Following.of(run.results("call_partner"), run.result("change_capacity"), log, changes, SETTLED)
        yield finding(
            "Monitor real-time metrics",
            "the windows count the requests that the partner counts, and time them as it does, the way there added",
            (seen.counted() >= 0.7) & seen.latency().between(0.9, 2),
        )
        yield finding(
            "Adjust limits automatically",
            "the limit reaches the new capacity within some windows, from above and from below",
            (seen.fallen(1) <= POOR) & (seen.risen(2) >= USUAL) & (seen.windows(1) <= 6) & (seen.windows(2) <= 8),
        )
        yield finding(
            "Feedback loop implementation",
            "the limit falls, each time since the partner has just refused a call",
            (seen.decreases() >= 1) & (seen.answered() >= 0.8),
        )
        near = (seen.near(below=0.5, step=STEP) >= 0.7) & (seen.used() >= 0.3)
        yield finding("Stability considerations", "settled, the limit stays near the capacity, which is in use", near)
        yield finding(
            "Overshoot prevention",
            "once settled the limit is never more than two steps above the capacity, and less is refused than served",
            seen.overshoot(2 * STEP) & (seen.refused() <= 0.5),
        )

    prepare() >> [call_partner.expand(caller=list(range(CALLERS))), change_capacity()] >> judge()
