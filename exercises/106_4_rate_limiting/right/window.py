"""Right, too: never two within four tenths of a second."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.upstream import Upstream
from backpressure.limiter import RateLimiter, SlidingWindow

CALLERS = 4


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
        """Get some pages, one after the other."""
        partner = Upstream(params["partner"])
        limiter = RateLimiter(params["partner"], SlidingWindow(1, 0.6), storage("backpressure_db"))
        for number in numbers:
            limiter.acquire(timeout=60)
            partner.call("page", request_id=f"page {number}")

    fetch.expand(numbers=shares())
