"""Calls of a partner that is away, behind a breaker and a limiter, and a bystander in the same pool of one slot."""

from datetime import timedelta

from airflow.sdk import DAG, Param, task
from backpressure import CircuitBreaker, Rate, RateLimiter
from backpressure.airflow import limited, storage
from backpressure.airflow.upstream import Upstream

# [task]
breaker = CircuitBreaker("work_probed", storage(), failure_threshold=1, open_for=12.0, probe_lease=20.0)
in_line = RateLimiter("work_probed", Rate(limit=1, period=3.0), storage())

POOL = "work_probed"
CALLS = 5

with DAG("work_deferred_probes", schedule=None, params={"lane": Param("work_deferred_probes")}):

    @limited(in_line, breaker=breaker, pool=POOL, priority_weight=10, retries=5, retry_delay=timedelta(seconds=1))
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
