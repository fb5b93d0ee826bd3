"""A call of two seconds in a pool whose size is steered."""

from time import sleep

from airflow.sdk import DAG, task

with DAG("work_steered", schedule=None, max_active_runs=100):

    @task(pool="work_steered")
    def call() -> None:
        """Take two seconds of a partner's time."""
        sleep(2)

    call()
