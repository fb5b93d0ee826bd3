"""Right, too: a limiter at the top of the file, which everybody who uses its name shares."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure import Rate, RateLimiter
from backpressure.airflow import storage
from backpressure.airflow.upstream import Upstream

CALLERS = 4
SHARED = storage("backpressure_db")

with DAG(
    dag_id="106_4_rate_limiting",
    schedule=None,
    params={
        "partner": Param("106_4_partner", description="the system that is asked; name a limit after it"),
        "pages": Param(list(range(1, 17)), type="array"),
    },
):

    @task
    def shares(params: dict | None = None) -> list[list[int]]:
        """The pages, shared out to the callers."""
        return [params["pages"][caller::CALLERS] for caller in range(CALLERS)]

    @task
    def fetch(numbers: list[int], params: dict | None = None) -> None:
        """Get some pages, and keep to what the partner says of its limit besides."""
        partner = Upstream(params["partner"])
        limiter = RateLimiter(params["partner"], Rate(3, 2.0, burst=1), SHARED)
        for number in numbers:
            limiter.acquire(timeout=60)
            reply = partner.call("page", request_id=f"page {number}")
            limiter.adopt(reply.headers)

    fetch.expand(numbers=shares())
