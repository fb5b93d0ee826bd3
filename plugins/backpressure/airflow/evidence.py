"""The last task of every lesson: it compares what happened with the claims, and gives back what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, get_current_context, task

from backpressure.airflow import tape
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Evidence, Finding

TASK_ID = "evidence"
# A judge whose process was killed is tried again, since it has to give back; one that broke would only break again.
_AGAIN: dict[str, Any] = {
    "retries": 1,
    "retry_delay": timedelta(0),
    "retry_policy": ExceptionRetryPolicy(rules=[], default=RetryAction.FAIL),
}
Judge = Callable[[Run], Iterable[Finding]]


def evidence(judge: Judge) -> Callable[[], Any]:
    """Make a lesson's ``evidence`` task out of a function that yields its findings.

    The task is a teardown: it runs whatever became of the workload, and does not turn a failed run into a good one.
    What it found is its return value (an XCom), which the commands, the UI and the grader read; beside it stands the
    tape of what it asked and was told, on which its judgement can be tried again. It gives back what the run has
    changed, also when judging fails.
    """

    @task(task_id=TASK_ID, **_AGAIN, **CONTROL)
    def judging() -> Mapping[str, Any]:
        run = Run.current()
        heard = tape.Tape(run.dag_id, run.run_id, run.params)
        try:
            with tape.recording(heard):
                found = Evidence(scenario=run.scenario, findings=tuple(judge(run)))
        finally:
            for change in run.give_back():
                print(f"gave back {change}")  # noqa: T201 - a task's print is its log
            get_current_context()["ti"].xcom_push(key=tape.XCOM_KEY, value=heard.packed())
        for finding in found.findings:
            print(finding)  # noqa: T201 - a task's print is its log
        return found.to_dict()

    def make() -> Any:
        return judging().as_teardown(on_failure_fail_dagrun=False)

    make.judge = judge  # type: ignore[attr-defined]  # for whoever loads the file to try the judge on a tape
    return make
