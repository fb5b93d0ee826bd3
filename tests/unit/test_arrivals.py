"""Work that comes as runs of helper DAGs: on time, only while a valve is open, and dropped in the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from backpressure.airflow import arrivals
from backpressure.airflow.arrivals import arrive, arrive_while_open, came, drop, play


class FakeRun:
    """Notes when runs are triggered, on a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.triggered: list[tuple[float, str, str, dict[str, Any]]] = []
        self.spaced: list[tuple[str, str, int, float, float]] = []
        self.ended: list[tuple[str, str, str]] = []
        self.slots = 1
        self.states = {"a": ["success", "running", "queued", "failed"], "b": ["running"]}
        self.api = SimpleNamespace(set_run_state=lambda *told: self.ended.append(told))

    def time(self) -> float:
        """The instant."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds

    def trigger(self, helper: str, label: str, **conf: Any) -> None:
        """A run is triggered; that takes half a second."""
        self.triggered.append((self.at, helper, label, conf))
        self.at += 0.5

    def trigger_spaced(self, helper: str, label: str, count: int, every: float, delay: float) -> None:
        """Runs are made for an instant; that takes half a second."""
        self.spaced.append((helper, label, count, every, self.at + delay))
        self.at += 0.5

    def pool(self, name: str) -> SimpleNamespace:
        """The valve."""
        assert name == "valve"
        return SimpleNamespace(slots=self.slots)

    def helper_runs(self, helper: str) -> list[dict[str, str]]:
        """The runs of a helper."""
        return [{"dag_run_id": f"{helper}{number}", "state": state} for number, state in enumerate(self.states[helper])]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    """A run whose clock is also the module's."""
    fake = FakeRun()
    monkeypatch.setattr(arrivals, "time", fake)
    return fake


def test_runs_come_when_they_are_due(run: FakeRun) -> None:
    """Each at its time from the beginning, which is returned, whatever the triggers before it took."""
    began = arrive(run, [(0.0, "a", "one", {}), (2.0, "b", "two", {"seconds": 3}), (5.0, "a", "three", {})])  # type: ignore[arg-type]  # as much of a run as it needs
    assert began == 1000
    assert run.triggered == [
        (1000.0, "a", "one", {}),
        (1002.0, "b", "two", {"seconds": 3}),
        (1005.0, "a", "three", {}),
    ]


def test_what_is_late_comes_at_once(run: FakeRun) -> None:
    """Runs due together or while another was triggered do not push back what follows."""
    arrive(run, [(0.0, "a", "one", {}), (0.1, "a", "two", {}), (3.0, "a", "three", {})])  # type: ignore[arg-type]  # as above
    assert [at for at, *_ in run.triggered] == [1000.0, 1000.5, 1003.0]


def test_nothing_comes_through_a_closed_valve(run: FakeRun) -> None:
    """While the pool has no slots no run is triggered; what comes later has the next number."""

    def until() -> bool:
        run.slots = 0 if 1002 <= run.at < 1004 else 1
        return run.at >= 1006

    came = arrive_while_open(run, "a", "valve", every=1.0, until=until, seconds=60)  # type: ignore[arg-type]  # as above
    assert came == 4
    assert [(at, label) for at, _, label, _ in run.triggered] == [
        (1000.0, "arrival-0"),
        (1001.0, "arrival-1"),
        (1004.0, "arrival-2"),
        (1005.0, "arrival-3"),
    ]


def test_what_a_stall_made_overdue_does_not_rush_in(run: FakeRun) -> None:
    """After a call that took seconds one run comes at once, and the next at its own instant again."""
    asked = []

    def until() -> bool:
        asked.append(run.at)
        run.at += 4.3 if len(asked) == 2 else 0
        return run.at >= 1008

    arrive_while_open(run, "a", "valve", every=1.0, until=until, seconds=60)  # type: ignore[arg-type]  # as above
    assert [at for at, *_ in run.triggered] == pytest.approx([1000.0, 1005.3, 1006.0, 1007.0])


def test_arrivals_have_an_end(run: FakeRun) -> None:
    """When what is waited for never comes, the time that was given ends them."""
    arrive_while_open(run, "a", "valve", every=1.0, until=lambda: False, seconds=3)  # type: ignore[arg-type]  # as above
    assert [at for at, *_ in run.triggered] == [1000.0, 1001.0, 1002.0]


def test_only_what_is_not_over_is_dropped(run: FakeRun) -> None:
    """Runs that wait or run are ended as failed; those that have ended stay as they are."""
    assert drop(run, "a", "b") == 3  # type: ignore[arg-type]  # as above
    assert run.ended == [("a", "a1", "failed"), ("a", "a2", "failed"), ("b", "b0", "failed")]


def test_bunches_are_made_before_they_come(run: FakeRun) -> None:
    """Each bunch has its own instant, whatever making the others took; a beginning that is given is kept."""
    demand = [(0.5, "a", 1), (3.0, "b", 2)]
    assert play(run, "day-", demand) == 1001.5  # type: ignore[arg-type]  # as above
    assert run.spaced == [("a", "day-0", 1, 0.0, 1002.0), ("b", "day-1", 2, 0.0, 1004.5)]
    assert play(run, "day-", demand, 1010.0) == 1010.0  # type: ignore[arg-type]  # as above
    assert [one[4] for one in run.spaced[2:]] == [1010.5, 1013.0]


def test_runs_came_when_they_were_due() -> None:
    """What counts is ``run_after``, over all helpers, in the order of time, and only of the label that is asked for."""
    due = {"a": ["2026-11-25T10:00:05Z", "2026-11-25T10:00:01.5Z"], "b": ["2026-11-25T10:00:03Z"]}
    asked = []

    def helper_runs(helper: str, label: str) -> list[dict[str, str]]:
        asked.append((helper, label))
        return [{"run_after": one} for one in due[helper]]

    run: Any = SimpleNamespace(helper_runs=helper_runs)
    assert [at % 60 for at in came(run, "a", "b", label="day-1-")] == [1.5, 3.0, 5.0]
    assert asked == [("a", "day-1-"), ("b", "day-1-")]
