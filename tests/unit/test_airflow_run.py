"""A lesson's run as its tasks see it, with an Airflow that is a few lists."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow.run import Run
from backpressure.pools import PoolStatus


def ago(seconds: float) -> str:
    """A stamp of so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


class FakeAirflow:
    """Keeps runs and pauses, and notes what was asked of it, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.looks = 0
        self.notes: list[dict[str, Any]] = []
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.paused: dict[str, bool] = {}

    def dag(self, dag_id: str) -> dict[str, Any]:
        """A DAG, as far as it is asked for."""
        self.looks += 1
        return {"is_paused": self.paused.get(dag_id, False)}

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause."""
        self.asked.append(f"{'pause' if paused else 'unpause'} {dag_id}")
        self.paused[dag_id] = paused

    def trigger(self, dag_id: str, run_id: str, **_: Any) -> None:
        """Create a run."""
        self.asked.append(f"trigger {run_id}")
        self.runs.setdefault(dag_id, []).append({"dag_run_id": run_id, "state": "queued"})

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Only the notes of what was borrowed are posted."""
        assert path == "/variables", body
        self.notes.append(json.loads(body["value"]))

    def pages(self, path: str, key: str, **_: Any) -> list[dict[str, Any]]:
        """The runs of a DAG; every filter is left to the caller."""
        assert key == "dag_runs"
        return self.runs.get(path.split("/")[2], [])

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Only task instances are patched, in bulk."""
        assert path == "/dags/~/dagRuns/~/taskInstances"
        self.asked += [
            f"{e['new_state']} {e['task_id']}[{e['map_index']}]" for one in body["actions"] for e in one["entities"]
        ]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Three instances of one mapped task, out of order, of which two are queued, and one of another task."""
        assert (dag_id, run_id) == ("lesson", "r1")
        times = [(5.0, "queued"), (90.0, "running"), (20.0, "queued")]
        calls = [
            {"task_id": "call", "map_index": index, "state": state, "queued_when": ago(seconds)}
            for index, (seconds, state) in zip((2, 0, 1), times, strict=True)
        ]
        return [*calls, {"task_id": "x", "map_index": -1, "state": "queued", "queued_when": ago(70.0)}]

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, map_index: int) -> Any:
        """What the instances returned; the second of them nothing."""
        assert (dag_id, run_id, task_id) == ("lesson", "r1", "call")
        return [10, None, 12][map_index]


@pytest.fixture
def airflow() -> FakeAirflow:
    """An Airflow without any run."""
    return FakeAirflow()


@pytest.fixture
def run(airflow: FakeAirflow) -> Run:
    """A lesson's run on it."""
    return Run(airflow, "lesson", "r1", {"scenario": "limited"})  # type: ignore[arg-type]  # what is asked of a client


def test_a_pool_that_a_task_makes_itself_is_noted_as_one_to_remove(run: Run, airflow: FakeAirflow) -> None:
    """There was none before, so giving back removes it; nothing is made by the note."""
    run.borrow_pool("own")
    (note,) = airflow.notes
    assert (note["kind"], note["name"], note["before"], note["run_id"]) == ("pool", "own", None, "r1")
    assert airflow.asked == []


def test_a_helper_is_unpaused_once_and_again_after_a_pause(run: Run, airflow: FakeAirflow) -> None:
    """Whether it is paused is asked for the first run only, until this run itself pauses it."""
    airflow.paused["a"] = True
    assert [run.trigger("a", "one"), run.trigger("a", "two")] == ["r1__one", "r1__two"]
    assert airflow.asked == ["unpause a", "trigger r1__one", "trigger r1__two"]
    assert airflow.looks == 1
    run.pause("a", paused=True)
    run.trigger("a", "three")
    assert airflow.asked[3:] == ["pause a", "unpause a", "trigger r1__three"]


def test_runs_triggered_together_wait_behind_a_pause(run: Run, airflow: FakeAirflow) -> None:
    """Every helper DAG is paused before the first run is triggered, and none is opened before the last."""
    run.trigger_together([("a", "one"), ("b", "two"), ("a", "three")])
    triggers = ["trigger r1__one", "trigger r1__two", "trigger r1__three"]
    assert airflow.asked == ["pause a", "pause b", *triggers, "unpause a", "unpause b"]


