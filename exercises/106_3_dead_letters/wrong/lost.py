"""Wrong: what fails is forgotten."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream, UpstreamError

TRIES = 3

with DAG(
    dag_id="106_3_dead_letters",
    schedule=None,
    params={
        "partner": Param("106_3_partner", description="the system that messages are delivered to"),
        "letters": Param("106_3_letters", description="the system that keeps dead letters, for a person to read"),
        "messages": Param(list(range(1, 13)), type="array", description="the queue; who is first comes first"),
    },
):

    @task
    def deliver(params: dict | None = None) -> None:
        """Deliver what can be delivered."""
        partner = Upstream(params["partner"])
        for number in params["messages"]:
            for _ in range(TRIES):
                try:
                    partner.call("deliver", key=f"customer {number}", request_id=f"deliver {number}")
                    break
                except UpstreamError:
                    time.sleep(0.1)

    deliver()
