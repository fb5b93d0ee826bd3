"""# 106.6.5 Resource-aware scheduling

**Purpose.** Schedule based on resources: three jobs want memory and three want database connections. There is a budget
of 650 MB, and a third of the connections that the database grants us.

**What to watch.** One job of each kind comes first and tells what it uses. Then `planned` and `packed` do the same six
jobs side by side, each within a budget of its own. `planned` starts a job when what the plan says can be booked: each
might want much of both, so they run one by one. `packed` books what its kind was seen to use, and has done sooner.

**Expected behaviour.** Resource-optimized scheduling. In `blind`, `packed` books nothing: all start at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.consuming import Sample, connection_limit, consume
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.bulkhead import Bulkhead, Lease
from backpressure.findings import Finding, finding
from backpressure.measures.packing import Packed, booked
from backpressure.measures.samples import most

LESSON = "106_06_05_resource_aware_scheduling"
JOB, SECONDS, JOBS = f"{LESSON}__job", 2.5, ["report", "sync"] * 3
MEMORY, BOOKABLE = 650, 560  # MB; the rest is for what comes out larger than foreseen
TAKES = {"report": {"memory": 200}, "sync": {"connections": 2}}  # MB, connections
PLANNED = {"memory": 300, "connections": 3}  # what the plan says that a job takes, of whichever kind
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("aware", enum=["aware", "blind"])}


def shelf(name: str, resource: str, size: int = 10_000) -> Bulkhead:
    """So much of a resource, to be booked by whichever process."""
    return Bulkhead(f"{name}.{resource}", size, storage(), lease=60.0)


with DAG(dag_id="106_06_05_resource_aware_scheduling__job", schedule=None):

    @task
    def job(dag_run: Any = None) -> dict[str, Any]:
        """One of the packer's jobs; in the end it gives back what was booked for it."""
        kind, name, bookings = (dag_run.conf[key] for key in ("kind", "name", "booked"))
        used = consume(SECONDS, **TAKES[kind], name=name)
        for resource, (token, size) in bookings.items():
            Lease(shelf(name, resource), token, size).release()
        return {"kind": kind, **used}

    job()
with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict[str, int]:
        """The budget: what there is, be it booked or not."""
        return {"memory": MEMORY, "connections": connection_limit() // 3}

    @task(**CONTROL)
    def pack(budget: dict[str, int], name: str) -> dict[str, int]:
        """Start each job as soon as there is enough of everything for it; returns the MB foreseen for each kind."""
        run, waiting = Run.current(), list(enumerate(JOBS[:2] if name == "measured" else JOBS))
        sizes, foreseen = budget | {"memory": BOOKABLE}, {kind: dict(PLANNED) for kind in TAKES}
        shelves = {resource: shelf(f"{run.run_id}.{name}", resource, size) for resource, size in sizes.items()}
        blind = name == "packed" and run.scenario == "blind"
        # [predict]
        if name == "packed" and not blind:
            seen = Packed.of(run.with_results("job", helper=JOB), budget, "measured").jobs
            for kind in TAKES:
                used = [one.used for one in seen if one.kind == kind]
                foreseen[kind] = {resource: round(max(one[resource] for one in used)) for resource in PLANNED}
        # [/predict]
        while waiting:
            for number, kind in list(waiting):
                # [pack]
                wanted = {resource: size for resource, size in foreseen[kind].items() if size and not blind}
                leases = {resource: shelves[resource].try_acquire(cost=size) for resource, size in wanted.items()}
                if None in leases.values():  # all or nothing: what there is goes back, and another job is tried
                    [lease.release() for lease in leases.values() if lease]
                    continue
                # [/pack]
                tokens = {resource: [lease.token, lease.cost] for resource, lease in leases.items()}
                run.trigger(JOB, f"{name}-{number}", kind=kind, name=f"{run.run_id}.{name}", booked=tokens)
                waiting.remove((number, kind))
            time.sleep(0.2)
        run.wait_for(lambda: {one["state"] for one in run.helper_runs(JOB, f"{name}-")} <= {"success", "failed"}, 120)
        return {kind: sizes["memory"] for kind, sizes in foreseen.items()}

    @task(**CONTROL)
    def watch(budget: dict[str, int]) -> list[dict[str, float]]:
        """Twice a second, ask PostgreSQL for the packed jobs' connections, and the books for what is booked."""
        name = f"{(run := Run.current()).run_id}.packed"
        read = Sample(shelf(name, "connections", budget["connections"]), name)
        return run.sample(read, lambda: run.over("packed"), 240)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what jobs used with what there is, with what was foreseen, and with the plan's way."""
        budget, foreseen, samples = (run.result(task_id) for task_id in ("prepare", "packed", "watch"))
        plan, packed = (Packed.of(run.with_results("job", helper=JOB), budget, name) for name in ("planned", "packed"))
        yield finding("Monitor resource availability", "what PostgreSQL sees in use is booked", booked(samples) >= 0.8)
        fits = (packed.fitting() == 1) & (packed.waited() >= 1)
        yield finding("Schedule when resources free", "each job finds enough when it is let go; some wait for it", fits)
        off = packed.misjudged("memory", foreseen) <= 0.4
        yield finding("Resource prediction", "what one of a kind has used tells what the others will", off)
        connections = most(samples, "used", "connections in use", "pg_stat_activity") <= budget["connections"]
        within = (packed.peak("memory") <= 1) & (packed.peak("connections") <= 1) & connections
        yield finding("Avoid overcommitment", "never may more be in use than there is, of neither resource", within)
        sooner = (packed.makespan() < plan.makespan()) & (packed.together() > plan.together()) & within
        yield finding("Balance resource types", "more of both in use at once, within budget, and done sooner", sooner)

    budget = prepare()
    measured, planned, packed = (pack.override(task_id=n)(budget, n) for n in ("measured", "planned", "packed"))
    measured >> [planned, packed]
    [planned, packed, watch(budget)] >> judge()
