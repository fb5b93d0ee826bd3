"""# 106.8.3 Chaos engineering

**Purpose.** Inject failures systematically: five faults, one at a time, while a canary asks the partner and the
database five times a second.

**What to watch.** The partner is killed; all database connections are taken; the canary's are cut; a Celery process is
killed under its job, and the triggerer under a deferred task. Before and after each fault the canary must be steady.

**Expected behaviour.** Resilience validated: who tries again gets over all of it. In `fragile` nobody does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import WaitSensor
from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.faults import cut_connections, kill_part, kill_task, take_connections
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.chaos import Canary, carry_out
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.chaos import Ordeal
from backpressure.measures.samples import reading
from backpressure.retry import Backoff, Retry

LESSON = "106_08_03_chaos_engineering"
FAULTS = ("upstream", "connections", "network", "worker", "triggerer")
PARTNER, EVERY, FAULT, CALM = Upstream("chaos_engineering", timeout=1.0), 0.2, 1.5, 1.0
# [resilience]
DELAY, MOST = 1.0, 10.0  # s until a task is tried again, s within which it must run again
RETRY = Retry(attempts=50, backoff=Backoff(base=0.2, limit=0.5), deadline=20.0)
AGAIN = {"resilient": RETRY.call, "fragile": lambda call: call()}
RETRIES = {"resilient": 2, "fragile": 0}
# [/resilience]


@task(executor="CeleryExecutor", queue="high_memory", retry_delay=timedelta(seconds=DELAY))
def job() -> None:
    """Something that takes its time, on a worker."""
    time.sleep(2.0)


for name, retries in RETRIES.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_runs=4):
        job.override(retries=retries)()

with DAG(dag_id=f"{LESSON}__wait", schedule=None, max_active_runs=4):
    WaitSensor(task_id="wait", time_to_wait=timedelta(seconds=3), deferrable=True)

TAGS = ["reference", "testing", "advanced", "success"]
PARAMS = {"scenario": Param("resilient", enum=["resilient", "fragile"])}
with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def chaos() -> dict:
        """Carry out the experiments, and say what the canary saw all the while."""
        from backpressure.airflow.database import Sessions, ask, dsn  # noqa: PLC0415 - parsing needs no driver

        run, server, where, _ = Run.current(), Sessions(), dsn(), PARTNER.begin(service_time=0.02)
        name, waiting = f"{LESSON}__{run.scenario}", f"{LESSON}__wait"

        def beat() -> None:
            PARTNER.call()
            ask("SELECT pg_sleep(0.1)", dsn=where, application="canary")

        def worker() -> dict:
            run.trigger(name, "job")
            (record,) = run.wait_for(lambda: [r for r in run.helper_records(name) if r["state"] == "running"], 60)
            told = kill_task(record)
            run.wait_for(lambda: run.helper_runs_over(name), seconds=60)
            return told

        def triggerer() -> dict:
            run.trigger(waiting, "wait")
            run.wait_for(lambda: [r for r in run.helper_records(waiting) if r["triggerer_job"]], seconds=60)
            told = kill_part("triggerer")
            run.wait_for(lambda: run.helper_runs_over(waiting), seconds=60)
            return told

        # [experiments]
        experiments = {
            "upstream": lambda: kill_part("upstream", back=PARTNER.time),
            "connections": lambda: take_connections(where, FAULT, lambda: len(server.all(role="lab"))),
            "network": lambda: cut_connections(where, "canary", FAULT),
            "worker": worker,
            "triggerer": triggerer,
        }
        with Canary(beat, EVERY, AGAIN[run.scenario]) as canary:
            done = carry_out(experiments, steady=lambda: canary.steady(CALM))
        # [/experiments]
        return {"experiments": done, "beats": canary.beats, "allowed": server.limit("lab")}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the canary saw with what was done to the system, and what Airflow made of it."""
        told, name = run.result("chaos"), f"{LESSON}__{run.scenario}"
        seen, jobs = Ordeal(told["experiments"], told["beats"]), run.helpers(name)
        keep(f"{run.dag_id}.{run.scenario}.svg", seen.picture(f"Chaos, {run.scenario}"))
        dead = seen.replaced("upstream") & seen.got_over("upstream")
        yield finding("External system failures", "the partner is killed, and whoever asked has an answer", dead)
        allowed = reading(told["allowed"], "connections that the role may have", "pg_roles")
        scarce = seen.told("connections", "sessions", "connections in use", "pg_stat_activity") == allowed
        scarce &= seen.got_over("connections")
        yield finding("Resource constraints", "no connection is left, and whoever needs one gets it", scarce)
        cut = (seen.told("network", "cut", "connections cut", "PostgreSQL") >= 1) & seen.got_over("network")
        yield finding("Network issues", "connections are cut, and whoever used them is done", cut)
        lost = seen.told("worker", "worker", "part that lost a process", "process table") == "worker-b"
        lost &= (seen.soon(jobs, "worker", DELAY + MOST) == 1) & (count(jobs, "success", "jobs") == 1)
        lost &= seen.replaced("triggerer") & (count(run.helpers(f"{LESSON}__wait"), "success", "deferred") == 1)
        yield finding("Worker failures", "what the killed ran, or waited for, is done by those who follow them", lost)
        every = (seen.order() == FAULTS) & (seen.steady() == len(FAULTS)) & (seen.unharmed() == len(FAULTS))
        yield finding("Automated chaos runs", "each fault finds and leaves a steady state, and harms nobody", every)

    chaos() >> judge()
