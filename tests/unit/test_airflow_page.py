"""The page for engineers: what it shows that is not quoted from a file is executed here."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from backpressure import pool_files
from backpressure.airflow import events, pools
from backpressure.airflow.client import AirflowClient
from backpressure.events import Event
from support.airflow_api import Airflow
from support.bagging import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"(?P<quoted><!-- excerpt: .*? -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks(language: str) -> list[str]:
    """The page's own code blocks of a language."""
    return [found["text"] for found in BLOCK.finditer(PAGE) if found["language"] == language and not found["quoted"]]


def test_the_steering_snippet_steps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As written, over an Airflow of a few lists: it measures the pool and leaves it as it is at first."""
    monkeypatch.setattr(AirflowClient, "from_connection", lambda _: Airflow(partner_x=4))
    (snippet,) = [text for text in blocks("python") if "PoolSteering" in text]
    exec(snippet, {})  # noqa: S102 - the page's own
    assert "slots=4" in capsys.readouterr().out


def test_the_listening_snippet_listens() -> None:
    """As written it makes a limiter and a breaker, and asks nothing of the connection that is not there."""
    (snippet,) = [text for text in blocks("python") if "LISTENERS" in text]
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the page's own
    assert repr(names["partner"]) == "RateLimiter('partner_x', Rate(limit=10, period=1.0, burst=1))"


def test_no_python_of_the_page_is_left_out() -> None:
    """What is neither quoted from a file nor executed above would be unproven."""
    assert len(blocks("python")) == 2


def test_the_pools_are_those_of_the_example() -> None:
    """The TOML on the page is the file that is read by the tests."""
    assert blocks("toml") == [(ROOT / "docs" / "examples" / "pools.toml").read_text(encoding="utf-8")]
    assert len(pool_files.read(ROOT / "docs" / "examples" / "pools.toml")) == 2


def test_the_commands_take_what_the_page_says() -> None:
    """Every invocation of the pools command is one that its parser accepts."""
    lines = [line for text in blocks("sh") for line in text.splitlines() if "backpressure.airflow.pools" in line]
    assert len(lines) == 3
    for line in lines:
        assert pools._parser().parse_args(shlex.split(line, comments=True)[3:]).file == "pools.toml"


def test_the_examples_parse() -> None:
    """The DAG files that the page quotes load without error, warning, query or look-up."""
    for name in ("deferred_calls.py", "deferred_probes.py", "deferred_places.py", "retries.py", "steered.py"):
        found = parse(ROOT / "docs" / "examples" / name)
        assert (found.errors, found.warnings, found.queries, found.lookups) == ([], [], [], []), name
        assert found.dags


def test_every_metric_of_the_page_is_one_of_an_event() -> None:
    """The names in the table are those that the package's events get, fields included."""
    for module in ("backpressure.adaptive.events", "backpressure.breaker.events"):
        importlib.import_module(module)  # defines events
    kinds = {events._snake(kind.__name__): kind for kind in Event.__subclasses__()}
    named = set(re.findall(r"`backpressure\.([a-z_]+)(?:\.([a-z_]+))?`", PAGE))
    shown = {(event, field) for event, field in named if event in kinds}
    assert {event for event, _ in shown} >= {"permit_granted", "permit_refused", "circuit_changed", "task_deferred"}
    for event, field in shown:
        if field and field != "partner_x":
            assert field in kinds[event].__dataclass_fields__
            assert field in events._SECONDS
