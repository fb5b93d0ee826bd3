"""Right, too: each tenant has one caller, and the flood has one to itself."""

from __future__ import annotations

from collections import Counter

from airflow.sdk import DAG, Param, task
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
        ((flood, _),) = Counter(params["tenants"]).most_common(1)
        return [[one for one in waiting if (one[1] == flood) == mine] for mine in (True, False)]

    @task
    def serve(waiting: list[list[int]], params: dict | None = None) -> None:
        """Make some requests, one after the other."""
        partner = Upstream(params["partner"])
        for number, tenant in waiting:
            partner.call("request", key=f"tenant {tenant}", request_id=f"request {number}")

    serve.expand(waiting=shares())
