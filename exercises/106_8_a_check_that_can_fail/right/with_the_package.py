"""Right, too: the timeline that the lessons are judged with."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream
from backpressure.timeline import Timeline


def shown(case: dict[str, Any]) -> str:
    """holds, broken, or not_tested."""
    rows, read = case["rows"], case["read"]
    work = Timeline.from_arrays(
        scheduled=[row["scheduled"] for row in rows],
        queued=[row["queued"] for row in rows],
        end=[float("nan") if row["ended"] is None else row["ended"] for row in rows],
        pool_slots=[row["slots"] for row in rows],
    )
    used = work.concurrency("queued", "end", slots=True, now=read)
    if used.peak > case["limit"]:
        return "broken"
    waiting = work.concurrency("scheduled", "queued", now=read)
    full = used.times[used.values == case["limit"]]
    return "holds" if (waiting.at(full) > 0).any() else "not_tested"


with DAG(
    dag_id="106_8_a_check_that_can_fail",
    schedule=None,
    params={
        "desk": Param("106_8_desk", description="who wants to know"),
        "cases": Param([], type="array", description="of each test, the task instances, the pool's slots, when read"),
    },
):

    @task
    def judge(params: dict | None = None) -> None:
        """Report of each test of a pool what it has shown."""
        desk = Upstream(params["desk"])
        for one in params["cases"]:
            desk.call(shown(one), request_id=f"case {one['case']}")

    judge()
