"""Running a lesson against an imagined Airflow: what is asked, what is concluded, what is cleaned up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from backpressure.airflow.client import AirflowError
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure

from backpressure_lab import manifest
from backpressure_lab.errors import LabError, NotRunningError
from backpressure_lab.lessons import ending, result, runner
from backpressure_lab.lessons.result import Result
from backpressure_lab.stack.layout import Layout

ITEM = manifest.load().item("106.2.1")


def _evidence(scenario: str = "pooled", *, holds: bool | None = True) -> Evidence:
    value = {True: 3, False: 5, None: None}[holds]
    return Evidence(
        scenario, tuple(finding(bullet, "claim", Measure(value, "peak", at=1.0) == 3) for bullet in ITEM.checklist)
    )


class Airflow:
    """The routes that a run needs."""

    def __init__(self, evidence: Evidence | None, states: tuple[str, ...] = ("queued", "running", "success")) -> None:
        self.evidence = evidence
        self.states = iter((*states, *itertools.repeat(states[-1], 50)))
        self.triggered: list[tuple[str, dict[str, Any]]] = []
        self.ended: list[str] = []
        self.errors: list[dict[str, Any]] = []
        self.known = True
        self.waiting: list[dict[str, Any]] = []

    def dag(self, dag_id: str) -> dict[str, Any]:
        if not self.known:
            raise AirflowError("GET", dag_id, 404, "not found")
        return {"is_stale": False}

    def pages(self, path: str, _key: str, **_: Any) -> Iterator[dict[str, Any]]:
        if path == "/importErrors":
            yield from self.errors
        elif path.endswith("/dagRuns"):
            yield from [{"dag_run_id": run_id} for run_id, _ in self.triggered]
        elif path == "/dags":
            yield {"dag_id": ITEM.dag_id, "is_paused": False}

    def trigger(self, _dag_id: str, run_id: str, *, conf: dict[str, Any]) -> None:
        self.triggered.append((run_id, conf))

    def run(self, _dag_id: str, _run_id: str) -> dict[str, Any]:
        return {"state": next(self.states)}

    def set_run_state(self, _dag_id: str, run_id: str, _state: str) -> None:
        self.ended.append(run_id)

    def task_instances(self, *_: Any, **filters: Any) -> list[dict[str, Any]]:
        if filters.get("state") == "queued":
            return [record for record in self.waiting if record["dag_run_id"] == filters["run_id_prefix_pattern"]]
        return [] if filters else [{"task_id": "evidence", "state": "failed"}]

    def xcom(self, *_: Any) -> Any:
        return self.evidence.to_dict() if self.evidence else None

    def get(self, path: str, **_: Any) -> Any:
        frames = [{"filename": f"/x/{ITEM.dag_id}.py", "lineno": 7}]
        detail = [{"exc_type": "KeyError", "exc_value": "'at'", "frames": frames}]
        assert path.endswith("/evidence/logs/1")
        return {"content": [{"event": "failed", "error_detail": detail}]}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still: nothing is waited for."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    monkeypatch.setattr(ending, "_PAUSE_SECONDS", 0)


def _run(api: Any, alive: Callable[[], bool] = lambda: True) -> Result:
    return runner.run(api, ITEM, "pooled", alive=alive)


def test_a_run_that_proves_its_lesson() -> None:
    """The scenario is in the run's conf, its end is waited for, and its evidence is compared with the manifest."""
    api = Airflow(_evidence())
    seen: list[str] = []
    found = runner.run(api, ITEM, "pooled", lambda phase, _states: seen.append(phase))  # type: ignore[arg-type]
    assert found.verdict == "as expected"
    assert found.code == 0
    assert api.triggered[0][1] == {"scenario": "pooled"}
    assert seen == [
        "waiting for Airflow to load the lesson",
        "another run of this lesson is active",
        "running",
        "success",
    ]


def test_a_contradiction_is_told_with_figures() -> None:
    """A finding that should hold and does not makes exit code 1, and says what was observed."""
    found = _run(Airflow(_evidence(holds=False)))
    assert (found.verdict, found.code) == ("not as expected", 1)
    assert "peak" in found.reasons[0]
    assert "5" in found.reasons[0]


def test_missing_evidence_tells_where_the_lesson_broke() -> None:
    """Without evidence nothing is proved; the exception and its line are in the reasons."""
    found = _run(Airflow(None))
    assert (found.verdict, found.code) == ("not measured", 4)
    assert f"KeyError: 'at' at {ITEM.file}:7" in found.reasons[0]


def test_evidence_that_cannot_be_read_is_this_run_s_trouble() -> None:
    """What Airflow cannot give back, or gives back as something else, is told; whoever runs beside it goes on."""

    class Broken(Airflow):
        def xcom(self, *_: Any) -> Any:
            raise AirflowError("GET", "/xcomEntries/return_value", 500, "numpy.int64 cannot be deserialized")

    class Told(Airflow):
        def __init__(self, told: Any) -> None:
            super().__init__(None)
            self.told = told

        def xcom(self, *_: Any) -> Any:
            return self.told

    odd = _evidence().to_dict()
    odd["findings"][0]["parts"] = ["no part"]
    shapes: list[tuple[Any, str]] = [({"version": 0}, "version 0"), ("text", "version None"), (odd, "'str' object")]
    for api, word in ((Broken(None), "numpy.int64"), *((Told(told), word) for told, word in shapes)):
        found = _run(api)
        assert (found.verdict, found.code) == ("not measured", 4)
        assert "cannot be read" in found.reasons[0]
        assert word in found.reasons[0]


