"""# 106.5.3 Load testing

**Purpose.** Test system limits: how many calls a second does a service take that tells nobody its capacity?

**What to watch.** The test calls at 2, 4, 8, 16 and 24 a second and stops at the first rate that fails twice. Calls
write through three database connections. The last good rate is written down; users come at that rate, and at 70 % of
it.

**Expected behaviour.** Known capacity limits. In scenario `connections` a call holds its connection while it waits
for the service; in `closed_loop` two callers wait for answers, so that nothing breaks, and the limit is wrong.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext

from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.connections import ConnectionPool
from backpressure.airflow.evidence import evidence
from backpressure.airflow.limits import read_limit, write_limit
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.load import Step, closed_loop, open_loop, ramp
from backpressure.load_picture import load_picture
from backpressure.measures.load import bracketed, most_used, off_plan, refusals, took
from backpressure.measures.samples import reading

RATES, STEP, CALLERS = (2, 4, 8, 16, 24), 4.0, 2
SERVICE, CONNECTIONS, PATIENCE = 0.5, 3, 0.5  # s of a call, connections in the pool, s to wait for one
REFUSED, PARTS = 0.08, {"full": 1, "roomy": 0.7}  # share of calls that may be refused, shares of the limit
REFUSERS = {"UpstreamUnavailableError": "upstream", "TimeoutError": "connections"}


# [load]
def offer(rate: float, scenario: str, lane: str) -> Step:
    """Call at a rate for the length of a step, and say what came of the calls."""
    with closing(ConnectionPool(CONNECTIONS, PATIENCE, application=lane)) as pool, Upstream(lane) as upstream:

        def call() -> None:
            with pool.transaction() if scenario == "connections" else nullcontext():  # held while the upstream works
                upstream.call()
            with pool.transaction():  # to write the answer down
                time.sleep(0.01)

        if scenario == "closed_loop":
            return Step.of(rate, closed_loop(call, rate, STEP, callers=CALLERS))
        return Step.of(rate, open_loop(call, rate, STEP))
        # [/load]


with DAG(
    dag_id="106_05_03_load_testing",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("open_loop", enum=["open_loop", "connections", "closed_loop"])},
):

    @task(**CONTROL)
    def prepare() -> None:
        """Give the upstream a capacity, and tell nobody."""
        capacity = 40 if (run := Run.current()).scenario == "connections" else random.choice((3, 6))  # noqa: S311
        Upstream(run.run_id).configure(capacity=capacity, service_time=SERVICE, queue_limit=3)

    @task
    def load_test() -> list[dict[str, object]]:
        """Offer one rate after another until calls are refused, and write the last good one down."""
        run = Run.current()
        steps = ramp(lambda rate: offer(rate, run.scenario, run.run_id), RATES, REFUSED)
        write_limit(run.scenario, max(step.rate for step in steps if step.refused <= REFUSED))
        return [step.to_dict() for step in steps]

    @task(**CONTROL)
    def watch_connections() -> list[dict[str, float]]:
        """Ask the database for the pool's connections, as long as the load test goes on."""
        from backpressure.airflow.database import Sessions  # noqa: PLC0415 - parsing this file needs no database driver

        run, sessions = Run.current(), Sessions()
        return run.sample(lambda: sessions.sample(application=run.run_id), lambda: run.over("load_test"), 120, 0.25)

    @task
    def production() -> dict[str, object]:
        """Offer the limit, and what headroom leaves of it, as users do, who do not wait for each other."""
        how = (run := Run.current()).scenario.replace("closed", "open")
        return {name: offer(part * read_limit(run.scenario), how, run.run_id).to_dict() for name, part in PARTS.items()}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the load test found with what the upstream and the database saw, and with its settings."""
        steps, samples, real = (run.result(name) for name in ("load_test", "watch_connections", "production"))
        upstream, last = Upstream(run.run_id), steps[-1]
        log, slots = upstream.log(), upstream.state()["settings"]["capacity"]
        keep(f"{run.dag_id}.{run.scenario}.svg", load_picture(f"Load test, {run.scenario}", steps, log, slots))
        good = [one for one in steps if one["refused"] <= REFUSED]
        planned = off_plan(log, good, STEP) <= 0.15
        yield finding("Generate test load", "at each good rate as many calls arrive as planned", planned)
        room = (CONNECTIONS if run.scenario == "connections" else slots) / SERVICE
        between = bracketed(room, good, last).between(good[-1]["rate"], last["rate"])
        yield finding("Measure breaking points", "the room ends between the last good rate and the bad one", between)
        step = (last["began"], last["began"] + STEP)
        held = [one["in_transaction"] for one in samples if step[0] <= one["at"] <= step[1]]
        used = {"connections": sum(held) / len(held) / CONNECTIONS}
        used["upstream"] = log.inflight("start").mean(*step) / slots
        use, culprit = most_used(used, last)
        guilty = (use >= 0.75) & (culprit == REFUSERS.get(last["error"], "nothing"))
        yield finding("Identify bottlenecks", "what is used up is what refuses calls at the bad rate", guilty)
        full, roomy = (refusals(real[name], name) for name in ("full", "roomy"))
        holds = (reading(real["full"]["rate"], "limit read back", "database") == good[-1]["rate"]) & (full <= REFUSED)
        yield finding("Document limits", "the limit that was written down holds for users", holds)
        quick = took(real["roomy"], "with headroom") <= 2 * took(good[0], "at the lowest rate")
        yield finding("Plan headroom", "below it, calls are as quick as at the lowest rate", quick & (roomy <= REFUSED))

    prepare() >> [load_test(), watch_connections()] >> production() >> judge()
