"""Incident 3: not all arrives in time, for more than one reason."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

# TODO: what you have found out. README.md says what is asked for.
ANSWERS = {
    "incident": 1,
    "causes": [],
    "set_back": [],
    "timeline": [],
    "impact": "",
    "why": "",
    "actions": "",
}

# TODO: what lets the work through while the fault lasts.
POOLS = [
    PoolSpec("partner", slots=3, description="what the partner bears at once"),
    PoolSpec("archive", slots=3, description="what the archive bears at once"),
]

with DAG(
    dag_id="incident_3_behind_the_first",
    schedule=None,
    params={
        "partner": Param("incident_3_partner", description="the system that takes orders"),
        "archive": Param("incident_3_archive", description="the system that takes receipts"),
        "orders": Param([1, 2, 3, 4, 5, 6, 7], type="array"),
        "receipts": Param([1, 2, 3, 4, 5], type="array"),
    },
):

    @task
    def numbers(of: str, params: dict | None = None) -> list[int]:
        """What is to be done in this run."""
        return params[of]

    @task(pool="partner", retries=0, retry_delay=timedelta(seconds=1))
    def order(number: int, params: dict | None = None) -> None:
        """Send an order to the partner."""
        Upstream(params["partner"], timeout=8.0).call("order", request_id=f"order {number}")

    @task(pool="archive", retries=0, retry_delay=timedelta(seconds=1))
    def receipt(number: int, params: dict | None = None) -> None:
        """Put a receipt into the archive."""
        Upstream(params["archive"], timeout=8.0).call("receipt", request_id=f"receipt {number}")

    order.expand(number=numbers.override(task_id="orders")("orders"))
    receipt.expand(number=numbers.override(task_id="receipts")("receipts"))
