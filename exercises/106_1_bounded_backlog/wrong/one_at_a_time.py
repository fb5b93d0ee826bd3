"""Wrong: one parcel after the other, and half of the desk stays empty."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("desk", slots=2, description="there is room for two tasks at once: this stays as it is")]

with DAG(
    dag_id="106_1_bounded_backlog",
    schedule=None,
    max_active_runs=1,
    params={
        "ramp": Param("106_1_ramp", description="the system that parcels are taken from"),
        "store": Param("106_1_store", description="the system that they are put into"),
        "parcel": Param([1], type="array", description="the number of this run's parcel"),
    },
):

    @task(pool="desk")
    def take(params: dict | None = None) -> None:
        """Take the parcel from the ramp: quickly done."""
        for number in params["parcel"]:
            Upstream(params["ramp"]).call("take", request_id=f"take {number}")

    @task(pool="desk")
    def put(params: dict | None = None) -> None:
        """Put the parcel into the store, which takes longer."""
        for number in params["parcel"]:
            Upstream(params["store"]).call("put", request_id=f"put {number}")

    take() >> put()
