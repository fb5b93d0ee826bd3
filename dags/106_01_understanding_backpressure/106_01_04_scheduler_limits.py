"""# 106.1.4 Scheduler capacity limits

**Purpose.** Understand scheduler constraints: what parser, loop, database, memory and cores bear while a burst comes.
**What to watch.** First three tasks, one by one; then 28, and 24 files to parse. An upstream keeps all tasks waiting,
so that those that can run at once do. A pass of the scheduler takes 16 tasks, the parser two files. Tasks do not
connect to Airflow's database; each adds memory, and the work of a start.
**Expected behaviour.** Scheduler limits understood. Scenario `trickle`: six tasks, two seconds apart, and one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, conf, task
from backpressure.airflow import machine
from backpressure.airflow.configured import configured
from backpressure.airflow.database import METADATA, WATCHING_DB, Sessions, connect
from backpressure.airflow.evidence import evidence
from backpressure.airflow.parsing import parse_under
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import executor_wait
from backpressure.measures.machine import cores_busy, grown
from backpressure.measures.queues import batch
from backpressure.measures.samples import middle, most

LESSON = "106_01_04_scheduler_limits"
BURST, ONE = f"{LESSON}__burst", f"{LESSON}__one"
TASKS, ROOM = 28, conf.getint("core", "parallelism") - 1  # of a burst; the processes for them: this lesson takes one
LOADS = {"burst": (BURST, 1, 0.0, 24), "trickle": (ONE, 6, 2.0, 1)}  # DAG, its runs, seconds apart, files to parse


# [call]
@task
def call(lane: str) -> None:
    """Hold a connection to a database that is not Airflow's, and wait for an answer."""
    with closing(connect(WATCHING_DB, application=LESSON)):
        Upstream(lane, timeout=120).call()


for name, count in {"burst": TASKS, "one": 1}.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_tasks=64):
        call.expand(lane=["{{ dag_run.conf['lane'] }}"] * count)
# [/call]

TAGS = ["reference", "core", "intermediate", "success"]
PARAMS = {"scenario": Param("burst", enum=["burst", "trickle"])}

with DAG(LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def watch() -> dict[str, list[dict[str, Any]]]:
        """Look at the machine at rest, with one task, and under the load."""
        run, sessions, pids, this = Run.current(), Sessions(), machine.parts(), machine.ancestors()[0]
        lane, (helper, runs, every, files) = Upstream(f"{run.run_id}-gate"), LOADS[run.scenario]

        def look() -> dict[str, Any]:
            own, its = (sessions.sample(**who)["total"] for who in ({"application": LESSON}, {"database": METADATA}))
            return machine.portrait(pids["scheduler"], without=[this]) | {"task sessions": own, "Airflow sessions": its}

        def look_when(tasks: int, files: int) -> dict[str, Any]:
            return parse_under(run.api, files, pids["dag-processor"], lambda: lane.state()["waiting"] >= tasks) | look()

        rest, solo = [look()], []
        with lane.shut(service_time=1.0):
            for number in range(3):
                run.trigger(ONE, f"solo-{number}", lane=lane.lane)
                solo.append(look_when(number + 1, files=1))
        run.wait_for(lambda: run.helper_runs_over(ONE), seconds=60)
        load, shut = [look()], run.scenario == "burst"
        with lane.shut() if shut else nullcontext():
            run.trigger_spaced(helper, "load", runs, every, delay=0.0, lane=lane.lane)
            load.append(look_when(min(TASKS, ROOM) if shut else 0, files))
        return {"rest": rest, "solo": solo, "load": load + run.sample(look, lambda: run.helper_runs_over(helper), 60)}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Hold what the load did to each resource against its limit, or against one task alone."""
        rest, solo, load = (run.result("watch")[phase] for phase in ("rest", "solo", "load"))
        tasks = run.helpers(BURST, ONE, label="load")
        lag = middle(solo, "lag", "lag of a file alone", "DAG processor", unit="s")
        spread, at_once = (most(load[1:2], key, key, "DAG processor") for key in ("first to last", "files at once"))
        grow, private = partial(grown, rest, load), {"source": "private memory", "unit": "MB"}
        more, one = (grown(rest, under, "children's memory", **private) for under in (load, solo[:1]))
        alone = executor_wait(run.helpers(ONE, label="solo"), label="one task alone")
        yield finding(
            "Parsing capacity",
            "as many files are parsed at once as there are processes; first to last takes longer than one alone",
            (at_once == configured("dag_processor", "parsing_processes")) & (spread > lag),
        )
        yield finding(
            "Scheduling loop speed",
            "one pass hands over as many tasks as the setting says; the rest waits for the next",
            batch(tasks, "tasks") == configured("scheduler", "max_tis_per_query"),
        )
        yield finding(
            "Database connection limits",
            "the tasks' own connections grow with them; Airflow's connections to its database do not",
            grow("task sessions", "pg_stat_activity") > 3 * grow("Airflow sessions", "pg_stat_activity", least=1),
        )
        yield finding(
            "Memory constraints",
            "each task that runs takes memory of its own, in its process, and the scheduler little beside that",
            (more > 5 * one.named("the same with one task")) & (more > 5 * grow("memory", least=1, **private)),
        )
        yield finding(
            "CPU bottlenecks",
            "while tasks start the cores are busy, and starts stand in line for them, though each task has a process",
            # Fifteen is the least that ROOM can be, and not ROOM itself: records are judged elsewhere, too.
            (cores_busy(load[:2], "then") >= 0.75)
            & (executor_wait(tasks.select(map_index=range(15)), "p75") > 3 * alone),
        )

    watch() >> judge()
