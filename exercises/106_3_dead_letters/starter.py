"""Exercise 106.3: a queue in which one message stops all behind it."""

from __future__ import annotations

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
    # TODO: one message after the other is delivered, or put among the dead letters; nothing stops the queue.
    @task
    def deliver(params: dict | None = None) -> None:
        """Deliver the messages of the queue, one after the other."""
        partner = Upstream(params["partner"])
        for number in params["messages"]:
            partner.call("deliver", key=f"customer {number}", request_id=f"deliver {number}")

    deliver()
