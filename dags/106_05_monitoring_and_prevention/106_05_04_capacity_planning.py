"""# 106.5.4 Capacity planning

**Purpose.** Plan for growth: from three days of usage to slots, cost and resize for a day to come.

**What to watch.** A day is six seconds; its jobs come at random and are a run each. Past are days of 1, 2 and 3
jobs. The plan is a line through their slot-seconds, the load of a day to come by Little's law, and the slots for it
by Erlang's formula (M/M/c). Then that day comes, with 5 jobs, to a pool of that size and, to compare, to today's.

**Expected behaviour.** Prepared for growth. In scenario `flat` the plan is to leave today's pool as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.arrivals import arrive
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.capacity import offered_load, random_demand, servers_for, trend
from backpressure.findings import Finding, finding
from backpressure.measures import busy, makespan
from backpressure.measures.planning import hold, relative_wait, slope, slot_load
from backpressure.measures.samples import reading

LESSON = "106_05_04_capacity_planning"
POOLS = {"past": "capacity_past", "planned": "capacity_planned", "today": "capacity_today"}
DAYS, DAY_TO_COME, DAY, LENGTH = (1, 2, 3), 5, 6.0, 3.0  # jobs of each day past, and to come; seconds of a day, a job
AMPLE, TODAY, MOST_USED, MOST_WAIT = 8, 1, 0.5, 0.2  # slots, slots, share of the slots, share of a job's own time

for name, pool in POOLS.items():
    with DAG(dag_id=f"106_05_04_capacity_planning__{name}", schedule=None, max_active_runs=64):

        @task(pool=pool)
        def job(dag_run: Any = None) -> None:
            """Hold a slot for as long as the run says."""
            time.sleep(dag_run.conf["seconds"])

        job()


# [plan]
def plan_for(used: list[float], jobs: int, in_slot: float) -> dict[str, float]:
    """The plan for the day to come, from each day's usage, the jobs of all days, and the seconds of a job in a slot."""
    usage = trend(enumerate(used, start=1))
    arrivals = usage.at(DAY_TO_COME) / (sum(used) / jobs) / DAY
    slots = servers_for(offered_load(arrivals, in_slot), in_slot, wait=MOST_WAIT * in_slot, utilisation=MOST_USED)
    return {"slots": slots, "projected": usage.at(DAY_TO_COME), "growth": usage.slope}
    # [/plan]


def live(run: Run, day: int, *names: str) -> None:
    """Let a day's jobs come, as many as its number."""
    demand = enumerate(random_demand(day, DAY, f"{run.run_id} {day}"))
    jobs = [(number, at, {"seconds": LENGTH * length}) for number, (at, length) in demand]
    arrive(run, [(at, f"{LESSON}__{name}", f"{name}-day{day}-{number}", s) for number, at, s in jobs for name in names])


with DAG(
    dag_id="106_05_04_capacity_planning",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("projected", enum=["projected", "flat"])},
):

    @task(**CONTROL)
    def plan_and_live() -> dict[str, Any]:
        """Live through the past, plan for the day to come, and let that come to both pools."""
        (run := Run.current()).create_pool(POOLS["past"], AMPLE)
        # The first jobs after a start of Airflow take longer, and are nobody's past.
        arrive(run, [(0.0, f"{LESSON}__past", f"warm-{number}", {"seconds": 0.1}) for number in range(AMPLE)])
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__past"), seconds=60)
        for day in DAYS:
            live(run, day, "past")
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__past"), seconds=60)
        used = [busy(run.helpers(f"{LESSON}__past", label=f"past-day{day}")).value for day in DAYS]
        in_slot = hold(run.helpers(f"{LESSON}__past", label="past"), "a job").value
        plans = {"planned": plan_for(used, sum(DAYS), in_slot)}
        plans["today"] = {"slots": TODAY, "projected": used[0], "growth": 0}
        slots = {name: run.create_pool(POOLS[name], plan["slots"]).slots for name, plan in plans.items()}
        live(run, DAY_TO_COME, *plans)
        run.wait_for(lambda: run.helper_runs_over(*(f"{LESSON}__{name}" for name in plans)), seconds=120)
        chosen = "planned" if run.scenario == "projected" else "today"
        return {"chosen": chosen, "plan": plans[chosen], "slots": slots}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the chosen plan with the usage that it should rest on, and with the day that came."""
        chosen, plan, slots = (run.result("plan_and_live")[key] for key in ("chosen", "plan", "slots"))
        came = {name: run.helpers(f"{LESSON}__{name}") for name in slots}
        days = [busy(run.helpers(f"{LESSON}__past", label=f"past-day{day}")).value for day in DAYS]
        growth = slope(days, "growth of slot-seconds a day, at least")
        yield finding(
            "Analyze usage trends",
            "usage grew every day, and the plan counts on that growth",
            (growth > 0) & (reading(plan["growth"], "growth in the plan", "plan") >= growth),
        )
        projected = reading(plan["projected"], "slot-seconds projected", "plan").near(busy(came[chosen]), 0.5)
        yield finding("Project future needs", "the day takes about the slot-seconds that were projected", projected)
        load = {name: slot_load(work, slots[name], DAY, name) for name, work in came.items()}
        paid = {name: slots[name] * makespan(work, begin="scheduled") for name, work in came.items()}
        met = {name: relative_wait(work, slots[name], name) <= MOST_WAIT for name, work in came.items()}
        enough = sorted((paid[name].value, name) for name in met if met[name].holds)
        unknown = None in [one.holds for one in met.values()]
        cheapest = None if unknown else enough[0][1] if enough else "none"
        yield finding("Resource planning", "in the chosen slots, jobs wait 0.2 of their own time at most", met[chosen])
        yield finding(
            "Budget considerations",
            "of the sizes tried, the chosen one is the cheapest at which jobs do not wait too long",
            reading(chosen, "size chosen", "plan") == reading(cheapest, "the cheapest that does", "task instances"),
        )
        room = (load["today"] > 1) & (load[chosen] < 1)
        yield finding("Scaling strategy", "today's slots are too few for the load, and the pool chosen has room", room)

    plan_and_live() >> judge()
