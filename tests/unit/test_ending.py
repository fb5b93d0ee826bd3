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

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """End a run."""
        assert state == "failed"
        self.ended.append((dag_id, run_id))
        self.active[dag_id].remove(run_id)


def test_a_run_ends_with_its_helpers_and_no_other() -> None:
    """A run whose id begins with the same letters is another one."""
    api: Any = Airflow()
    ending.end(api, "lesson", "r1")
    assert api.ended == [("lesson", "r1"), ("lesson__helper", "r1__a")]


def test_a_run_that_the_scheduler_held_is_ended_at_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow answers 500 when the database broke a deadlock in the scheduler's favour; a refusal is not repeated."""
    monkeypatch.setattr(ending, "_PAUSE_SECONDS", 0)
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
