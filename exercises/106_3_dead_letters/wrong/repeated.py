"""Wrong: Airflow repeats the whole queue, and with it what was delivered already."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

with DAG(
    dag_id="106_3_dead_letters",
    schedule=None,
    params={
        "partner": Param("106_3_partner", description="the system that messages are delivered to"),
        "letters": Param("106_3_letters", description="the system that keeps dead letters, for a person to read"),
        "messages": Param(list(range(1, 13)), type="array", description="the queue; who is first comes first"),
    },
):

    @task(retries=2, retry_delay=timedelta(seconds=1))
    def deliver(params: dict | None = None) -> None:
        """Deliver the messages of the queue, one after the other."""
        partner = Upstream(params["partner"])
        for number in params["messages"]:
            partner.call("deliver", key=f"customer {number}", request_id=f"deliver {number}")

    deliver()
