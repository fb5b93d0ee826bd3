"""Wrong: a slot counts twice in the instant in which it changes hands."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Row = dict[str, Any]


def in_use(case: dict[str, Any], at: float) -> int:
    """Slots that tasks held at an instant: a slot is free again in the instant after its task has ended."""
    held = [row for row in case["rows"] if row["queued"] <= at and (row["ended"] is None or at <= row["ended"])]
    return sum(row["slots"] for row in held)


def waits(case: dict[str, Any], at: float) -> bool:
    """Whether a task could have been queued at an instant, and was not."""
    return any(row["scheduled"] <= at < row["queued"] for row in case["rows"])


def shown(case: dict[str, Any]) -> str:
    """holds, broken, or not_tested."""
    instants = [row["queued"] for row in case["rows"]]
    if any(in_use(case, at) > case["limit"] for at in instants):
        return "broken"
    tried = any(in_use(case, at) == case["limit"] and waits(case, at) for at in instants)
    return "holds" if tried else "not_tested"


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
