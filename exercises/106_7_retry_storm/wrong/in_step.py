"""Wrong: each waits until exactly when the partner said, which is the same for all."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream, UpstreamError

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
        for number in numbers:
            for _ in range(4):
                try:
                    partner.call("page", key=f"page {number}", request_id=f"page {number}")
                except UpstreamError as error:
                    time.sleep(error.retry_after or 1.0)
                else:
                    break

    fetch.expand(numbers=shares())
