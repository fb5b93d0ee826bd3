"""Wrong: what is refused is left alone for good."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
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
        for number in numbers:
            if not partner.call("page", key=f"page {number}", request_id=f"page {number}", check=False).ok:
                break

    fetch.expand(numbers=shares())
