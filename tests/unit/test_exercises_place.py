"""Where a check runs: this lab, or a deployment that the environment describes, and what is wrong with that one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backpressure_lab.errors import NOT_RUNNING, WRONG_USAGE, LabError
from backpressure_lab.exercises.place import FOLDER, TOKEN, UPSTREAM, Place
from backpressure_lab.exercises.submission import staged
from backpressure_lab.stack.layout import Layout


class Simulator(BaseHTTPRequestHandler):
    """As much of the upstream as is asked: its clock, for who has the token."""

    def do_GET(self) -> None:
        """Answer with the time, or refuse."""
        right = self.headers["Authorization"] == "Bearer right"
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(b'{"now": 1.0}' if right else b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an upstream."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Simulator)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_environment_says_where_another_deployment_looks(tmp_path: Path, url: str) -> None:
    """Its upstream and folder, which is that of cluster/edit.yml when none is named."""
    layout = Layout(tmp_path, tmp_path / ".lab")
    found = Place.elsewhere(layout, {TOKEN: "right", UPSTREAM: url})
    assert (found.checks, found.submissions) == (layout.cluster / "checks", layout.cluster / "submissions")
    with found.upstream("lane") as lane:
        assert lane.time() == 1.0
    assert Place.elsewhere(layout, {TOKEN: "right", UPSTREAM: url, FOLDER: "/srv"}).checks == Path("/srv/checks")


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        ({}, WRONG_USAGE, (TOKEN, "CONTROL_TOKEN of .env")),
        ({TOKEN: "wrong"}, WRONG_USAGE, ("refuses: 401", TOKEN, "docker compose --file")),
        (
            {TOKEN: "right", UPSTREAM: "http://127.0.0.1:9"},
            NOT_RUNNING,
            ("http://127.0.0.1:9 does not answer", UPSTREAM),
        ),
    ],
)
def test_what_is_missing_for_a_check_is_said(
    tmp_path: Path, url: str, told: dict[str, str], code: int, words: tuple[str, ...]
) -> None:
    """The token, or the upstream: which variable, and the next command; the token's value is not shown."""
    with pytest.raises(LabError) as raised:
        Place.elsewhere(Layout(tmp_path, tmp_path), {UPSTREAM: url} | told)
    assert raised.value.code == code
    assert [word for word in words if word not in str(raised.value)] == []
    assert "wrong" not in str(raised.value)


def test_a_submission_is_found_wherever_both_folders_are(tmp_path: Path) -> None:
    """The plan names it as seen from its own place, since a cluster has the folders elsewhere than the learner."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in ("checks", "submissions"):
        (here / folder).mkdir(parents=True)
    (here / "submissions/one.py").write_text("from airflow.sdk import DAG\n\ndag = DAG('mine', schedule=None)\n")
    plan = {"source": "../submissions/one.py", "copies": ["a_copy"], "pools": {}}
    (here / "checks/one.json").write_text(json.dumps(plan))
    here.rename(there)
    assert list(staged(str(there / "checks/one.py"))) == ["a_copy"]
