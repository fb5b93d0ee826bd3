"""Calls of a partner that takes one every ten seconds, and a bystander in the same pool of one slot."""

# [limit]
from airflow.sdk import DAG, Param, task
from backpressure import Rate, RateLimiter
from backpressure.airflow import limited, storage
from backpressure.airflow.upstream import Upstream

partner = RateLimiter("work_partner", Rate(limit=1, period=10.0), storage("backpressure_db"))
# [/limit]

POOL = "work_one_slot"
CALLS = 6

# [task]
with DAG("work_deferred_calls", schedule=None, params={"lane": Param("work_deferred_calls")}):

    @limited(partner, pool=POOL, priority_weight=10)
    def call(page: int, params: dict[str, str]) -> int:
        """Fetch one page."""
        return Upstream(params["lane"]).call(key=f"page {page}").status

    call.expand(page=list(range(CALLS)))
    # [/task]

    @task(pool=POOL, weight_rule="absolute")
    def bystander() -> str:
        """Needs the slot too."""
        return "had the slot"

    bystander()
