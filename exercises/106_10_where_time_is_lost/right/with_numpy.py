"""Right, too: a row for each order, a column for each stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Orders = list[dict[str, Any]]
NOTABLE = 2  # seconds in the median

STAMPS = ("scheduled", "queued", "started", "asked", "answered", "ended")


def table(orders: Orders, read: float) -> np.ndarray:
    """Seconds between the stamps of each order; what has not happened is as late as the reading."""
    at = np.array([[read if order[stamp] is None else order[stamp] for stamp in STAMPS] for order in orders])
    steps = np.diff(at, axis=1)
    return np.column_stack([steps[:, 0], steps[:, 1], steps[:, 3], steps[:, 2] + steps[:, 4]])


def cause(case: dict[str, Any]) -> str:
    """slot, worker, partner, code, or none."""
    lost = np.median(table(case["now"], case["read"]), axis=0) - np.median(table(case["usual"], case["read"]), axis=0)
    return ("slot", "worker", "partner", "code")[lost.argmax()] if lost.max() >= NOTABLE else "none"


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
