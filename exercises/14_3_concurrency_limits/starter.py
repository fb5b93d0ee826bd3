"""Exercise 14.3: three runs at once, and an archive that groans."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

with DAG(
    dag_id="14_3_concurrency_limits",
    schedule=None,
    # TODO: at most two runs at once.
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

    # TODO: at most three fetches at once in a run, and four in all runs together.
    @task
    def fetch(number: int, params: dict | None = None) -> None:
        """Get something from the archive."""
        Upstream(params["archive"]).call("fetch", request_id=f"fetch {number}")

    @task
    def preview(number: int, params: dict | None = None) -> None:
        """Make a small picture, which costs nobody anything."""
        Upstream(params["studio"]).call("preview", request_id=f"preview {number}")

    fetch.expand(number=numbers.override(task_id="fetches")("fetches"))
    preview.expand(number=numbers.override(task_id="previews")("previews"))
