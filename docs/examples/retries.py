"""Mapped siblings that fail together: retried by Airflow's own backoff, and by the package's policy."""

# [policy]
from datetime import timedelta

from airflow.sdk import DAG, task
from backpressure.airflow import BackoffRetryPolicy
from backpressure.retry import Backoff

apart = BackoffRetryPolicy(backoff=Backoff(base=20.0, limit=300.0))
# [/policy]

SIBLINGS = 4

with DAG("work_retries", schedule=None):
    # [task]
    @task(retries=1, retry_policy=apart)
    def policy(page: int, ti: object) -> int:
        """Fails at its first try."""
        return failing_once(page, ti)

    # [/task]

    @task(retries=1, retry_delay=timedelta(seconds=6), retry_exponential_backoff=2.0)
    def airflow(page: int, ti: object) -> int:
        """Fails at its first try."""
        return failing_once(page, ti)

    policy.expand(page=list(range(SIBLINGS)))
    airflow.expand(page=list(range(SIBLINGS)))


def failing_once(page: int, ti: object) -> int:
    """A partner that was away for a moment."""
    if ti.try_number == 1:  # type: ignore[attr-defined]
        raise ConnectionError(f"page {page}: the partner was away")
    return page
