"""Right, too: a pool holds the fetches of all runs."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("archive", slots=4)]

with DAG(
    dag_id="14_3_concurrency_limits",
    schedule=None,
    max_active_runs=2,
    params={
        "archive": Param("14_3_archive", description="the system that fetches ask"),
        "studio": Param("14_3_studio", description="the system that previews ask"),
        "fetches": Param([1, 2, 3, 4, 5], type="array"),
        "previews": Param([1, 2, 3], type="array"),
    },
):

    @task
    def numbers(of: str, params: dict | None = None) -> list[int]:
        """What is to be done in this run."""
        return params[of]

    @task(pool="archive", max_active_tis_per_dagrun=3)
    def fetch(number: int, params: dict | None = None) -> None:
        """Get something from the archive."""
        Upstream(params["archive"]).call("fetch", request_id=f"fetch {number}")

    @task
    def preview(number: int, params: dict | None = None) -> None:
        """Make a small picture, which costs nobody anything."""
        Upstream(params["studio"]).call("preview", request_id=f"preview {number}")

    fetch.expand(number=numbers.override(task_id="fetches")("fetches"))
    preview.expand(number=numbers.override(task_id="previews")("previews"))
