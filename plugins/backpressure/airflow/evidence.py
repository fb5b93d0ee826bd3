"""The last task of every lesson: it compares what happened with the claims, and gives back what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow.sdk import task

from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Evidence, Finding

TASK_ID = "evidence"


def evidence(judge: Callable[[Run], Iterable[Finding]]) -> Callable[[], Any]:
    """Make a lesson's ``evidence`` task out of a function that yields its findings.

    The task is a teardown: it runs whatever became of the workload, and does not turn a failed run into a good one.
    What it found is its return value (an XCom), which the commands, the UI and the grader read. It gives back what the
    run has changed, also when judging fails.
    """

    @task(task_id=TASK_ID, **CONTROL)
    def judging() -> Mapping[str, Any]:
        run = Run.current()
        try:
            found = Evidence(scenario=run.scenario, findings=tuple(judge(run)))
        finally:
            for change in run.give_back():
                print(f"gave back {change}")  # noqa: T201 - a task's print is its log
        for finding in found.findings:
            print(finding)  # noqa: T201 - a task's print is its log
        return found.to_dict()

    def make() -> Any:
        return judging().as_teardown(on_failure_fail_dagrun=False)

    return make
