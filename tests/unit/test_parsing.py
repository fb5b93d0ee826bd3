"""Asking for files to be parsed, with an Airflow that is a list of DAGs."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.airflow.configured import configured
from backpressure.airflow.parsing import Asked, lags, parse_lag, parse_times, parse_under, reparse, reparse_file
from backpressure.airflow.tape import Tape, playing, recording


class FakeAirflow:
    """Lists DAGs and notes which files it was asked to parse."""

    def __init__(self, **parsed: float | None) -> None:
        self.parsed = parsed
        self.asked: list[str] = []
        self.took: dict[str, float] = {}

    def dag(self, dag_id: str) -> dict[str, Any]:
        """One DAG, as far as it is asked for."""
        return {"file_token": f"token-{dag_id}"}

    def pages(self, path: str, key: str, **_: Any) -> list[dict[str, Any]]:
        """The DAGs; ``b1`` and ``b2`` are of one file."""
        assert (path, key) == ("/dags", "dags")
        return [
            {
                "dag_id": dag_id,
                "fileloc": f"/dags/{dag_id[0]}.py",
                "file_token": f"token-{dag_id[0]}",
                "last_parse_duration": self.took.get(dag_id),
                "last_parsed_time": None if at is None else datetime.fromtimestamp(at, UTC).isoformat(),
            }
            for dag_id, at in self.parsed.items()
        ]

    def request(self, method: str, path: str) -> None:
        """Take a request to parse."""
        assert method == "PUT"
        self.asked.append(path)


def test_each_file_is_asked_for_once() -> None:
    """Two DAGs of one file are one request, and no more files are asked for than wanted."""
    api: Any = FakeAirflow(c=1, b1=1, b2=1, a=1)
    asked = reparse(api, most=2)
    assert api.asked == ["/parseDagFile/token-a", "/parseDagFile/token-b"]
    assert len(asked.dag_ids) == 2
    assert len(reparse(api, most=9).dag_ids) == 3


def test_a_dag_that_its_file_no_longer_holds_does_not_stand_for_it() -> None:
    """Airflow lists such a DAG for up to a minute, and its time of parsing stays what it was."""
    api: Any = FakeAirflow(b1=50, b2=40)
    assert reparse(api, most=1).dag_ids == ("b1",)


def test_the_lag_is_known_when_all_are_parsed() -> None:
    """A file whose last parse lies before the question, or that has none, is still to come."""
    asked = Asked(100.0, ("a", "c"))
    assert lags(FakeAirflow(a=101.0, c=103.5), asked) == [1.0, 3.5]  # type: ignore[arg-type]  # what is asked of a client
    assert lags(FakeAirflow(a=101.0, c=99.0), asked) == []  # type: ignore[arg-type]  # the same
    assert lags(FakeAirflow(a=101.0, c=None), asked) == []  # type: ignore[arg-type]  # the same


def test_waiting_for_files_and_for_a_load_ends_when_both_are_there() -> None:
    """The lag is the last file's; whoever waits for what never comes is told after the time that was given."""
    api: Any = FakeAirflow(a=time.time() + 5, b1=time.time() + 50)
    answers = iter([False, True])
    found = parse_under(api, 2, os.getpid(), until=lambda: next(answers))
    assert 49 < found["lag"] < 51
    assert found["first to last"] == pytest.approx(45, abs=0.1)
    assert found["files at once"] >= 0
    with pytest.raises(TimeoutError, match="2 files were not parsed, or the load not there, within 0 s"):
        parse_under(api, 2, os.getpid(), until=lambda: False, seconds=0)


def test_a_setting_is_a_measure() -> None:
    """What Airflow is configured to, with its name and where it comes from."""
    assert (configured("core", "parallelism").value, configured("core", "parallelism").name) == (32, "parallelism")
    assert configured("core", "parallelism").source == "configuration"


def test_a_setting_is_played_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that is played where Airflow has other settings compares with those of the run."""
    kept = Tape("lesson", "r1", {})
    with recording(kept):
        configured("core", "parallelism")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "7")
    assert configured("core", "parallelism").value == 7
    with playing(kept):
        assert configured("core", "parallelism").value == 32


class Parser:
    """An Airflow whose DAG processor has parsed a file a while after it was asked to."""

    def __init__(self, *later: float) -> None:
        self.later = list(later)
        self.asked = 0.0
        self.times = 0

    def dag(self, dag_id: str) -> dict[str, Any]:
        """One DAG; each time it is asked for, the next instant of parsing stands there."""
        at = time.time() - 5 if not self.asked else self.asked + self.later.pop(0)
        parsed = datetime.fromtimestamp(at, UTC).isoformat()
        return {"dag_id": dag_id, "file_token": "token", "last_parsed_time": parsed, "last_parse_duration": 1.5}

    def request(self, method: str, path: str) -> None:
        """Take a request to parse."""
        assert (method, path) == ("PUT", "/parseDagFile/token")
        self.asked = time.time()
        self.times += 1


def test_the_lag_of_one_file_is_told_with_how_long_it_took() -> None:
    """A parse that was before the question does not answer it."""
    api: Any = Parser(-3.0, 2.0)
    found = parse_lag(api, "lesson")
    assert found["lag"] == pytest.approx(2.0, abs=0.5)
    assert found["took"] == 1.5


def test_a_parse_under_way_does_not_answer_the_question() -> None:
    """It began before the question, so it is asked again, and the lag is from then on."""
    api: Any = Parser(0.5, -3.0, 2.0)
    assert parse_lag(api, "lesson")["lag"] == pytest.approx(2.0, abs=0.5)
    assert api.times == 2


def test_a_file_that_nobody_parses_is_given_up() -> None:
    """The message names the DAG."""
    api: Any = Parser(*[-3.0] * 50)
    with pytest.raises(TimeoutError, match="lesson"):
        parse_lag(api, "lesson", seconds=0.2)


def test_how_long_files_took_is_known_once_one_was_parsed_again() -> None:
    """Each file once, by its name; one that was never parsed is left out."""
    api: Any = FakeAirflow(b1=5, b2=5, a=1, c=None)
    api.took = {"a": 0.2, "b1": 0.5, "b2": 0.5}
    assert parse_times(api, "b", asked=6.0) == []
    assert parse_times(api, "b", asked=4.0) == [{"name": "a", "seconds": 0.2}, {"name": "b", "seconds": 0.5}]


def test_one_file_is_asked_for_by_a_dag_of_it() -> None:
    """When it was asked for is known before anything is parsed."""
    api: Any = FakeAirflow(a=1)
    before = time.time()
    assert before <= reparse_file(api, "a") <= time.time()
    assert api.asked == ["/parseDagFile/token-a"]
