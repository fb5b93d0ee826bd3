"""What a run asks about its own tasks: what each returned, what has failed, its tries, and who answered."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow.client import AirflowError
from backpressure.airflow.run import Run


def _record(task_id: str, map_index: int, state: str, dag_id: str = "lesson", run_id: str = "r1") -> dict[str, Any]:
    return {"task_id": task_id, "map_index": map_index, "state": state, "dag_id": dag_id, "dag_run_id": run_id}


class FakeAirflow:
    """Task instances, what they returned, and a person's answer."""

    def __init__(self) -> None:
        self.patched: list[tuple[str, Any]] = []
        self.answer: dict[str, Any] | None = {"responded_by_user": {"id": "1", "name": "ada"}}

    def task_instances(self, dag_id: str, run_id: str = "~", **_: Any) -> list[dict[str, Any]]:
        """The instances of the lesson's run, or of all runs of its helper; every filter is left to the caller."""
        if dag_id == "lesson__helper":
            assert run_id == "~"
            return [_record("work", -1, "success", dag_id, owner) for owner in ("r1__one", "r2__one")]
        return [_record("work", 0, "success"), _record("work", 1, "failed"), _record("other", -1, "success")]

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Where it came from; one task returned nothing."""
        return None if task_id == "other" else [dag_id, run_id, map_index]

    def get(self, path: str) -> Any:
        """A task's tries, or the question that it put to a person."""
        if path.endswith("/work/1/tries"):
            return {"task_instances": [_record("work", 1, "failed"), _record("work", 1, "failed")]}
        if path.endswith("/review/-1/hitlDetails") and self.answer:
            return self.answer
        raise AirflowError("GET", path, 404, "not found")

    def patch(self, path: str, body: Any, **_: Any) -> None:
        """Take an answer."""
        self.patched.append((path, body))


@pytest.fixture
def airflow() -> FakeAirflow:
    """The Airflow that is asked."""
    return FakeAirflow()


@pytest.fixture
def run(airflow: FakeAirflow) -> Run:
    """A lesson's run on it."""
    return Run(airflow, "lesson", "r1", {"scenario": "dlq"})  # type: ignore[arg-type]  # what is asked of a client


def test_results_are_those_of_instances_that_returned_something(run: Run) -> None:
    """Each mapped instance has its own; what failed or returned nothing is left out."""
    assert [(one["map_index"], one["result"]) for one in run.with_results("work", "other")] == [
        (0, ["lesson", "r1", 0])
    ]


def test_a_helpers_results_are_those_of_its_own_runs(run: Run) -> None:
    """Runs of the helper that belong to another run are left out."""
    found = run.with_results("work", helper="lesson__helper")
    assert [one["result"] for one in found] == [["lesson__helper", "r1__one", -1]]


def test_what_failed_for_good_is_listed(run: Run) -> None:
    """The failed instances of one task."""
    assert [record["map_index"] for record in run.failed("work")] == [1]


def test_every_try_of_an_instance_is_there(run: Run) -> None:
    """All tries, and none for an instance that there is not."""
    assert (len(run.tries("work", 1)), len(run.tries("work", 7))) == (2, 0)


def test_every_try_of_every_instance_is_there(run: Run) -> None:
    """The tries of all instances that have any; an instance without, and other tasks, add none."""
    assert len(run.every_try("work")) == 1  # the fake's two tries are one, having one number
    assert len(run.every_try("other")) == 0


def test_who_answered_is_told(run: Run, airflow: FakeAirflow) -> None:
    """A person's name; None while nobody has, and for a task that never asked."""
    assert run.answered_by("review") == "ada"
    airflow.answer = {"responded_by_user": None}
    assert run.answered_by("review") is None
    assert run.answered_by("work") is None
