"""Wrong: each pool is as large as what the database grants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("queries", slots=6), PoolSpec("loads", slots=6)]

with DAG(
    dag_id="106_9_database_connections",
    schedule=None,
    params={
        "database": Param("106_9_database", description="the database that queries and loads connect to"),
        "queries": Param([1, 2, 3, 4, 5, 6], type="array"),
        "loads": Param([1, 2], type="array"),
    },
):

    @task
    def numbers(of: str, params: dict | None = None) -> list[int]:
        """What is to be done in this run."""
        return params[of]

    @task(pool="queries")
    def query(number: int, params: dict | None = None) -> None:
        """Read: one connection."""
        Upstream(params["database"]).call("query", request_id=f"query {number}")

    @task(pool="loads", pool_slots=3)
    def load(number: int, params: dict | None = None) -> None:
        """Write in three parts at once: three connections."""
        database = Upstream(params["database"])
        with ThreadPoolExecutor(3) as threads:
            parts = ("load", "load/2", "load/3")
            done = [threads.submit(database.call, part, request_id=f"load {number}") for part in parts]
        for part in done:
            part.result()

    query.expand(number=numbers.override(task_id="queries")("queries"))
    load.expand(number=numbers.override(task_id="loads")("loads"))
