"""Exercise 106.8: tests of pools, and what they have shown."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Row = dict[str, Any]


# TODO: tell a pool that held from one that did not, and from a test that tried nothing.
def shown(case: dict[str, Any]) -> str:
    """holds, broken, or not_tested."""
    return "holds" if case["rows"] else "not_tested"


with DAG(
    dag_id="106_8_a_check_that_can_fail",
    schedule=None,
    params={
        "desk": Param("106_8_desk", description="who wants to know"),
        "cases": Param([], type="array", description="of each test, the task instances, the pool's slots, when read"),
    },
):

    @task
    def judge(params: dict | None = None) -> None:
        """Report of each test of a pool what it has shown."""
        desk = Upstream(params["desk"])
        for one in params["cases"]:
            desk.call(shown(one), request_id=f"case {one['case']}")

    judge()
