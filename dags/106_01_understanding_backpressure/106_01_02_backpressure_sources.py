"""# 106.1.2 Backpressure sources

**Purpose.** Understand causes of backpressure: the same calls, undisturbed and beside each of four causes; and a burst.

**What to watch.** Every group of calls has a pool of three slots, and all groups are released at once. Six runs of
another DAG, or three long tasks, or a pool cut to one slot make calls wait as *scheduled*. A slow upstream does not:
its calls start at once and take longer. Runs that are let in together crowd the queue; one by one, they do not.

**Expected behaviour.** Understanding of backpressure causes: each shows in another place. In scenario `isolated` the
same noise stays away from the calls: in a pool of its own, on an upstream of its own, one run at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import depth, duration
from backpressure.measures.queues import queued_after, waited_in_line
from backpressure.measures.symptoms import served_in

LESSON = "106_01_02_backpressure_sources"
CALLED = ("undisturbed", "crowd", "long", "external", "scarce")
POOLS, ELSEWHERE = {name: f"sources_{name}" for name in (*CALLED, "burst", "smooth")}, "sources_elsewhere"
SLOTS, SLOWER = 3, 5


@task
def call(lane: str) -> None:
    """One call of an upstream, which answers when it can."""
    Upstream(lane, timeout=120).call()


# [causes]
# What else runs, in which pool: that of the calls beside it, or elsewhere; and runs at once, or let in one by one.
PLACES = {"crowd": POOLS["crowd"], "long": POOLS["long"], "crowd_away": ELSEWHERE, "long_away": ELSEWHERE}
RUNS = {"burst": POOLS["burst"], "smooth": POOLS["smooth"], "smooth_too": POOLS["burst"]}
NOISE = {"coupled": ("crowd", "long", "burst"), "isolated": ("crowd_away", "long_away", "smooth_too")}
for name, pool in {**PLACES, **RUNS}.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_runs=1 if name.startswith("smooth") else 16):
        call.override(pool=pool)("{{ dag_run.conf['lane'] }}")
# [/causes]

with DAG(
    dag_id=LESSON,
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "core", "intermediate", "success"],
    params={"scenario": Param("coupled", enum=["coupled", "isolated"])},
):

    @task(**CONTROL)
    def bring_causes() -> None:
        """Make the pools, set the upstreams, and let the noise come; return once it holds its slots."""
        run = Run.current()
        coupled, lane = run.scenario == "coupled", f"{run.run_id}-noise"
        for name, pool in {**POOLS, "elsewhere": ELSEWHERE}.items():
            scarce, slow = name == "scarce" and coupled, name == ("external" if coupled else "elsewhere")
            run.create_pool(pool, 1 if scarce else SLOTS if name != "elsewhere" else 2 * SLOTS)
            Upstream(f"{run.run_id}-{name}").configure(service_time=1.0, slow=SLOWER if slow else 1)
        Upstream(lane).configure(capacity=0)  # noise lasts until the lesson lets it end
        crowd, long, burst = NOISE[run.scenario]
        for name, runs in {crowd: 2 * SLOTS, long: SLOTS}.items():
            run.trigger_spaced(f"{LESSON}__{name}", name, runs, every=0.0, lane=lane)
        run.wait_for(lambda: Upstream(lane).state()["waiting"] >= 2 * SLOTS, seconds=90)
        for name in (burst, "smooth"):
            run.trigger_spaced(f"{LESSON}__{name}", name, 2 * SLOTS, every=0.0, delay=2.0, lane=f"{run.run_id}-burst")

    @task(**CONTROL)
    def end_noise() -> None:
        """Let the noise end once the undisturbed calls are over, and see everything through."""
        run = Run.current()
        run.wait_for(lambda: run.over("undisturbed"), seconds=90)
        Upstream(f"{run.run_id}-noise").configure(capacity=50)
        noise = [f"{LESSON}__{name}" for name in (*NOISE[run.scenario], "smooth")]
        run.wait_for(lambda: run.helper_runs_over(*noise), seconds=120)

    lanes = {name: ["{{ run_id }}-" + name] * SLOTS for name in CALLED}
    calls = [call.override(task_id=name, pool=POOLS[name]).expand(lane=lane) for name, lane in lanes.items()]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare each group of calls with the undisturbed one that was released with it."""
        alone, crowd, long, external, scarce = (run.tasks(name) for name in CALLED)
        burst, smooth = run.helpers(f"{LESSON}__burst", f"{LESSON}__smooth_too"), run.helpers(f"{LESSON}__smooth")
        slow, healthy = (served_in(Upstream(f"{run.run_id}-{name}").log(), name) for name in ("external", CALLED[0]))
        yield finding(
            "Too many concurrent DAGs",
            "runs of another DAG hold the slots: no call gets one before the undisturbed calls are over",
            queued_after(crowd, alone, "calls beside a crowd") == 1,
        )
        yield finding(
            "Long-running tasks",
            "as many long tasks hold the slots: no call gets one before the undisturbed calls are over",
            queued_after(long, alone, "calls beside long tasks") == 1,
        )
        yield finding(
            "External system bottlenecks",
            "a slow upstream makes the calls long and not the wait before them, and its own log says so",
            (queued_after(external, alone, "calls of the slow upstream") < 0.5)
            & (duration(external) - duration(alone) > 2 * healthy)
            & (slow > 2 * healthy),
        )
        yield finding(
            "Resource constraints",
            "with a third of the slots most calls wait for another of their kind; with all of them most do not",
            (waited_in_line(scarce, "calls in the scarce pool") > 0.5) & (waited_in_line(alone, "undisturbed") < 0.5),
        )
        yield finding(
            "Burst scheduling patterns",
            "runs that are let in together crowd the queue of their pool; one by one, the same runs do not",
            depth(burst, "the burst") >= 3 * depth(smooth, "the same, one by one"),
        )

    bring_causes() >> [*calls, end_noise()] >> judge()
