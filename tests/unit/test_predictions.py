"""What a learner says will happen, beside what did."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from backpressure_lab.cli import predictions as command
from backpressure_lab.errors import LabError
from backpressure_lab.exercises.predictions import Prediction, Predictions, compare
from backpressure_lab.stack.layout import Layout


def _task(name: str, scheduled: float, queued: float, end: float, **more: Any) -> dict[str, Any]:
    instants = {"scheduled_when": scheduled, "queued_when": queued, "start_date": queued + 0.5, "end_date": end}
    stamps = {key: f"2026-01-01T00:00:{value:09.6f}Z" for key, value in instants.items()}
    common = {"dag_id": "d", "dag_run_id": "r", "map_index": -1, "state": "success", "pool": "api", "pool_slots": 1}
    return common | {"priority_weight": 1, "try_number": 1, "task_id": name} | stamps | more


RECORDS = [
    _task("prepare", 0, 0, 60, pool="lab_control"),
    _task("light", 1, 2, 10, map_index=0),
    _task("light", 1, 3, 11, map_index=1),
    _task("light", 1, 12, 20, map_index=2),
    _task("heavy", 4, 10.5, 15),
]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder of the test's own."""
    monkeypatch.setattr(Layout, "work", property(lambda _self: tmp_path))
    return tmp_path


def test_what_happened_is_read_from_the_schedulers_records() -> None:
    """Control tasks do not count; who waits is who gets a slot only after another's end."""
    happened = Prediction.of_run(RECORDS, {"a": True, "b": None})
    assert happened == Prediction(peak=2, waiting=2, order=("light", "heavy"), holds={"a": True})
    assert Prediction.of_run([]) == Prediction(peak=0, waiting=0)


def test_only_what_was_said_is_compared() -> None:
    """An order may name some tasks only; what was not measured is neither right nor wrong."""
    happened = Prediction(peak=2, waiting=2, order=("light", "middle", "heavy"), holds={"a": True})
    said = Prediction(waiting=3, order=("light", "heavy"), holds={"a": False, "b": True})
    assert [(line.about, line.right) for line in compare(said, happened)] == [
        ("wait until another has ended", False),
        ("order of the first starts", True),
        ("a", False),
        ("b", None),
    ]


def test_a_prediction_is_kept_until_it_is_shown(work: Path) -> None:
    """Once: the next run is another."""
    Predictions(work).say("106.2.1 pooled", Prediction(peak=3, order=("a",), holds={"b": True}))
    console = Console(width=80, record=True, file=io.StringIO())
    table = Predictions(work).reveal("106.2.1 pooled", RECORDS, {"b": False})
    assert table is not None
    console.print(table)
    text = console.export_text()
    assert "most at once" in text
    assert "does not hold" in text
    assert Predictions(work).reveal("106.2.1 pooled", RECORDS) is None


def test_a_damaged_or_newer_file_is_left_alone(work: Path) -> None:
    """The learner is told what to do; nothing is overwritten."""
    path = Predictions(work).path
    for text, said in (("{", "is damaged"), (json.dumps({"version": 99}), "is of version 99")):
        path.write_text(text)
        with pytest.raises(LabError, match=said):
            Predictions(work)
        assert path.read_text() == text


def test_the_command_takes_numbers_or_asks(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are enough; in a terminal it asks, and asks again for what is no number."""
    assert command.predict("106.2.1", scenario=None, numbers=(3, None), order=" a, b,") == 0
    assert Predictions(work)._said["106.2.1 pooled"] == Prediction(peak=3, order=("a", "b"))
    with pytest.raises(LabError, match="--peak N"):
        command.predict("106.2.1", scenario=None, numbers=(None, None), order=None)
    answers = iter(["many", "4", "", "x, y", "y", "no", "?", "", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: next(answers))
    assert command.predict("106.2.1", scenario="default_pool", numbers=(None, None), order=None) == 0
    kept = Predictions(work)._said["106.2.1 default_pool"]
    assert (kept.peak, kept.waiting, kept.order, list(kept.holds.values())) == (4, None, ("x", "y"), [True, False])
    assert command.predict("14.1", scenario=None, numbers=(2, 1), order=None) == 0
    with pytest.raises(LabError, match="no scenarios"):
        command.predict("14.1", scenario="pooled", numbers=(2, 1), order=None)
