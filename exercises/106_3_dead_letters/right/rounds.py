"""Right, too: what fails goes to the end of the queue, twice."""

from __future__ import annotations

from collections import deque

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
        """Deliver the messages; nobody waits for one that fails."""
        partner, letters = Upstream(params["partner"]), Upstream(params["letters"])
        queue = deque((number, 1) for number in params["messages"])
        while queue:
            number, attempt = queue.popleft()
            try:
                partner.call("deliver", key=f"customer {number}", request_id=f"deliver {number}")
            except UpstreamError:
                if attempt < TRIES:
                    queue.append((number, attempt + 1))
                else:
                    letters.call("letter", request_id=f"letter {number}")

    deliver()
