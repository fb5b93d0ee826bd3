"""Another Airflow than this checkout's lab: what is wrong with it is said before anything is run there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from backpressure_lab.cli import elsewhere
from backpressure_lab.errors import LabError, NotRunningError


class Airflow(BaseHTTPRequestHandler):
    """The routes that are asked for; ``answers`` gives status and body of each."""

    answers: ClassVar[dict[str, tuple[int, str]]] = {}

    def do_GET(self) -> None:
        """Answer as told."""
        status, body = self.answers.get(self.path.partition("?")[0], (404, '{"detail": "Not Found"}'))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that answers as ``Airflow.answers`` says, with a token set."""
    monkeypatch.setenv(elsewhere.TOKEN, "a token")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Airflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _told(url: str, **answers: tuple[int, str]) -> str:
    Airflow.answers = {f"/api/v2/{name}": answer for name, answer in answers.items()}
    with pytest.raises(LabError) as raised, elsewhere.airflow(url):
        pass
    return str(raised.value)


def test_an_airflow_with_the_courses_pools_is_used(url: str) -> None:
    """Version 3 and the control pool are all that is asked for."""
    Airflow.answers = {
        "/api/v2/version": (200, '{"version": "3.3.2"}'),
        "/api/v2/pools": (200, '{"pools": [{"name": "lab_control"}], "total_entries": 1}'),
    }
    with elsewhere.airflow(url) as api:
        assert api.get("/version")["version"] == "3.3.2"


def test_what_cannot_run_the_course_is_named_with_the_next_step(url: str) -> None:
    """Another major version, another server, a deployment without our pools: a sentence each, before any run."""
    assert "is Airflow 2.10.5; the course needs Airflow 3.3" in _told(url, version=(200, '{"version": "2.10.5"}'))
    assert "has no /api/v2" in _told(url)
    assert "not as Airflow does" in _told(url, version=(200, '"hello"'))
    no_pools = (200, '{"pools": [], "total_entries": 0}')
    missing = _told(url, version=(200, '{"version": "3.3.2"}'), pools=no_pools)
    assert "no pool 'lab_control'" in missing
    assert "docs/cluster.md" in missing


def test_credentials_that_are_refused_or_missing_are_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that hold them are named, their values are not."""
    refused = _told(url, version=(401, '{"detail": "Invalid token"}'))
    assert "refuses these credentials: Invalid token" in refused
    assert "LAB_TOKEN" in refused
    assert "a token" not in refused
    monkeypatch.delenv(elsewhere.TOKEN)
    assert "Set LAB_TOKEN, or LAB_USER and LAB_PASSWORD" in _told(url)


def test_a_wrong_address_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheme, or nobody there: no hang and no traceback."""
    monkeypatch.setenv(elsewhere.TOKEN, "a token")
    assert "is no web address" in _told("127.0.0.1:8080")
    free = url.rpartition(":")[0]
    with pytest.raises(NotRunningError, match="Nothing answers at"), elsewhere.airflow(f"{free}:9"):
        pass