def test_runs_that_are_there_are_not_triggered_again(run: Run, airflow: FakeAirflow) -> None:
    """A second call pauses nothing that is complete, adds what is missing, and leaves every DAG open."""
    run.trigger_together([("a", "one")])
    airflow.paused["a"] = True
    airflow.asked.clear()
    run.trigger_together([("a", "one")])
    assert airflow.asked == ["unpause a"]
    airflow.asked.clear()
    run.trigger_together([("a", "one"), ("a", "two")])
    assert airflow.asked == ["pause a", "trigger r1__two", "unpause a"]


def test_helper_runs_are_those_of_this_run_and_label(run: Run, airflow: FakeAirflow) -> None:
    """A run of another lesson's run, or with another label, is not among them, whatever Airflow lists."""
    names = ("r1__pair-1", "r1__pair-2", "r1__solo", "r10__pair-1", "manual")
    airflow.runs["a"] = [{"dag_run_id": name, "state": "success"} for name in names]
    assert [found["dag_run_id"] for found in run.helper_runs("a", "pair")] == ["r1__pair-1", "r1__pair-2"]
    assert len(run.helper_runs("a")) == 3


def test_helper_runs_are_over_when_there_are_some_and_all_have_ended(run: Run, airflow: FakeAirflow) -> None:
    """No runs at all is not the end of them."""
    assert not run.helper_runs_over("a")
    airflow.runs["a"] = [{"dag_run_id": "r1__one", "state": "failed"}, {"dag_run_id": "r1__two", "state": "running"}]
    assert not run.helper_runs_over("a")
    airflow.runs["a"][1]["state"] = "success"
    assert run.helper_runs_over("a")


def test_the_timeline_of_helper_runs_begins_when_they_were_queued(run: Run, airflow: FakeAirflow) -> None:
    """A run waits from ``queued_at`` to ``start_date`` and lasts until ``end_date``."""
    minute = "2026-01-01T00:00:{:02d}Z".format
    stamps = {"queued_at": minute(1), "start_date": minute(4), "end_date": minute(9)}
    airflow.runs["a"] = [{"dag_run_id": "r1__one", "dag_id": "a", "state": "success", **stamps}]
    runs = run.runs("a", "one")
    assert runs.wait.tolist() == [3]
    assert runs.duration.tolist() == [5]


def test_the_results_of_a_mapped_task_come_in_its_order(run: Run) -> None:
    """Each instance is asked for its own, and one that returned nothing is left out."""
    assert run.results("call") == [10, 12]


def test_task_instances_are_skipped_in_one_request(run: Run, airflow: FakeAirflow) -> None:
    """Each is named with its run; nothing is asked of Airflow where there is nothing to skip."""
    named = {"dag_id": "helper", "dag_run_id": "r1__one", "task_id": "bronze", "state": "scheduled"}
    run.skip([named | {"map_index": index} for index in (0, 3)])
    run.skip([])
    assert airflow.asked == ["skipped bronze[0]", "skipped bronze[3]"]


def test_the_oldest_that_waits_for_a_worker_is_told_in_seconds(run: Run) -> None:
    """Neither what runs already nor other tasks count; without any that waits it is 0."""
    assert run.oldest("call") == pytest.approx(20.0, abs=5.0)
    assert run.oldest("y") == 0.0


@pytest.mark.parametrize(
    ("open_slots", "waiting", "settled"), [(1, 2, False), (0, 2, True), (-1, 2, True), (1, 0, True), (0, 0, True)]
)
def test_a_pool_is_settled_when_nobody_waits_for_an_open_slot(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, open_slots: int, waiting: int, settled: bool
) -> None:
    """A full pool is settled whoever waits, and so is one for which nobody does."""
    taken = 3 - open_slots
    status = PoolStatus("p", 3, taken, taken, 0, waiting, 0, open_slots, include_deferred=False)
    monkeypatch.setattr(run, "pool", {"p": status}.__getitem__)
    assert run.settled("p") is settled


def test_a_file_is_put_once_and_noted_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already is somebody else's, and is not noted to be removed."""
    noted: list[Any] = []
    monkeypatch.setattr(run, "_borrow", lambda *note: noted.append(note))
    path = tmp_path / "switches" / "scheduler-2"
    assert run.put_file(path).exists()
    assert noted == [("file", str(path), str(path))]
    run.put_file(path)
    assert len(noted) == 1
    other = run.put_file(tmp_path / "elsewhere" / "scheduler-2")
    assert len({name for _, name, _ in noted}) == 2, "another file of that name has a note of its own"
    assert other.exists()
