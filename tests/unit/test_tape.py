"""What a judge was told is kept, and judges again without anybody to ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from backpressure.airflow import tape
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.replay import replay
from backpressure.airflow.run import Run
from backpressure.airflow.tape import Entry, NotOnTapeError, Tape
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.samples import fall, reading

LOG = {"now": 9.0, "complete": True, "next": None}


def _record(number: int, **fields: Any) -> dict[str, Any]:
    stamps = {f"{name}_date": f"2026-01-01T00:00:0{number}Z" for name in ("start", "end")}
    return (
        {"task_id": "work", "dag_id": "lesson", "dag_run_id": "r1", "map_index": number, "pool": "api"}
        | stamps
        | fields
    )


class Airflow(AirflowClient):
    """A client whose wire is a function."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__("http://airflow.invalid")

        def wire(request: httpx.Request) -> httpx.Response:
            path = request.url.path.removeprefix("/api/v2")
            if path == "/auth/token":
                return httpx.Response(201, json={"access_token": "a"})
            return httpx.Response(200, json=answers[path]) if path in answers else httpx.Response(404, json={})

        self._http = httpx.Client(base_url=self.url, transport=httpx.MockTransport(wire))


def _judge(run: Run) -> Iterator[Finding]:
    """Two findings: on task instances, and on an XCom that is missing."""
    yield finding("work", "two tasks ran", count(run.tasks("work")) == (2 if run.scenario == "two" else 1))
    yield finding("said", "a task said so", reading(run.result("probe"), "what it said", "probe") == 1)


def _recorded(judge: Any = _judge) -> tuple[list[Finding], Tape]:
    path = "/dags/lesson/dagRuns/r1/taskInstances"
    api = Airflow({path: {"task_instances": [_record(1), _record(2)], "total_entries": 2}})
    heard = Tape("lesson", "r1", {"scenario": "two"})
    with tape.recording(heard):
        found = list(judge(Run(api, "lesson", "r1", heard.params)))
    return found, heard


def test_a_tape_gives_the_same_findings_without_anybody_to_ask() -> None:
    """Task instances and an XCom that is not there come from the tape, through packing and JSON."""
    live, heard = _recorded()
    again = replay(_judge, Tape.unpacked(heard.packed()))
    assert [one.to_dict() for one in again.findings] == [one.to_dict() for one in live]
    assert [one.holds for one in live] == [True, None]
    assert again.trouble == ""


def test_a_judge_may_play_another_scenario() -> None:
    """The params are the tape's, and the scenario is what the caller says."""
    _, heard = _recorded()
    assert replay(_judge, heard, scenario="one").holds("work") is False


def test_a_refusal_is_played_as_a_refusal() -> None:
    """What Airflow refused then it refuses again, with its reason."""

    def asks(run: Run) -> Iterator[Finding]:
        with pytest.raises(AirflowError, match="404"):
            run.api.dag("helper")
        yield finding("b", "c", reading(1, "n", "s") == 1)

    _, heard = _recorded(asks)
    assert heard.entries[0].answer["refused"][0] == 404
    assert replay(asks, heard).holds("b") is True


def test_answers_come_in_their_order_and_the_last_one_stays() -> None:
    """A question asked twice had two answers; asked a third time it has the last."""
    heard = Tape("d", "r", {}, [Entry("w", "q", 1), Entry("w", "q", 2)])
    with tape.playing(heard):
        assert [tape.heard("w", "q", lambda: 0) for _ in range(3)] == [1, 2, 2]


def test_who_asked_may_change_what_it_was_told() -> None:
    """Neither the tape nor the next answer changes with it."""
    heard = Tape("d", "r", {})
    with tape.recording(heard):
        tape.heard("w", "q", lambda: {"settings": {}, "changes": [1]}).pop("changes")
    with tape.playing(heard):
        for _ in range(2):
            assert tape.heard("w", "q", lambda: None).pop("changes") == [1]


def test_what_is_not_on_a_tape_is_said() -> None:
    """Nobody is asked while a tape is played; outside of it everybody is."""
    with tape.playing(Tape("d", "r", {})), pytest.raises(NotOnTapeError, match="w was never asked q"):
        tape.heard("w", "q", lambda: 0)
    assert tape.heard("w", "q", lambda: 0) == 0


def test_upstream_and_receiver_are_on_the_tape() -> None:
    """Log, notifications and series are played to lessons that read them, and are empty where nothing was recorded."""
    columns = {name: [] for name in ("retry_after", "bytes", "start", "finish")}
    rows = {
        "id": [1],
        "arrival": [5.0],
        "status": [200],
        "lane": ["api"],
        "key": ["k"],
        "path": [""],
        "request_id": ["a"],
    }
    page = LOG | {"columns": {**{name: [0] for name in columns}, **rows}}
    question = ["GET", ["log"], {"params": {"lane": "api", "after": 0}}]
    gauge = {
        "name": "airflow.g",
        "tags": {},
        "kind": "gauge",
        "at": [1.0],
        "value": [3.0],
        "before": 7.0,
        "complete": True,
    }
    heard = Tape(
        "lesson",
        "r1",
        {"scenario": "x"},
        [
            Entry("upstream", question, page),
            Entry("metrics", ["series", {"match": "airflow.g", "since": 0.0, "until": 9.0}], {"series": [gauge]}),
        ],
    )

    def judge(_: Run) -> Iterator[Finding]:
        yield finding("arrived", "one call", reading(len(Upstream("api").log()), "calls", "log") == 1)
        yield finding("elsewhere", "none", reading(len(Upstream("other").log()), "calls", "log") == 0)
        yield finding("told", "none", reading(len(Upstream("api").notifications()), "notes", "notify") == 0)
        yield finding("fell", "by four", fall(Metrics().matching("g", 0.0, 9.0), "fall") == 4)
        yield finding("unseen", "no gauge", reading(len(Metrics().matching("x")), "gauges", "StatsD") == 0)

    again = replay(judge, heard)
    assert again.trouble == ""
    assert [one.holds for one in again.findings] == [True] * 5


def test_a_judge_that_breaks_keeps_what_it_found() -> None:
    """Findings before the break count, those after it are not measured, and the break is told."""

    def judge(run: Run) -> Iterator[Finding]:
        yield finding("first", "c", reading(1, "n", "s") == 1)
        yield finding("second", "c", reading(run.result("gone")["at"], "n", "s") == 1)

    again = replay(judge, Tape("lesson", "r1", {"scenario": "x"}))
    assert (again.holds("first"), again.holds("second")) == (True, None)
    assert again.trouble.startswith("TypeError")


@pytest.mark.parametrize("data", [None, {}, {"version": 99}, {"version": 1, "entries": "?"}])
def test_what_is_no_tape_is_refused(data: Any) -> None:
    """Nothing, another version and a damaged one."""
    with pytest.raises(ValueError, match="tape"):
        Tape.unpacked(data)
