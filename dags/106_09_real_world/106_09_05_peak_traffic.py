"""# 106.9.5 Peak traffic handling

**Purpose.** Manage predictable peaks: every day (of five seconds) most orders come about noon, and each day more.

**What to watch.** Two days tell the third day's peak. Slots for it, which take four seconds to come, are ordered in
time, mailings get a `run_after` behind it, and then the slots are given back step by step.

**Expected behaviour.** Peaks handled smoothly. In `reactive` the same peak is met cold: who waits has slots ordered.
"""

import math
import time
from collections.abc import Iterator
from statistics import mean

from airflow.sdk import DAG, Param, task
from backpressure.airflow.arrivals import came, play
from backpressure.airflow.evidence import evidence
from backpressure.airflow.response import sizes
from backpressure.airflow.run import CONTROL, Run
from backpressure.capacity import busiest, trend
from backpressure.findings import Finding, finding
from backpressure.measures import count, gate
from backpressure.measures.peaks import crowding, lowered, peak_began, peak_size, rested, slots_at

POOL, ORDER, MAILING = "peak_traffic", "106_09_05_peak_traffic__order", "106_09_05_peak_traffic__mailing"
LARGE, BASE, SECONDS, DAY, WIDTH, MAILINGS = 16, 2, 2.0, 5.0, 1.0, 4  # slots, s, how many
DEMAND = [[(0.0, ORDER, 1), (at, ORDER, many), (at, MAILING, MAILINGS)] for at, many in ((1.8, 4), (2.4, 6), (1.9, 8))]
PROVISION, AHEAD, COOL, USED = 4.0, 3.0, 1.5, 0.8  # s until slots come, s before the peak, s of rest, share in use
TAGS = ["reference", "real-world", "advanced", "success"]
PARAMS = {"scenario": Param("planned", enum=["planned", "reactive"])}


@task(pool=POOL, weight_rule="absolute")
def work() -> None:
    """Some work of the same length each time."""
    time.sleep(SECONDS)


for kind, weight in {"order": 10, "mailing": 1}.items():
    with DAG(dag_id=f"106_09_05_peak_traffic__{kind}", schedule=None, max_active_runs=64):
        work.override(priority_weight=weight)()


# [forecast]
def forecast(scenario: str, days: list[list[float]]) -> tuple[float, float]:
    """When the busiest stretch of the next day begins, and how many orders come in it; or just the average."""
    begins, most = zip(*(busiest(day, WIDTH) for day in days), strict=True)
    planned = (mean(begins), trend(enumerate(most)).at(len(days)))
    return planned if scenario == "planned" else (0.0, mean(map(len, days)) * WIDTH / DAY)
    # [/forecast]


with DAG(dag_id="106_09_05_peak_traffic", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def learn() -> dict:
        """Serve two days with a large pool, and foretell the third from when their orders were due."""
        (run := Run.current()).create_pool(POOL, LARGE)
        run.wait_for(lambda: run.started("serve", "scale", "watch") == 3, seconds=90)
        play(run, "day-1-", DEMAND[1], began=(first := play(run, "day-0-", DEMAND[0])) + DAY)
        run.wait_for(lambda: run.helper_runs_over(ORDER, MAILING), seconds=90)
        run.resize_pool(POOL, BASE)
        days = [[at - first - day * DAY for at in came(run, ORDER, label=f"day-{day}-")] for day in (0, 1)]
        (begins, size), morning = forecast(run.scenario, days), time.time() + PROVISION + AHEAD
        return {"day": morning, "begins": morning + begins, "size": size}

    @task(**CONTROL)
    def serve() -> None:
        """The third day: orders come when they come; mailings with them, or behind the peak, if one is foretold."""
        plan = (run := Run.current()).wait_for(lambda: run.result("learn"), seconds=180, every=0.5)
        if planned := run.scenario == "planned":
            run.trigger_spaced(MAILING, "day-2-later", MAILINGS, 1.0, delay=plan["begins"] + 2 * WIDTH - time.time())
        play(run, "day-2-", DEMAND[2][: 2 if planned else 3], began=plan["day"])
        run.wait_for(lambda: run.helper_runs_over(ORDER, MAILING), seconds=120)

    @task(**CONTROL)
    def scale() -> None:
        """Order slots for the peak, when it is near or when it is there; and give them back when it is over."""
        plan = (run := Run.current()).wait_for(lambda: run.result("learn"), seconds=180, every=0.5)
        # [scale]
        planned, order = run.scenario == "planned", plan["begins"] - AHEAD - PROVISION
        run.wait_for(lambda: time.time() > order if planned else run.pool(POOL).scheduled > BASE, seconds=60)
        time.sleep(PROVISION)
        slots = math.ceil(plan["size"] / USED) if planned else BASE + run.pool(POOL).scheduled
        run.resize_pool(POOL, slots)
        run.wait_for(lambda: run.helper_runs_over(ORDER), seconds=90)  # then the peak is over
        for lower in (slots // 2, BASE) if planned else (BASE,):
            run.wait_for(lambda most=lower: (now := run.pool(POOL)).scheduled + now.occupied <= most, seconds=90)
            run.resize_pool(POOL, lower)
            time.sleep(COOL)
        # [/scale]

    @task(**CONTROL)
    def watch() -> list[dict]:
        """Read the pool three times a second until the third day is over."""
        return (run := Run.current()).sample_pool(POOL, lambda: run.over("serve", "scale"), seconds=240, every=0.3)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was foretold and ordered with what came, and how long it waited."""
        plan, samples = run.result("learn"), run.result("watch")
        due, orders = came(run, ORDER, label="day-2-"), run.helpers(ORDER, label="day-2-")
        size, began = peak_size(due, WIDTH, "orders"), peak_began(due, WIDTH, "orders")
        late = (began - plan["begins"]).named("seconds after it was foretold")
        known = size.near(plan["size"], 0.25) & late.between(-WIDTH, WIDTH)
        yield finding("Peak prediction", "two days tell when the third day's peak comes, and how large it is", known)
        enough = slots_at(samples, began.at, "when the peak begins") >= size
        yield finding("Pre-scaling strategy", "when the peak begins, there is a slot for all of it", enough)
        before = crowding(came(run, ORDER, MAILING, label="day-1-"), WIDTH, "the day before's work")
        spread = crowding(came(run, ORDER, MAILING, label="day-2-"), WIDTH, "work") < 0.8 * before
        spread &= count(run.helpers(MAILING, label="day-2-"), "success", "mailings") == MAILINGS
        yield finding("Load distribution", "less of it comes with the peak, and what was put off is done", spread)
        swift = gate(orders, "max", "orders") < PROVISION
        yield finding("Priority during peaks", "no order waits for a slot for as long as slots take to come", swift)
        cooled, resized = slots_at(samples, math.inf, "in the end") == BASE, sizes(run, POOL, since=plan["day"] - DAY)
        cooled &= (lowered(resized) >= 2) & (rested(resized) >= COOL)
        yield finding("Post-peak cooldown", "slots are given back step by step, down to the first two", cooled)

    [learn(), serve(), scale(), watch()] >> judge()
