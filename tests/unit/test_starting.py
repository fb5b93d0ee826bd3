"""What a start makes and ends: the local lab's, before which nothing was alive, and a cluster's, where lessons run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from backpressure.airflow.client import AirflowError

from backpressure_lab import manifest
from backpressure_lab.cluster import bootstrap as cluster
from backpressure_lab.cluster import places
from backpressure_lab.lessons import ending
from backpressure_lab.stack import bootstrap as local
from backpressure_lab.stack import ports
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets

COURSE = manifest.load()
LESSON = COURSE.items[0].dag_id
# Two runs that have changed a pause: one that is over without having given back, and one in the middle of it.
RUNS = {"over": "failed", "on": "running"}


class Airflow:
    """A lesson that runs, the pools and connections that are asked for, and the notes of two runs."""

    def __init__(self) -> None:
        self.states = dict(RUNS)
        self.made: list[str] = []
        self.notes = {f"borrowed.pause.{run_id}": run_id for run_id in RUNS}

    def __call__(self, *_: Any, **__: Any) -> Self:
        """A client, whatever its address."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str, **_: Any) -> Any:
        """No pool is there yet."""
        raise AirflowError("GET", path, 404, "not found")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Make a pool or a connection."""
        self.made.append(str(body.get("connection_id") or body.get("name") or path))
        return body

    def delete(self, path: str) -> None:
        """Forget a note."""
        del self.notes[path.rpartition("/")[2]]

    def pause(self, _dag_id: str, *, paused: bool) -> None:
        """Give a pause back."""
        assert not paused

    def run(self, _dag_id: str, run_id: str) -> dict[str, Any]:
        """A run's state."""
        return {"state": self.states[run_id]}

    def set_run_state(self, _dag_id: str, run_id: str, state: str) -> None:
        """End a run."""
        self.states[run_id] = state

    def task_instances(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """None is left to run."""
        return []

    def pages(self, _path: str, key: str, **_: Any) -> Iterator[dict[str, Any]]:
        """The lesson, its active runs, and the notes."""
        if key == "dags":
            yield {"dag_id": LESSON}
        elif key == "dag_runs":
            active = [run_id for run_id, state in self.states.items() if state == "running"]
            yield from [{"dag_id": LESSON, "dag_run_id": run_id} for run_id in active]
        elif key == "variables":
            for name, run_id in list(self.notes.items()):
                note = {"kind": "pause", "name": run_id, "before": False, "dag_id": LESSON, "run_id": run_id}
                yield {"key": name, "value": json.dumps(note)}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """In the place of both clients; nothing is waited for."""
    found = Airflow()
    monkeypatch.setattr(cluster, "AirflowClient", found)
    monkeypatch.setattr(local, "AirflowClient", found)
    monkeypatch.setattr(ending, "_PAUSE_SECONDS", 0)
    return found


def test_a_clusters_bootstrap_leaves_running_lessons_alone(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """``docker compose up`` runs the job again, in the middle of lessons: only what is over is given back."""
    for variable, (host, port) in places.ADDRESSES.items():
        monkeypatch.setenv(variable, f"{host}:{port}")
    monkeypatch.setenv("LAB_ROOT", str(COURSE.root))
    monkeypatch.setattr(places, "secret", lambda name: f"the {name}")
    cluster.main()
    assert airflow.states == RUNS
    assert list(airflow.notes.values()) == ["on"]
    assert {pool.name for pool in COURSE.pools} <= set(airflow.made)


def test_the_labs_own_start_ends_what_its_stop_cut_off(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No task of before is alive, so every active run of a lesson is ended and gives back."""
    context = Context(Layout.of(home=tmp_path), Secrets.generate(), ports.Ports(1, 2, 3, 4))
    monkeypatch.setattr(Context, "load", lambda: context)
    local.main()
    assert airflow.states == {"over": "failed", "on": "failed"}
    assert airflow.notes == {}
    assert {pool.name for pool in COURSE.pools} <= set(airflow.made)
