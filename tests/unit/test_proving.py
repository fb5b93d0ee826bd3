"""``./lab prove`` and ``./lab dev accept`` without a lab: what is written when something breaks, and what counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from backpressure.airflow.client import AirflowUnreachableError
from backpressure.airflow.tape import Tape
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure
from support.command import Done, called

from backpressure_lab import manifest
from backpressure_lab.cli import session
from backpressure_lab.cli.session import Session
from backpressure_lab.errors import NoAnswerError
from backpressure_lab.lessons import result, runner
from backpressure_lab.lessons.result import Result
from backpressure_lab.manifest import Item
from backpressure_lab.stack.layout import Layout

LESSON = manifest.load().item("106.2.1")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``./lab`` in this process, with a state folder of its own, and an Airflow that falls silent at the third run."""
    monkeypatch.setenv("BACKPRESSURE_LAB_HOME", str(tmp_path / "lab"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(session, "opened", opened)
    runs = iter(range(99))

    def attempt(_api: Any, lesson: Item, scenario: str, **_: Any) -> Iterator[None]:
        yield
        if next(runs) >= 2:
            raise AirflowUnreachableError("no answer")
        return made(lesson, scenario)  # type: ignore[return-value]  # a generator's result

    monkeypatch.setattr(runner, "attempt", attempt)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)

    return partial(called, monkeypatch, capsys)


@contextmanager
def opened(*_: Any, **__: Any) -> Iterator[Session]:
    """A session that says of a silent Airflow what a real one says."""
    try:
        yield Session(None, lambda: True)  # type: ignore[arg-type]
    except AirflowUnreachableError as error:
        raise NoAnswerError(error) from error


def made(lesson: Item, scenario: str) -> Result:
    """A run that came out as the manifest says, and whose judge was told nothing."""
    holds = lesson.scenarios[scenario].holds
    found = (finding(bullet, "c", Measure(3 if bullet in holds else 5, "peak") == 3) for bullet in lesson.checklist)
    heard = Tape(lesson.dag_id, "r", {"scenario": scenario})
    return Result(lesson, scenario, "r", "success", Evidence(scenario, tuple(found)), 1.0, heard=heard)


def test_what_is_proved_is_reported_when_airflow_falls_silent(lab: Callable[..., Done], tmp_path: Path) -> None:
    """Exit code 3, and each report has every scenario: two as expected, two that nobody measured."""
    files = {kind: tmp_path / f"proofs.{kind}" for kind in ("json", "junit", "html")}
    options = [f"--{kind}={path}" for kind, path in files.items()]
    done = lab("prove", LESSON.id, "--repeat", "2", *options)
    assert (done.code, "Airflow does not answer" in done.err) == (3, True)
    assert "2 of 4 scenarios as expected" in done.out
    verdicts = [one["verdict"] for one in json.loads(files["json"].read_text(encoding="utf-8"))]
    assert verdicts == ["as expected"] * 2 + ["not measured"] * 2
    suites = ET.parse(files["junit"]).findall("testsuite")  # noqa: S314 - our own document
    assert [int(suite.get("errors") or 0) > 0 for suite in suites] == [False, False, True, True]
    assert files["html"].read_text(encoding="utf-8").count("the proof ended before") == 2


def test_a_target_that_cannot_be_written_is_refused_before_any_work(
    lab: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder as a file, a file as a folder: the value and the reason, before a lab is even looked for."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(session, "opened", never)
    (tmp_path / "file").touch()
    for target, reason in ((tmp_path, "it is a folder"), (tmp_path / "file" / "x.xml", "is no folder")):
        for command in (("prove", LESSON.id), ("grade", tmp_path)):
            done = lab(*command, "--junit", target)
            assert (done.code, f"--junit {target} cannot be written: " in done.err, reason in done.err) == (
                2,
                True,
                True,
            )


def test_a_report_that_fails_in_the_end_loses_no_other(
    lab: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder went away meanwhile: that is told, the command fails, and the other reports are there."""
    lost, kept = tmp_path / "gone" / "a.json", tmp_path / "a.xml"
    keep = Result.keep

    def keep_and_spoil(one: Result, layout: Layout) -> None:
        keep(one, layout)
        if not lost.parent.exists():
            lost.parent.touch()

    monkeypatch.setattr(Result, "keep", keep_and_spoil)
    done = lab("prove", LESSON.id, "--json", lost, "--junit", kept)
    assert done.code == 2
    assert f"lab: --json {lost} was not written: " in done.err
    assert len(ET.parse(kept).findall("testsuite")) == 2  # noqa: S314 - our own document


def test_results_of_the_file_before_an_edit_prove_nothing(lab: Callable[..., Done]) -> None:
    """Acceptance judges a result only as long as its lesson's file is the one that was run."""
    layout = Layout.of()
    for scenario in LESSON.scenarios:
        made(LESSON, scenario).keep(layout)
    signs = [
        one["passed"] for one in json.loads(lab("dev", "accept", LESSON.id, "--json").out) if one["name"] == "sign"
    ]
    assert signs == [True]
    path = result.path_of(layout, LESSON, "pooled")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "another file"}), encoding="utf-8")
    done = lab("dev", "accept", LESSON.id)
    assert done.code == 4
    assert f"not run since {LESSON.file} was changed: pooled" in done.out
