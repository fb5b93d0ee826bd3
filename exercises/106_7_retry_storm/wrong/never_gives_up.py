"""Wrong: patient with a partner that is down, and as patient with a page that is broken."""

from __future__ import annotations

import random
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
            for _ in range(7):
                try:
                    partner.call("page", key=f"page {number}", request_id=f"page {number}")
                except UpstreamError as error:
                    time.sleep((error.retry_after or 0.0) + random.uniform(0, 5))
                else:
                    break

    fetch.expand(numbers=shares())
