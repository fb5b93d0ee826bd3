"""What runs change is given back, whoever is there to do it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from backpressure import pools
from backpressure.airflow import borrowed
from backpressure.airflow.client import AirflowError, AirflowUnreachableError
from backpressure.airflow.upstream import UpstreamDroppedError
from support.airflow_api import Airflow as PoolAirflow
from support.celery_workers import FakeCelery


class Airflow(PoolAirflow):
    """Pools, variables and the states of runs."""

    def __init__(self, **slots: int) -> None:
        self.variables: dict[str, str] = {}
        self.runs: dict[str, str] = {}
        super().__init__(**slots)

    def post(self, path: str, body: Any) -> Any:
        """Create a pool or a variable."""
        if path != "/variables":
            return super().post(path, body)
        if body["key"] in self.variables:
            raise AirflowError("POST", path, 409, "exists")
        self.variables[body["key"]] = body["value"]
        return None

    def pages(self, path: str, key: str, **_: Any) -> Iterator[dict[str, Any]]:
        """List the variables."""
        assert (path, key) == ("/variables", "variables")
        yield from [{"key": name, "value": value} for name, value in self.variables.items()]

    def patch(self, path: str, body: Any, **params: Any) -> Any:
        """Change a pool or a variable."""
        if not path.startswith("/variables/"):
            return super().patch(path, body, **params)
        assert unquote(path.removeprefix("/variables/")) == body["key"]
        self.variables[body["key"]] = body["value"]
        return None

    def delete(self, path: str) -> None:
        """Delete a pool or a variable."""
        if path.startswith("/variables/"):
            del self.variables[unquote(path.removeprefix("/variables/"))]
        else:
            super().delete(path)

    def run(self, _dag_id: str, run_id: str) -> dict[str, Any]:
        """The state of a run."""
        if run_id not in self.runs:
            raise AirflowError("GET", run_id, 404, "not found")
        return {"state": self.runs[run_id]}


def _borrow(api: Any, name: str, before: int | None, run_id: str = "r1") -> None:
    borrowed.borrow(api, "pool", name, before, dag_id="lesson", run_id=run_id)


def test_a_pool_goes_back_to_the_size_it_had_first() -> None:
    """Two changes of one run are one loan: the first note holds the state to go back to."""
    api: Any = Airflow(api=3)
    _borrow(api, "api", 3)
    pools.resize(api, "api", 6)
    _borrow(api, "api", 6)
    pools.resize(api, "api", 9)
    assert borrowed.give_back(api, "r1") == ["pool api"]
    assert api.pools["api"]["slots"] == 3
    assert borrowed.notes(api) == []


def test_a_pool_that_was_made_is_removed() -> None:
    """Before the run there was none, so there is none after it; giving back twice is no error."""
    api: Any = Airflow()
    _borrow(api, "made", None)
    api.post("/pools", {"name": "made", "slots": 1, "description": "", "include_deferred": False})
    assert borrowed.give_back(api, "r1") == ["pool made"]
    assert "made" not in api.pools
    assert borrowed.give_back(api, "r1") == []


def test_only_runs_that_are_over_are_given_back_for() -> None:
    """Without a run id: what ended, failed or vanished runs have left; a run that is active keeps its loans."""
    api: Any = Airflow(a=1, b=1, c=1)
    api.runs = {"active": "running", "over": "failed"}
    for name, run_id in (("a", "active"), ("b", "over"), ("c", "vanished")):
        _borrow(api, name, 1, run_id)
        pools.resize(api, name, 5)
    assert borrowed.give_back(api) == ["pool b", "pool c"]
    assert [api.pools[name]["slots"] for name in "abc"] == [5, 1, 1]


def test_another_runs_loans_are_left_alone() -> None:
    """A run gives back its own changes only."""
    api: Any = Airflow(api=3)
    _borrow(api, "api", 3, "other")
    assert borrowed.give_back(api, "r1") == []
    assert len(borrowed.notes(api)) == 1


def _borrow_workers(api: Any, run_id: str = "r1") -> None:
    for kind, name, before in (
        ("consumer", borrowed.consumer("a@lab", "bulk"), False),
        ("consumer", borrowed.consumer("b@lab", "bulk"), True),
        ("worker_size", "a@lab", 2),
    ):
        borrowed.borrow(api, kind, name, before, dag_id="lesson", run_id=run_id)


def test_workers_get_their_queues_and_size_back() -> None:
    """A queue that was added is left again, one that was left is served again, and what is right is not touched."""
    api: Any = Airflow()
    celery = FakeCelery(a=["fast", "bulk"], b=[])
    celery.processes["a@lab"] += [103, 104]
    _borrow_workers(api)
    assert borrowed.give_back(api, "r1", celery.workers) == [
        "consumer a@lab/bulk",
        "consumer b@lab/bulk",
        "worker_size a@lab",
    ]
    assert (celery.queues, len(celery.processes["a@lab"])) == ({"a@lab": ["fast"], "b@lab": ["bulk"]}, 2)
    _borrow_workers(api)
    celery.told.clear()
    borrowed.give_back(api, "r1", celery.workers)
    assert celery.told == []


def test_workers_that_start_anew_need_not_be_told() -> None:
    """At the lab's start the workers are not there yet, and come with their own queues and size: the notes go."""
    api: Any = Airflow()
    _borrow_workers(api, "vanished")
    assert len(borrowed.give_back(api)) == 3
    assert borrowed.notes(api) == []


