"""Exercise 106.5: a plan that somebody once thought of, and the records of a day."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

with DAG(
    dag_id="106_5_capacity_plan",
    schedule=None,
    params={
        "partner": Param("106_5_partner", description="the system that is asked"),
        "requests": Param(list(range(1, 17)), type="array", description="what is to be asked for today"),
        "came": Param([0, 4000, 5000, 5500, 6000, 6500, 7000, 20000], type="array"),
        "began": Param([0, 4000, 5000, 6000, 8000, 9000, 9000, 20000], type="array"),
        "ended": Param([2000, 8000, 6000, 9000, 9000, 12000, 10000, 22000], type="array"),
    },
):

    @task
    def plan(params: dict | None = None) -> list[list[int]]:
        """Today's requests, shared out to as many callers as there should be."""
        # TODO: as many callers as the records of the run say are needed.
        callers = 2
        return [params["requests"][caller::callers] for caller in range(callers)]

    @task
    def ask(numbers: list[int], params: dict | None = None) -> None:
        """Ask for some things, one after the other."""
        partner = Upstream(params["partner"])
        for number in numbers:
            partner.call("request", request_id=f"request {number}")

    ask.expand(numbers=plan())
