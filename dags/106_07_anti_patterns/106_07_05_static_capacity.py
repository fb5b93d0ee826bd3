"""# 106.7.5 Static capacity planning

**Purpose.** Risks of fixed capacity: six slots are shared out as they were needed yesterday, one for orders and five
for reports. Today there are two reports, and orders come in waves: one, then four, and soon four more.

**What to watch.** Each order is due thirteen seconds after it came, and the database refuses late ones. The first is
in time; of the peak, and of the burst, some are late, while five slots stand idle that nobody may use.

**Expected behaviour.** Dynamic planning adopted. By default the run fails. In `fixed` the same six slots go where work
waits, and where the calendar says that it will, and back: nothing is late.
"""

import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, chain, task
from backpressure.airflow.due import DueDeliveries
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import count, gate, peak
from backpressure.measures.planning import held
from backpressure.measures.samples import integral, most, share

ORDERS, REPORTS = "static_capacity_orders", "static_capacity_reports"
TOTAL, YESTERDAY, SECONDS, DUE = 6, 1, 3.0, 13.0  # slots, those for orders, s of an order, s until it is due
WAVES = {"quiet": (0.0, 1), "peak": (5.0, 4), "burst": (10.0, 4)}  # s from the beginning, orders
FORESEEN, LEAD = WAVES["peak"], 2.0  # the burst is in no calendar
TAGS = ["reference", "anti-pattern", "intermediate", "failure"]
PARAMS = {"scenario": Param("broken", enum=["broken", "fixed"])}

with DAG("106_07_05_static_capacity", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Share the slots out as yesterday, and make the table of deliveries; returns the beginning."""
        run = Run.current()
        run.create_pool(ORDERS, YESTERDAY)
        run.create_pool(REPORTS, TOTAL - YESTERDAY)
        DueDeliveries(run.run_id).create()
        return time.time() + 2.0

    @task(**CONTROL)
    def release(began: float, after: float) -> float:
        """Wait until a wave comes; returns when that was."""
        time.sleep(max(0.0, began + after - time.time()))
        return time.time()

    @task(pool=ORDERS, weight_rule="absolute")
    def order(number: int, wave: str, came: float) -> None:
        """Do some work, and deliver it."""
        time.sleep(SECONDS)
        DueDeliveries(Run.current().run_id).deliver(f"{wave}-{number}", due=came + DUE)

    @task(pool=REPORTS, weight_rule="absolute")
    def report(number: int) -> None:
        """What yesterday there was more of."""
        time.sleep(SECONDS)

    # [steer]
    @task(**CONTROL)
    def steer(began: float) -> list[dict[str, float]]:
        """Look at both pools three times a second; in `fixed`, give slots to whoever has work, or will have it."""
        run = Run.current()

        def look() -> dict[str, float]:
            orders, reports, at = run.pool(ORDERS), run.pool(REPORTS), time.time()
            if run.scenario == "fixed":
                planned = FORESEEN[1] if abs(at - began - FORESEEN[0]) < LEAD else 1
                wanted = max(planned, orders.occupied + orders.scheduled)
                slots = min(wanted, TOTAL - max(1, reports.occupied + reports.scheduled))
                changes = {ORDERS: slots - orders.slots, REPORTS: TOTAL - slots - reports.slots}
                # Take first, then give: so that there are never more than TOTAL.
                for name, change in sorted(changes.items(), key=lambda one: one[1]):
                    if change:
                        run.resize_pool(name, (orders if name == ORDERS else reports).slots + change)
            idle = max(orders.open, 0) + max(reports.open, 0)
            return {"at": at, "slots": orders.slots + reports.slots, "idle": idle if orders.scheduled else 0}

        return run.sample(look, lambda: run.over(*WAVES), seconds=120, every=0.3)

    # [/steer]
    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare which orders the database took with when they came, and with the slots that there were."""
        samples = run.result("steer")
        orders, quiet, high, burst = (run.tasks(*waves) for waves in (WAVES, ["quiet"], ["peak"], ["burst"]))
        before = share(quiet.state.isin("failed"), "share of yesterday's orders that are late", of=quiet)
        now = share(high.state.isin("failed"), "share of today's orders that are late", of=high)
        yield finding(
            "Growth not accommodated", "as many as yesterday are in time; of today's some are late", now > before
        )
        yield finding(
            "Seasonal variations missed",
            "in the quiet time an order has its slot at once; at the peak one waits for as long as three orders take",
            (gate(quiet, "max", "quiet orders") < SECONDS) & (gate(high, "max", "peak orders") >= 3 * SECONDS),
        )
        lost = count(burst, "failed", "orders of the burst") >= 1
        yield finding("Burst capacity lacking", "four more at once are too many: some are late", lost)
        wasted = integral(samples, "idle", "slot-seconds idle while orders wait") / held(orders, "orders")
        yield finding("Over-provisioning waste", "while orders wait, more slots are idle than they use", wasted >= 1.5)
        yield finding(
            "Dynamic scaling fix",
            "the same slots, given to whoever has work, are enough: no order is late, and few wait beside idle slots",
            (count(orders, "success", "orders") == sum(number for _, number in WAVES.values()))
            & (most(samples, "slots", "slots at most") <= TOTAL)
            & (peak(orders, "orders") <= TOTAL)
            & (wasted < 1.5),
        )

    began = prepare()
    steered = steer(began)
    released = [release.override(task_id=f"release_{wave}")(began, after) for wave, (after, _) in WAVES.items()]
    chain(*released)
    waves = [
        order.override(task_id=wave).partial(wave=wave, came=came).expand(number=list(range(number)))
        for (wave, (_, number)), came in zip(WAVES.items(), released, strict=True)
    ]
    released[0] >> (reported := report.expand(number=[0, 1]))
    [*waves, reported, steered] >> judge()
