"""Exercise 106.10, solved: medians, compared with what is usual, of what has not ended, too."""

from __future__ import annotations

from statistics import median
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Orders = list[dict[str, Any]]
NOTABLE = 2  # seconds in the median


def spent(orders: Orders, read: float) -> dict[str, list[float]]:
    """Seconds that each order spent in each place, so far."""
    found: dict[str, list[float]] = {"slot": [], "worker": [], "partner": [], "code": []}
    for order in orders:
        at = {stamp: read if value is None else value for stamp, value in order.items()}
        found["slot"].append(at["queued"] - at["scheduled"])
        found["worker"].append(at["started"] - at["queued"])
        found["partner"].append(at["answered"] - at["asked"])
        found["code"].append(at["asked"] - at["started"] + at["ended"] - at["answered"])
    return found


def cause(case: dict[str, Any]) -> str:
    """slot, worker, partner, code, or none."""
    before, after = spent(case["usual"], case["read"]), spent(case["now"], case["read"])
    lost = {place: median(after[place]) - median(before[place]) for place in after}
    worst = max(lost, key=lost.__getitem__)
    return worst if lost[worst] >= NOTABLE else "none"


with DAG(
    dag_id="106_10_where_time_is_lost",
    schedule=None,
    params={
        "desk": Param("106_10_desk", description="who wants to know"),
        "cases": Param([], type="array", description="orders of each case, as usual and now, and when that was read"),
    },
):

    @task
    def diagnose(params: dict | None = None) -> None:
        """Report of each case where its orders lose their time."""
        desk = Upstream(params["desk"])
        for one in params["cases"]:
            desk.call(cause(one), request_id=f"case {one['case']}")

    diagnose()
