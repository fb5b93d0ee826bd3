"""What an engine asks each service, and what counts as well."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from backpressure_lab.cluster import healthy


class Server(BaseHTTPRequestHandler):
    """Answers every question alike."""

    status: ClassVar[int] = 200
    body: ClassVar[str] = ""

    def do_GET(self) -> None:
        """Answer as told."""
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that stands for Airflow, as host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("LAB_AIRFLOW", f"127.0.0.1:{server.server_port}")
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, '{"triggerer": {"status": "healthy"}}', 0),
        (200, '{"triggerer": {"status": "unhealthy"}}', 1),
        (200, '{"triggerer": null}', 1),
        (200, "<html>", 1),
        (503, '{"triggerer": {"status": "healthy"}}', 1),
    ],
)
def test_a_component_is_well_when_airflow_says_so(address: str, status: int, body: str, code: int) -> None:
    """And in no other case, whatever answers."""
    assert address
    Server.status, Server.body = status, body
    assert healthy.main("triggerer") == code


def test_a_server_is_well_when_it_answers(address: str) -> None:
    """With 200; a refusal, an error or nobody there is not well."""
    Server.status, Server.body = 200, ""
    assert healthy.main(f"http://{address}/health") == 0
    Server.status = 500
    assert healthy.main(f"http://{address}/health") == 1
    assert healthy.main("http://127.0.0.1:9/health") == 1


def test_a_proxy_is_not_asked(address: str) -> None:
    """A proxy that the engine gives to its containers has no say in whether one is well."""
    Server.status, Server.body = 200, '{"triggerer": {"status": "healthy"}}'
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    for question in (f"http://{address}/health", "triggerer"):
        command = [sys.executable, "-m", "backpressure_lab.cluster.healthy", question]
        assert subprocess.run(command, env=environment | proxies, check=False).returncode == 0


@pytest.mark.slow
def test_a_worker_without_a_broker_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question ends, although nobody is there to ask."""
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://127.0.0.1:9/0")
    assert healthy.main("worker") == 1


def test_a_container_that_is_told_nothing_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence for the engine's log, and no traceback."""
    monkeypatch.delenv("LAB_AIRFLOW", raising=False)
    assert healthy.main("metadatabase") == 1
    assert "LAB_AIRFLOW=None is not host:port" in capsys.readouterr().err
