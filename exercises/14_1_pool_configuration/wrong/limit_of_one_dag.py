"""Wrong: limits that each DAG has for itself."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

POOLS: list[PoolSpec] = []

with DAG(
    dag_id="14_1_pool_configuration",
    schedule=None,
    params={
        "warehouse": Param("14_1_warehouse", description="the system that queries and reports ask"),
        "partner": Param("14_1_partner", description="the system that calls ask"),
        "queries": Param([1, 2, 3, 4, 5, 6], type="array"),
        "reports": Param([1, 2], type="array"),
        "calls": Param([1, 2, 3, 4, 5], type="array"),
    },
):

    @task
    def numbers(of: str, params: dict | None = None) -> list[int]:
        """What is to be done in this run."""
        return params[of]

    @task(max_active_tis_per_dag=2)
    def query(number: int, params: dict | None = None) -> None:
        """Ask the warehouse something."""
        Upstream(params["warehouse"]).call("query", request_id=f"query {number}")

    @task(max_active_tis_per_dag=1)
    def report(number: int, params: dict | None = None) -> None:
        """Ask the warehouse for much."""
        Upstream(params["warehouse"]).call("report", request_id=f"report {number}")

    @task(max_active_tis_per_dag=2)
    def call(number: int, params: dict | None = None) -> None:
        """Call the partner."""
        Upstream(params["partner"]).call("call", request_id=f"call {number}")

    query.expand(number=numbers.override(task_id="queries")("queries"))
    report.expand(number=numbers.override(task_id="reports")("reports"))
    call.expand(number=numbers.override(task_id="calls")("calls"))
