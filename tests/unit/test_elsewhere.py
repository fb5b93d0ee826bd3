"""Another Airflow than this checkout's lab: what is wrong with it is said before anything is run there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from backpressure_lab import manifest
from backpressure_lab.cli import elsewhere, lessons, proofs
from backpressure_lab.errors import WRONG_USAGE, LabError, NotRunningError
from backpressure_lab.stack import connections


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
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


COURSE = {
    "version": {"version": "3.3.2"},
    "plugins": {"plugins": [{"name": "backpressure"}], "total_entries": 1},
    "pools": {"pools": [{"name": pool.name} for pool in manifest.load().pools]},
    "connections": {"connections": [{"connection_id": name} for name in connections.IDS]},
}


def _answer(**changes: Any) -> None:
    """Answer as a deployment of the course does, except for what is given."""
    found = COURSE | changes
    Airflow.answers = {
        f"/api/v2/{name}": body if isinstance(body, tuple) else (200, json.dumps(body)) for name, body in found.items()
    }


def _told(url: str, **changes: Any) -> str:
    _answer(**changes)
    with pytest.raises(LabError) as raised, elsewhere.airflow(url):
        pass
    assert raised.value.code == WRONG_USAGE
    return str(raised.value)


def test_an_airflow_with_the_course_is_used(url: str) -> None:
    """Version 3.3 or newer of major version 3, the plugin, the manifest's pools and the connections."""
    for version in ("3.3.0", "3.10.1"):
        _answer(version={"version": version})
        with elsewhere.airflow(url) as api:
            assert api.get("/version")["version"] == version


def test_another_version_or_another_server_is_named(url: str) -> None:
    """Too old, too new, or no Airflow at all: which it is, and what to do, before anything is run."""
    for version in ("2.10.5", "3.2.9", "4.0.0"):
        told = _told(url, version={"version": version})
        assert f"is Airflow {version}; the course needs Airflow 3.3" in told
        assert "./lab up" in told
    assert "which has /api/v2" in _told(url, version=(404, "nothing"))
    assert "which has /api/v2" in _told(url, version=(501, "nothing"))
    assert "not as Airflow does" in _told(url, version="hello")
    assert "not as Airflow does" in _told(url, version=(200, "<html>"))


def test_a_deployment_without_the_course_is_told_what_is_missing(url: str) -> None:
    """The plugin, a pool or a connection: which, and the next command."""
    assert "no plugin 'backpressure'" in _told(url, plugins={"plugins": [{"name": "other"}], "total_entries": 1})
    pools = _told(url, pools={"pools": [{"name": "my_api_pool"}], "total_entries": 1})
    assert "no pool 'lab_control', which" in pools
    found = _told(url, connections={"connections": [{"connection_id": "upstream"}], "total_entries": 1})
    assert "no connection 'airflow_api', 'metrics'" in found
    for told in (pools, found):
        assert "docker compose run --rm bootstrap" in told
        assert "docs/cluster.md" in told


def test_credentials_that_are_refused_or_missing_are_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that hold them are named, their values are not."""
    refused = _told(url, version=(401, '{"detail": "Invalid token"}'))
    assert "refuses these credentials: Invalid token" in refused
    assert "LAB_TOKEN" in refused
    assert "a token" not in refused
    assert "refuses these credentials" in _told(url, pools=(403, '{"detail": "Forbidden"}'))
    monkeypatch.delenv(elsewhere.TOKEN)
    assert "Set LAB_TOKEN, or LAB_USER and LAB_PASSWORD" in _told(url)


def test_a_wrong_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheme, nobody there, or somebody who never answers: no hang and no traceback."""
    monkeypatch.setenv(elsewhere.TOKEN, "a token")
    assert "is no web address" in _told("127.0.0.1:8080")
    monkeypatch.setattr(elsewhere, "_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            with (
                pytest.raises(NotRunningError, match=r"(?s)Nothing answers at.*Try: curl"),
                elsewhere.airflow(f"http://127.0.0.1:{port}"),
            ):
                pass


def test_lessons_that_need_this_machine_are_left_out_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the JSON, not in it; when nothing is left there is nothing to prove, which is no success."""
    course = manifest.load()
    local, portable = next(item for item in course.written if item.local), course.item("106.2.1")
    assert proofs._portable([local, portable]) == [portable]
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{local.id:<18} left out: it needs {local.local}" in told.err
    with pytest.raises(LabError, match="None of these lessons"):
        proofs._portable([local])
    with pytest.raises(LabError, match="needs"):
        lessons.run(local.id, scenario=None, as_json=False, url="http://127.0.0.1:8080")