def test_a_refused_request_in_the_middle_ends_the_run_and_is_its_trouble() -> None:
    """A server error of Airflow's own makes it not measured; the run does not go on, and gives back."""

    class Busy(Airflow):
        def run(self, dag_id: str, _run_id: str) -> dict[str, Any]:
            raise AirflowError("GET", dag_id, 500, "a deadlock")

    api = Busy(None)
    found = _run(api)
    assert (found.verdict, found.code, found.run_id) == ("not measured", 4, api.triggered[0][0])
    assert found.reasons[0] == f"Airflow refused a request: GET {ITEM.dag_id}: 500 a deadlock"
    assert set(api.ended) == {found.run_id}
    with pytest.raises(NotRunningError, match="went down during the run"):
        _run(Busy(None), alive=lambda: False)


def test_a_run_that_can_neither_be_followed_nor_ended_says_both() -> None:
    """The second refusal does not hide the first."""

    class Refusing(Airflow):
        def run(self, dag_id: str, _run_id: str) -> dict[str, Any]:
            raise AirflowError("GET", dag_id, 500, "a deadlock")

        def set_run_state(self, dag_id: str, _run_id: str, _state: str) -> None:
            raise AirflowError("PATCH", dag_id, 403, "no rights")

    found = _run(Refusing(None))
    assert "a deadlock" in found.reasons[0]
    assert found.reasons[1] == f"the run could not be ended: PATCH {ITEM.dag_id}: 403 no rights"


def test_a_file_that_cannot_be_loaded_is_named() -> None:
    """Airflow's own words of an import error reach the learner, without waiting for the deadline."""
    api = Airflow(None)
    api.known = False
    api.errors = [{"filename": ITEM.file.split("/", 1)[1], "stack_trace": "line 3\nSyntaxError: invalid syntax"}]
    with pytest.raises(LabError, match=r"Airflow cannot load dags/106_02(?s:.*)SyntaxError"):
        _run(api)


def test_a_lab_that_goes_away_is_noticed() -> None:
    """A run is not waited for when there is no lab to end it."""
    with pytest.raises(NotRunningError, match="went down during the run"):
        _run(Airflow(None, states=("running",)), alive=lambda: False)


def test_a_run_whose_queue_nobody_serves_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting without end: the message names the queue, and the run does not go on without its command."""

    class Unserved(Airflow):
        def trigger(self, dag_id: str, run_id: str, *, conf: dict[str, Any]) -> None:
            super().trigger(dag_id, run_id, conf=conf)
            self.waiting = [{"dag_run_id": run_id, "executor": None, "queue": "gpu", "queued_when": "2026"}]

    monkeypatch.setattr(runner, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(runner, "_UNSERVED_SECONDS", 0)
    api = Unserved(None, states=("running",))
    with pytest.raises(NotRunningError, match="No worker takes from queue 'gpu'"):
        _run(api)
    assert api.triggered[0][0] in api.ended


def test_ctrl_c_ends_the_run_and_gives_back() -> None:
    """The run and its helpers are ended before the interrupt goes on its way."""

    class Interrupted(Airflow):
        def run(self, _dag_id: str, _run_id: str) -> dict[str, Any]:
            raise KeyboardInterrupt

    api = Interrupted(None)
    with pytest.raises(KeyboardInterrupt):
        _run(api)
    assert set(api.ended) == {api.triggered[0][0]}


def test_an_interrupt_stays_one_when_the_run_cannot_be_ended() -> None:
    """An error of the ending must not take its place: whoever proves would go on with the next lesson."""

    class Stubborn(Airflow):
        def run(self, _dag_id: str, _run_id: str) -> dict[str, Any]:
            raise KeyboardInterrupt

        def set_run_state(self, dag_id: str, _run_id: str, _state: str) -> None:
            raise AirflowError("PATCH", dag_id, 403, "no rights")

    with pytest.raises(KeyboardInterrupt) as stop:
        _run(Stubborn(None))
    assert stop.value.__notes__ == [f"106.2.1 pooled: the run could not be ended: PATCH {ITEM.dag_id}: 403 no rights"]


def test_a_kept_result_is_found_again(tmp_path: Any) -> None:
    """The last verdict of each scenario is what list shows; a damaged file counts as not run."""
    layout = Layout.of(home=tmp_path)
    Result(ITEM, "pooled", "r", "success", _evidence(), 1.0, [{"task_id": "a"}]).keep(layout)
    assert result.kept(layout, ITEM) == {"pooled": "as expected"}
    (tmp_path / "results" / f"{ITEM.dag_id}.pooled.json").write_text("{", encoding="utf-8")
    assert result.kept(layout, ITEM) == {}


def test_the_contracts_keys_are_there() -> None:
    """Scripts rely on these names."""
    keys = Result(ITEM, "pooled", "r", "success", _evidence(), 1.0).as_json()
    contract = {"item", "scenario", "dag_id", "run_id", "state", "expected_state", "verdict", "seconds", "findings"}
    assert contract <= set(keys)
    assert {"bullet", "claim", "observed", "limit", "holds", "at", "source"} <= set(keys["findings"][0])
