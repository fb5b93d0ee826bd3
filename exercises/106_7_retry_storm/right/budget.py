"""Right, too: with a budget for retries that all callers share."""

from __future__ import annotations

import contextlib

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.upstream import Upstream, UpstreamError
from backpressure.retry import Backoff, Retry, RetryBudget

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
        budget = RetryBudget(params["partner"], storage("backpressure_db"), capacity=10)
        patient = Retry(attempts=3, backoff=Backoff(base=6, factor=1), retry_on=UpstreamError, budget=budget)
        for number in numbers:
            with contextlib.suppress(UpstreamError):
                patient.call(partner.call, "page", key=f"page {number}", request_id=f"page {number}")

    fetch.expand(numbers=shares())
