"""Wrong: alerts go round the pool."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("shop", slots=2, description="the shop serves two at once: this must stay as it is")]

with DAG(
    dag_id="14_2_priority_weights",
    schedule=None,
    params={
        "shop": Param("14_2_shop", description="the system that all tasks ask"),
        "backfills": Param([1, 2, 3, 4, 5, 6], type="array"),
        "orders": Param([1, 2, 3, 4], type="array"),
        "alerts": Param([1, 2], type="array"),
    },
):

    @task
    def numbers(of: str, after: float, params: dict | None = None) -> list[int]:
        """What is to be done in this run; it becomes known after so many seconds."""
        time.sleep(after)
        return params[of]

    @task(pool="shop", priority_weight=1, weight_rule="absolute")
    def backfill(number: int, params: dict | None = None) -> None:
        """Old work, there from the beginning."""
        Upstream(params["shop"]).call("backfill", request_id=f"backfill {number}")

    @task(pool="shop", priority_weight=10, weight_rule="absolute")
    def order(number: int, params: dict | None = None) -> None:
        """Ordinary work, which comes later."""
        Upstream(params["shop"]).call("order", request_id=f"order {number}")

    @task(priority_weight=100, weight_rule="absolute")
    def alert(number: int, params: dict | None = None) -> None:
        """Urgent work, which comes last."""
        Upstream(params["shop"]).call("alert", request_id=f"alert {number}")

    @task
    def tidy(step: int) -> None:
        """What is left to do after the backfill; nobody waits for it."""

    old = backfill.expand(number=numbers.override(task_id="backfills")("backfills", 0))
    order.expand(number=numbers.override(task_id="orders")("orders", 1.5))
    alert.expand(number=numbers.override(task_id="alerts")("alerts", 3))
    for step in range(5):
        after = tidy.override(task_id=f"tidy_{step}")(step)
        old >> after
        old = after
