"""Right, too: one pass over what happened, in its order."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.upstream import Upstream

Row = dict[str, Any]


def shown(case: dict[str, Any]) -> str:
    """holds, broken, or not_tested."""
    events = []
    for row in case["rows"]:
        # In the same instant an end comes before a start.
        events += [(row["scheduled"], 2, 0, 1), (row["queued"], 1, row["slots"], -1)]
        if row["ended"] is not None:
            events.append((row["ended"], 0, -row["slots"], 0))
    used = waiting = 0
    tried = False
    for _, _, slots, waits in sorted(events):
        used, waiting = used + slots, waiting + waits
        if used > case["limit"]:
            return "broken"
        tried = tried or (used == case["limit"] and waiting > 0)
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
