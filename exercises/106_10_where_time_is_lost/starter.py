"""Exercise 106.10: records of orders, and somebody who wants to know where they lose their time."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Orders = list[dict[str, Any]]
NOTABLE = 2  # seconds in the median


# TODO: find out where orders lose so much more than usual.
def cause(case: dict[str, Any]) -> str:
    """slot, worker, partner, code, or none."""
    return "none" if case["now"] else "nobody ordered anything"


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
