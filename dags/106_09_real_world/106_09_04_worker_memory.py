"""# 106.9.4 Worker memory pressure

**Purpose.** Manage worker memory: five jobs on a Celery worker of two processes want 100 MB each, one of them 300.

**What to watch.** A pool whose slots are megabytes lets as many run as the worker's budget bears. `big` claims what
the others claim and takes more: its own limit stops it, and it reads in pieces instead. The monitor looks at the forks
in which tasks run. Meanwhile a process of the other worker leaks, and is replaced.

**Expected behaviour.** Memory stable. In `unguarded` nothing stops the jobs, the leak stays, and the monitor is blind.
"""

import hashlib
import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from airflow.sdk import DAG, Param, task
from backpressure.airflow import machine
from backpressure.airflow.evidence import evidence
from backpressure.airflow.leaking import leak, look
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.memory import Memory, Recycling

QUEUE, OTHER, POOL, MB, SECONDS = "high_memory", "high_priority", "worker_memory", 2**20, 1.5
SIZE, BIG, LEAK, KEPT = 100, 300, 300, 12.0  # MB, and s that the leak lasts at most
# [guards]
BUDGET = {"guarded": 150, "unguarded": 10_000}  # slots of the pool, one for each MB that the worker's tasks may take
LIMIT = {"guarded": 125, "unguarded": 10_000}  # MB that a task may take
PIECES = {"guarded": True, "unguarded": False}  # whether the long report is read in pieces
# [/guards]
NAMES = ["one", "two", "report", "report in pieces", "big"]
TAGS = ["reference", "real-world", "intermediate", "success"]
PARAMS = {"scenario": Param("guarded", enum=["guarded", "unguarded"])}


# [limit]
def limit_memory(megabytes: int) -> None:
    """Let this process take so much more memory, and no more: beyond that, Python raises MemoryError."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * MB,) * 2)


def digest(megabytes: int, *, pieces: bool) -> str:
    """The checksum of so much data: all of it read first, or piece by piece; the last is held for a while."""
    found, held = hashlib.sha256(), []
    for number in range(megabytes):
        if pieces:
            held.clear()
        held.append(bytes([number % 256]) * MB)
        found.update(held[-1])
    time.sleep(SECONDS)
    return found.hexdigest()
    # [/limit]


with DAG(dag_id="106_09_04_worker_memory", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(executor="CeleryExecutor", queue=QUEUE, pool=POOL, pool_slots=SIZE)
    def job(name: str) -> dict:
        """One job; where it may not take what it wants, it does with less."""
        scenario, base, wanted = Run.current().scenario, machine.private_bytes(), BIG if name == "big" else SIZE
        said = {"name": name, "pid": os.getpid(), "base": base, "megabytes": wanted, "digest": None}
        limit_memory(LIMIT[scenario])
        with suppress(MemoryError):
            said["digest"] = digest(wanted, pieces=PIECES[scenario] and name == "report in pieces")
        return said | {"refused": not said["digest"], "digest": said["digest"] or digest(wanted, pieces=True)}

    @task(**CONTROL)
    def prepare() -> list[dict]:
        """Make the pool, and let the jobs come when somebody watches."""
        run = Run.current()
        run.create_pool(POOL, BUDGET[run.scenario])
        run.wait_for(lambda: run.started("watch"), seconds=60)
        return [{"name": name} for name in NAMES]

    @task(**CONTROL)
    def watch() -> list[dict]:
        """Read the memory of all processes below the worker; note which of them the monitor looks at."""
        run = Run.current()
        worker = run.workers.status(*run.workers.serving(QUEUE)).popitem()[1]
        metered = None if run.scenario == "guarded" else worker.processes
        looks = run.sample(lambda: machine.below(worker.pid, metered), lambda: run.over("job"), 120, 0.25)
        return [one for look in looks for one in look]

    @task(**CONTROL)
    def recycle() -> list[dict]:
        """Let a process of the other worker leak, and put new ones in the place of its old ones."""
        run = Run.current()
        (worker,) = run.workers.serving(OTHER)
        seen = leak(run, worker, OTHER, LEAK, KEPT)
        if run.scenario == "guarded":
            few = len(seen[0]["pids"])
            run.resize_worker(worker, 2 * few)  # new processes, forked from one that has not leaked
            run.resize_worker(worker, few)  # the oldest end first, when they are idle
        return [*seen, look(run, worker)]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the jobs said with what the kernel says of their processes."""
        jobs = {one["result"]["name"]: one["result"] for one in run.with_results("job")}
        done, memory, limit = count(run.tasks("job"), "success"), Memory(jobs, run.result("watch")), BUDGET["guarded"]
        yield finding("Memory monitoring", "the monitor sees what each job takes", memory.seen(*NAMES[:3]) == 1)
        stopped = memory.refused() == ("big",)
        stopped &= (memory.peak("big") <= limit) & (done == len(NAMES))
        yield finding("Task memory limits", "who wants too much is stopped, does with less, and harms nobody", stopped)
        together = memory.together().between(0.8 * SIZE, limit)
        yield finding("OOM prevention", "all jobs together use the worker's budget, and never exceed it", together)
        processes = Recycling.of(run.result("recycle"))
        fresh = (processes.grew() >= 0.8 * LEAK) & (processes.left() <= LEAK / 2) & (processes.replaced() == 1)
        yield finding("Worker recycling", "a leak ends with its process; new ones have nothing of it", fresh)
        less = (memory.peak("report in pieces") <= memory.peak("report") / 4) & (memory.same(*NAMES[2:4]) == 1)
        yield finding("Memory-efficient tasks", "in pieces the same result takes a quarter of the memory", less)

    jobs = job.expand_kwargs(prepare())
    [jobs, watch(), recycle()] >> judge()
