"""Long calls of a partner that bears two at once, and a bystander in the same pool of three slots."""

from airflow.sdk import DAG, Param, task
from backpressure import Bulkhead
from backpressure.airflow import limited, storage
from backpressure.airflow.upstream import Upstream

two_at_once = Bulkhead("work_places", 2, storage())

POOL = "work_places"
CALLS = 6

with DAG("work_deferred_places", schedule=None, params={"lane": Param("work_deferred_places")}):

    @limited(bulkhead=two_at_once, pool=POOL, priority_weight=10)
    def call(page: int, params: dict[str, str]) -> int:
        """Fetch one page."""
        return Upstream(params["lane"]).call(key=f"page {page}", timeout=30).status

    call.expand(page=list(range(CALLS)))

    @task(pool=POOL, weight_rule="absolute")
    def bystander() -> str:
        """Needs a slot too."""
        return "had a slot"

    bystander()
