"""Right, too: what the partner refuses is set aside at once, what breaks off is tried again."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream, UpstreamError, UpstreamRateLimitedError

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
        """Deliver each message, or set it aside when it has failed for good."""
        partner, letters = Upstream(params["partner"]), Upstream(params["letters"])
        for number in params["messages"]:
            for last in (False, False, True):
                try:
                    partner.call("deliver", key=f"customer {number}", request_id=f"deliver {number}")
                    break
                except UpstreamRateLimitedError:
                    letters.call("letter", request_id=f"letter {number}")
                    break
                except UpstreamError:
                    if last:
                        letters.call("letter", request_id=f"letter {number}")

    deliver()
