"""Wrong: what finds its place taken is refused, and forgotten."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure import Bulkhead
from backpressure.airflow.connection import storage
from backpressure.airflow.upstream import Upstream

CALLERS = 2

with DAG(
    dag_id="106_6_tenants_apart",
    schedule=None,
    params={
        "partner": Param("106_6_partner", description="the system that is asked; name what is shared after it"),
        "requests": Param(list(range(1, 13)), type="array", description="what is to be asked for, in order of arrival"),
        "tenants": Param([1] * 8 + [2, 2, 3, 3], type="array", description="whose request each of them is"),
    },
):

    @task
    def shares(params: dict | None = None) -> list[list[list[int]]]:
        """The requests in order of arrival, each with its tenant, shared out to the callers."""
        waiting = list(zip(params["requests"], params["tenants"], strict=True))
        return [waiting[caller::CALLERS] for caller in range(CALLERS)]

    @task
    def serve(waiting: list[list[int]], params: dict | None = None) -> None:
        """Make some requests, one after the other."""
        partner = Upstream(params["partner"])
        for number, tenant in waiting:
            if lease := Bulkhead(f"{params['partner']} {tenant}", 1, storage("backpressure_db")).try_acquire():
                with lease:
                    partner.call("request", key=f"tenant {tenant}", request_id=f"request {number}")

    serve.expand(waiting=shares())
