"""In a cell: the package's ways out, led over the channel; the broker on the other side decides what passes."""

from __future__ import annotations

import base64
import threading
from typing import Any

import httpx
from backpressure.airflow import connection, upstream
from backpressure.clock import Clock, SystemClock
from backpressure.errors import StorageAccessError, StorageError
from backpressure.storage import Argument, Operation, Result

from backpressure_lab.sandbox.channel import Channel


class _Way:
    """One question at a time, whichever thread asks."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._turn = threading.Lock()

    def ask(self, **question: Any) -> dict[str, Any]:
        with self._turn:
            self._channel.send(question)
            return self._channel.receive()


class BrokeredStorage:
    """The shared state of the check that this cell belongs to."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self.clock: Clock = SystemClock()

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        answer = self._way.ask(
            ask="storage", operation=operation.name, keys=list(keys), arguments=_sent(arguments), timeout=timeout
        )
        if "refused" in answer:
            raise StorageError(answer["refused"])
        return tuple(answer["result"])

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; see `Storage.run_async`."""
        return self.run(operation, keys, *arguments, timeout=timeout)

    def close(self) -> None:
        """Nothing is held."""


def _sent(arguments: tuple[Argument, ...]) -> list[Any]:
    """As JSON, which has no bytes: these go as ``{"bytes": base64}``."""
    return [list(map(_said, one)) if isinstance(one, tuple) else _said(one) for one in arguments]


def _said(value: Any) -> Any:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def put_in_place(channel: Channel) -> None:
    """Lead calls of the upstream and of the shared state over the channel, instead of over the network."""
    way = _Way(channel)

    def looked_up(conn_id: str) -> str:
        if conn_id != connection.CONNECTION_ID:
            there = connection.CONNECTION_ID
            raise StorageAccessError(f"there is no connection {conn_id!r} in the sandbox; there is {there!r}")
        return conn_id

    def send(
        _self: upstream.Upstream, method: str, *parts: str, timeout: float | None = None, **options: Any
    ) -> upstream.Reply:
        headers = dict(options.get("headers") or {})
        answer = way.ask(ask="upstream", method=method, parts=list(parts), timeout=timeout, headers=headers)
        if "refused" in answer:
            raise getattr(upstream, answer.get("kind", ""), upstream.UpstreamError)(answer["refused"])
        body = base64.b64decode(answer["body"])
        return upstream.Reply(answer["status"], httpx.Headers(answer["headers"]), body, answer["seconds"])

    connection._looked_up = looked_up  # type: ignore[assignment] # noqa: SLF001 - what would ask Airflow
    connection.ConnectionStorage._open = lambda _self, _found: BrokeredStorage(way)  # type: ignore[method-assign,assignment] # noqa: SLF001 - what would open a database
    upstream.Endpoint.from_connection = classmethod(lambda cls, _conn_id: cls("http://sandbox"))  # type: ignore[method-assign,assignment] # what would ask Airflow
    upstream.Upstream._send = send  # type: ignore[method-assign,assignment] # noqa: SLF001 - what would open a connection
