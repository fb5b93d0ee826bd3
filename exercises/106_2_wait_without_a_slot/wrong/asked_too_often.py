"""Wrong: the partner is asked until it gives in."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream, UpstreamDroppedError
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("desk", slots=2, description="there is room for two tasks at once: this stays as it is")]
EXPORTS = 3

with DAG(
    dag_id="106_2_wait_without_a_slot",
    schedule=None,
    params={
        "partner": Param("106_2_partner", description="the system that makes exports, in its own time"),
        "shop": Param("106_2_shop", description="the system that orders go to"),
        "exports": Param([1, 2, 3], type="array", description="what is to be fetched from the partner"),
        "orders": Param([1, 2, 3, 4, 5], type="array", description="what is to be ordered"),
    },
):

    @task
    def numbers(params: dict | None = None) -> list[int]:
        """The orders of this run, which come a little later than the exports."""
        time.sleep(3)
        return params["orders"]

    @task.sensor(pool="desk", poke_interval=5, mode="reschedule")
    def ready(place: int, params: dict | None = None) -> bool:
        """Whether an export can be fetched: as long as it can't, the partner hangs up on who asks for it."""
        number = params["exports"][place]
        while True:
            try:
                Upstream(params["partner"]).call("ask", key=f"export {number}", request_id=f"ask {number}")
            except UpstreamDroppedError:
                continue
            return True

    @task(pool="desk")
    def fetch(place: int, params: dict | None = None) -> None:
        """Fetch an export that is ready."""
        number = params["exports"][place]
        Upstream(params["partner"]).call("fetch", key=f"export {number}", request_id=f"fetch {number}")

    @task(pool="desk")
    def order(number: int, params: dict | None = None) -> None:
        """Order something, which is quickly done."""
        Upstream(params["shop"]).call("order", request_id=f"order {number}")

    order.expand(number=numbers())
    for place in range(EXPORTS):
        ready.override(task_id=f"ready_{place}")(place) >> fetch.override(task_id=f"fetch_{place}")(place)
