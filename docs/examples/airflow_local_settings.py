"""Rules for every task of a deployment."""

# [policies]
from datetime import timedelta

from backpressure.airflow import policies

__all__ = ["task_policy"]

task_policy = policies.together(
    policies.default_pool("shared"),
    policies.known_pools(["shared", "partner_x", "warehouse"]),
    policies.execution_timeout(default=timedelta(hours=1), most=timedelta(hours=12)),
    policies.retry_backoff(),
)
# [/policies]
