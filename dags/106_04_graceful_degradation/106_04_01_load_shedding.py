"""# 106.4.1 Load shedding patterns

**Purpose.** Drop low-priority work: 24 orders in two waves want more of a pool of three slots than there is. An order
that is not done within three and a half times what it takes is worth nothing: then it had better not be begun.

**What to watch.** Gold goes before silver, and silver before bronze. Twice a second the shedder reckons, from measured
times, when each waiting order will be done. Those that will be late are recorded, skipped and announced: they take no
slot. While the queue is deep the source of the orders pauses. When all is over, what was shed is done after all.

**Expected behaviour.** System remains stable: what is begun is done in time. In `keep_all` most orders are too late.
"""

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.backlog import Backlog, this_item
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures.shedding import Aftermath
from backpressure.shedding import ShedLog, plan_shedding

WAVE, WAVES, SIZE, PATIENCE, LOOK, HIGH, LOW = "106_04_01_load_shedding__wave", 2, 12, 3.5, 0.5, 2, 1
KINDS = {"gold": (3, 2), "silver": (2, 2), "bronze": (1, 8)}  # weight, and how many in a wave
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("shed", enum=["shed", "keep_all"])}
POOL, SLOTS, PARTNER = "load_shedding", 3, Upstream("load_shedding")


@task(pool=POOL, weight_rule="absolute")
def serve(number: int) -> None:
    """One order: a call that takes its time."""
    PARTNER.call(request_id=this_item())


with DAG(dag_id="106_04_01_load_shedding__wave", schedule=None):
    for kind, (weight, number) in KINDS.items():
        serve.override(task_id=kind, priority_weight=weight).expand(number=list(range(number)))

with DAG(dag_id="106_04_01_load_shedding", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pool, and a partner that bears as much."""
        Run.current().create_pool(POOL, SLOTS)
        return PARTNER.begin(service_time=5.0, capacity=SLOTS)

    @task(**CONTROL)
    def produce() -> list[dict[str, float]]:
        """The source of the orders: wave after wave, with a pause while too many wait."""
        run, pauses = Run.current(), []
        for wave in range(WAVES):
            if run.scenario == "shed" and Backlog.now(run, WAVE).depth > HIGH:
                since = time.time()
                run.wait_for(lambda: Backlog.now(run, WAVE).depth <= LOW, seconds=120)
                pauses.append({"since": since, "until": time.time()})
            run.trigger(WAVE, f"wave-{wave}")
            run.wait_for(lambda due=SIZE * (wave + 1): Backlog.now(run, WAVE).arrived >= due, seconds=60)
        run.wait_for(lambda: run.helper_runs_over(WAVE), seconds=240)
        return pauses

    @task(**CONTROL)
    def shed() -> dict:
        """Give up what would be late, until all waves are over; returns what that was, and how long is in time."""
        run = Run.current()
        log, patience = ShedLog(run.run_id, storage()), PATIENCE * Backlog.now(run, None, "calibrate").service_time
        while run.scenario == "shed" and not run.over("produce"):
            # [shed]
            backlog, now, within = Backlog.now(run, WAVE, "calibrate"), time.time(), patience - 2 * LOOK
            plan = plan_shedding(backlog.items(within), now, backlog.free_at(SLOTS, now), backlog.service_time)
            if late := [verdict.item for verdict in plan if not verdict.keep]:
                for item in late:
                    log.record(item.key, priority=item.priority, waited=now - item.enqueued, reason="would be late")
                run.skip(backlog.waiting[item.key] for item in late)
                PARTNER.notify([item.key for item in late])
            # [/shed]
            time.sleep(LOOK)
        return {"patience": patience, "shed": [entry._asdict() for entry in log.entries()]}

    @task(pool=POOL)
    def recover(worker: int) -> int:
        """Do what was shed, together with others: each order is claimed by one of them."""
        return ShedLog(Run.current().run_id, storage()).replay(lambda item: PARTNER.call(request_id=item.key))

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was shed and what was served with the orders' own timestamps and the partner's log."""
        noted = run.result("shed") | {"since": run.result("prepare"), "replayed": run.results("recover")}
        seen = Aftermath.of(run.helpers(WAVE), run.tasks("calibrate"), noted, PARTNER, slots=SLOTS)
        yield finding(
            "Identify shedding candidates",
            "what is shed could not be hoped to be in time; what is begun is, slow starts apart, and gold always",
            (seen.rightly_shed() >= 0.8) & (seen.in_time() >= 0.8) & (seen.in_time("gold") == 1),
        )
        yield finding(
            "Priority-based shedding",
            "bronze is shed, silver no more than that, and gold not at all",
            (seen.lost("bronze") > 0) & (seen.lost("silver") <= seen.lost("bronze")) & (seen.lost("gold") == 0),
        )
        yield finding(
            "Temporary pause patterns",
            "the source pauses while many wait, so that no more than the mark and one wave ever do",
            (seen.deepest() <= HIGH + SIZE) & (seen.arrived_during(run.result("produce")) == 0),
        )
        yield finding(
            "Notification of shed work",
            "people are told of each order that was skipped, once, and of no other",
            (seen.skipped() >= 1) & (seen.untold() == 0),
        )
        yield finding(
            "Recovery procedures",
            "what was shed is done when the load is over, and no order is done twice",
            (seen.replayed() >= 1) & (seen.served() == seen.orders()) & (seen.calls() == seen.served()),
        )

    calibrate = serve.override(task_id="calibrate").expand(number=list(range(SLOTS)))
    prepare() >> calibrate >> [produce(), shed()] >> recover.expand(worker=list(range(SLOTS))) >> judge()