def test_what_cannot_be_given_back_keeps_its_note_and_no_other() -> None:
    """A worker that does not answer holds up neither the pool nor the other worker, and is told next time."""
    api: Any = Airflow(api=3)
    celery = FakeCelery(a=["fast", "bulk"], b=[])
    celery.silent.add("a@lab")
    _borrow_workers(api)
    _borrow(api, "api", 5)
    with pytest.raises(ExceptionGroup, match="a@lab does not answer"):
        borrowed.give_back(api, "r1", celery.workers)
    assert api.pools["api"]["slots"] == 5
    assert celery.queues["b@lab"] == ["bulk"]
    assert [note["name"] for note in borrowed.notes(api)] == ["a@lab/bulk", "a@lab"]
    celery.silent.clear()
    borrowed.give_back(api, "r1", celery.workers)
    assert celery.queues["a@lab"] == ["fast"]
    assert borrowed.notes(api) == []


def test_whatever_goes_wrong_with_one_note_the_others_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be removed, a kind that nobody knows, a pool that vanishes, a server that is silent once."""
    api: Any = Airflow(gone=1, silent=1, api=3)
    folder = tmp_path / "a folder"
    folder.mkdir()
    for kind, name, before in (
        ("file", str(folder), str(folder)),
        ("of a later release", "x", None),
        ("pool", "gone", 2),
        ("pool", "silent", 2),
        ("pool", "api", 5),
    ):
        borrowed.borrow(api, kind, name, before, dag_id="lesson", run_id="r1")
    resize = pools.resize

    def resized(client: Any, name: str, slots: int) -> int:
        if name == "silent":
            raise AirflowUnreachableError("no answer")
        if name == "gone":
            client.delete("/pools/gone")
        return resize(client, name, slots)

    monkeypatch.setattr(pools, "resize", resized)
    with pytest.raises(ExceptionGroup, match="a later release may have noted it") as caught:
        borrowed.give_back(api, "r1")
    kinds = [OSError, LookupError, LookupError, AirflowUnreachableError]
    assert [isinstance(error, kind) for error, kind in zip(caught.value.exceptions, kinds, strict=True)] == [True] * 4
    assert api.pools["api"]["slots"] == 5
    assert [note["name"] for note in borrowed.notes(api)] == [str(folder), "x", "gone", "silent"]


def test_what_a_dead_run_borrowed_passes_to_the_next() -> None:
    """The next run gives back what there was before the dead one; what an active run borrowed stays its own."""
    api: Any = Airflow(api=3)
    api.runs = {"dead": "failed", "active": "running"}
    _borrow(api, "api", 3, "dead")
    pools.resize(api, "api", 9)
    _borrow(api, "api", 9, "next")
    assert borrowed.give_back(api, "next") == ["pool api"]
    assert api.pools["api"]["slots"] == 3
    _borrow(api, "api", 3, "active")
    _borrow(api, "api", 5, "next")
    assert [note["run_id"] for note in borrowed.notes(api)] == ["active"]


def test_an_upstreams_lane_is_reset_by_who_can() -> None:
    """A task resets it; a command leaves the note to the run's own teardown; a lab that starts has new lanes."""
    api: Any = Airflow()
    reset: list[str] = []
    borrowed.borrow(api, borrowed.LANE, "api/v1", None, dag_id="lesson", run_id="r1")
    assert borrowed.give_back(api, "r1") == []
    assert len(borrowed.notes(api)) == 1
    assert borrowed.give_back(api, "r1", reset_lane=reset.append) == ["lane api/v1"]
    assert reset == ["api/v1"]
    borrowed.borrow(api, borrowed.LANE, "api/v1", None, dag_id="lesson", run_id="vanished")
    assert borrowed.give_back(api) == ["lane api/v1"]
    assert (reset, borrowed.notes(api)) == (["api/v1"], [])


def test_a_lane_that_cannot_be_reset_keeps_its_note() -> None:
    """An upstream that does not answer does not keep a pool from going back."""
    api: Any = Airflow(api=3)

    def silent(_lane: str) -> None:
        raise UpstreamDroppedError("no answer")

    borrowed.borrow(api, borrowed.LANE, "api", None, dag_id="lesson", run_id="r1")
    _borrow(api, "api", 5)
    with pytest.raises(ExceptionGroup, match="no answer"):
        borrowed.give_back(api, "r1", reset_lane=silent)
    assert api.pools["api"]["slots"] == 5
    assert [note["kind"] for note in borrowed.notes(api)] == ["lane"]


def test_a_file_that_was_put_somewhere_is_removed(tmp_path: Path) -> None:
    """By whoever gives back, and also when somebody has removed it already."""
    api: Any = Airflow()
    for there in (True, False):
        path = tmp_path / "flag"
        borrowed.borrow(api, "file", "flag", str(path), dag_id="lesson", run_id="r1")
        if there:
            path.touch()
        assert borrowed.give_back(api, "r1") == ["file flag"]
        assert not path.exists()
