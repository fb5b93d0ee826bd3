"""Right, too: who is told to wait tells all others, and they come back one after the other."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure import Rate, RateLimiter
from backpressure.airflow.connection import storage
from backpressure.airflow.upstream import Upstream

CALLERS = 6

with DAG(
    dag_id="106_7_retry_storm",
    schedule=None,
    params={
        "partner": Param("106_7_partner", description="the system that is asked"),
        "pages": Param(list(range(1, 19)), type="array"),
    },
):

    @task
    def shares(params: dict | None = None) -> list[list[int]]:
        """The pages, shared out to the callers."""
        return [params["pages"][caller::CALLERS] for caller in range(CALLERS)]

    @task
    def fetch(numbers: list[int], params: dict | None = None) -> None:
        """Get some pages, one after the other."""
        partner = Upstream(params["partner"])
        limiter = RateLimiter(params["partner"], Rate(2, 1.0, burst=1), storage("backpressure_db"))
        for number in numbers:
            for _ in range(4):
                limiter.acquire(timeout=80)
                reply = partner.call("page", key=f"page {number}", request_id=f"page {number}", check=False)
                if reply.ok:
                    break
                limiter.adopt(reply.headers)

    fetch.expand(numbers=shares())
