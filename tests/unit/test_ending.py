"""Runs that are ended before their time: which, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from backpressure.airflow.client import AirflowError

from backpressure_lab.lessons import ending


class Airflow:
    """A lesson with a helper DAG, and somebody else's DAG."""

    def __init__(self) -> None:
        self.active = {
            "lesson": ["r1", "r10"],
            "lesson__helper": ["r1__a", "r10__a"],
            "work": ["r1"],
        }
        self.ended: list[tuple[str, str]] = []
        self.late: list[str] = []

    def pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        """DAGs, their active runs, or variables."""
        if key == "dags":
            prefix = params["dag_id_pattern"].rstrip("%")
            yield from [{"dag_id": dag_id} for dag_id in self.active if dag_id.startswith(prefix)]
        elif key == "dag_runs":
            dag_id = path.split("/")[2]
            for name, runs in self.active.items():
                yield from [{"dag_id": name, "dag_run_id": run} for run in runs if dag_id in ("~", name)]
        else:
            assert key == "variables"

    def task_instances(self, _dag_id: str, _run_id: str) -> list[dict[str, Any]]:
        """What the scheduler has added since, and the teardown."""
        states = [self.late.pop()] if self.late else []
        return [{"task_id": "work", "state": state} for state in states] + [{"task_id": "evidence", "state": None}]

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """End a run; one with work that came late has to be ended again."""
        assert state == "failed"
        self.ended.append((dag_id, run_id))
        if not self.late:
            self.active[dag_id].remove(run_id)


def test_a_run_ends_with_its_helpers_and_no_other() -> None:
    """A run whose id begins with the same letters is another one."""
    api: Any = Airflow()
    ending.end(api, "lesson", "r1")
    assert api.ended == [("lesson", "r1"), ("lesson__helper", "r1__a")]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    monkeypatch.setattr(ending, "_PAUSE_SECONDS", 0)


def test_work_that_the_scheduler_adds_meanwhile_is_ended_too() -> None:
    """Instances of a mapped task that are committed after the first ending would wait for a pool that is gone."""
    api: Any = Airflow()
    api.active = {"lesson": ["r1"]}
    api.late = ["scheduled", "scheduled"]
    ending.end(api, "lesson", "r1")
    assert api.ended == [("lesson", "r1")] * 3
    assert api.active == {"lesson": []}


def test_a_run_that_the_scheduler_held_is_ended_at_the_next_try() -> None:
    """Airflow answers 500 when the database broke a deadlock in the scheduler's favour; a refusal is not repeated."""
    answers = iter((500, 500, None, 404))

    class Busy(Airflow):
        def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
            if status := next(answers):
                raise AirflowError("PATCH", run_id, status, "busy")
            super().set_run_state(dag_id, run_id, state)

    api: Any = Busy()
    with pytest.raises(AirflowError, match="404"):
        ending.end(api, "lesson", "r1")
    assert api.ended == [("lesson", "r1")]


def test_a_start_ends_lessons_that_were_cut_off_and_leaves_other_dags_alone() -> None:
    """The lessons' runs and helpers are ended and said; a DAG of the learner's own goes on."""
    api: Any = Airflow()
    said = ending.end_cut_off(api, ["lesson"])
    assert said == ["ended lesson r1, which was cut off", "ended lesson r10, which was cut off"]
    assert api.active == {"lesson": [], "lesson__helper": [], "work": ["r1"]}
