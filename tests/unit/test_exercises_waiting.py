"""A check gives a run up when its own work is stuck, and not when the machine is slow to start it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow.upstream import Endpoint

from backpressure_lab.exercises import live, staging
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.seen import Load
from backpressure_lab.exercises.staging import Stage


class Airflow:
    """A clock, and one run of one task whose state goes by it."""

    def __init__(self, *states: tuple[float, str]) -> None:
        self.now = 0.0
        self._states = states

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def _state(self) -> str:
        return [state for begin, state in self._states if begin <= self.now][-1]

    def task_instances(self, _dag_id: str) -> list[dict[str, Any]]:
        """The one task."""
        return [{"id": "1", "state": self._state()}]

    def pages(self, _path: str, _name: str) -> list[dict[str, Any]]:
        """The one run, which is over when its task is."""
        return [{"state": self._state() if self._state() == "success" else "running"}]


@pytest.mark.parametrize(
    ("states", "over", "least", "most"),
    [
        ([(0, "scheduled"), (50, "queued")], False, 30, 31),
        ([(0, "scheduled"), (25, "queued"), (80, "running"), (115, "success")], True, 115, 116),
        ([(0, "scheduled"), (25, "queued")], False, 120, 121),
        ([(0, "running")], False, 120, 121),
    ],
    ids=["no slot", "a slow machine", "no worker", "endless"],
)
def test_only_what_has_no_slot_is_stuck(
    monkeypatch: pytest.MonkeyPatch, states: list[tuple[float, str]], *, over: bool, least: float, most: float
) -> None:
    """Waiting for a slot without any change ends a check early; waiting for a process or running does not."""
    airflow: Any = Airflow(*states)
    monkeypatch.setattr(live, "time", airflow)
    monkeypatch.setattr(staging, "time", airflow)
    place = Place(Path(), Path(), Endpoint("http://none"))
    stage = Stage(place, airflow, "x", ("x_0",), {}, {})
    assert live._over(stage, Load({}, {}, {}), lambda: True) is over
    assert least <= airflow.now <= most
