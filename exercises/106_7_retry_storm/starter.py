"""Exercise 106.7: six callers that never let go of a partner which is down."""

from __future__ import annotations

import contextlib
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

    # TODO: come back when the partner says so, not all at once, and not for ever.
    @task
    def fetch(numbers: list[int], params: dict | None = None) -> None:
        """Get some pages, one after the other."""
        partner = Upstream(params["partner"])
        for number in numbers:
            for _ in range(40):
                with contextlib.suppress(UpstreamError):
                    partner.call("page", key=f"page {number}", request_id=f"page {number}")
                    break
                time.sleep(0.3)

    fetch.expand(numbers=shares())
