"""What a task's cell may reach, in the task's own process: calls of the check's upstream lanes, and limits of its own.

Each question is checked before anything is done, counted, and answered by value. The cell gets no address, token,
connection or file, and what it shares is named so that no other check can meet it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from backpressure.airflow.upstream import Reply, Upstream, UpstreamError
from backpressure.bulkhead import operations as bulkheads
from backpressure.errors import StorageError
from backpressure.limiter import operations as limits
from backpressure.retry import budget
from backpressure.storage import Operation, Storage

_OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        *(limits.GCRA_TAKE, limits.TAKE, limits.ADOPT, limits.RESET),
        *(bulkheads.ACQUIRE, bulkheads.RENEW, bulkheads.RELEASE, bulkheads.COUNT),
        budget.CHANGE,
    )
}
_METHODS = ("GET", "POST")
_HEADERS = ("X-Api-Key", "X-Request-Id")
_MOST_QUESTIONS = 2000
_MOST_KEYS, _LONGEST_KEY, _MOST_ARGUMENTS, _LONGEST_TEXT = 10, 300, 40, 300
_LARGEST_BODY = 1 << 16
_LONGEST_WAIT = 30.0


class RefusedError(Exception):
    """The question is not one that a cell may ask."""


class Broker:
    """Answers the questions of one cell.

    Args:
        lanes: the names of the upstream lanes of this check.
        prefix: what the names of limits begin with.
        upstream: lane → a client of it.
        storage: the shared state.
    """

    def __init__(self, lanes: list[str], prefix: str, upstream: Callable[[str], Upstream], storage: Storage) -> None:
        self._lanes = lanes
        self._prefix = prefix
        self._upstream = upstream
        self._storage = storage
        self._asked = 0

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked for, or say why not."""
        self._asked += 1
        try:
            return self._way(question)(question)
        except (UpstreamError, StorageError, RefusedError, ValueError) as error:
            return {"refused": str(error)[:_LONGEST_TEXT], "kind": type(error).__name__}

    def _way(self, question: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        if self._asked > _MOST_QUESTIONS:
            raise RefusedError(f"more than {_MOST_QUESTIONS} calls of a task")
        match question.get("ask"):
            case "upstream":
                return self._call
            case "storage":
                return self._apply
        raise RefusedError("no such question")

    def _call(self, question: Mapping[str, Any]) -> dict[str, Any]:
        method, parts = question.get("method"), question.get("parts")
        if method not in _METHODS or not _texts(parts) or len(parts) < 2 or parts[0] != "call":  # noqa: PLR2004 - route and lane
            raise RefusedError("only calls of an upstream can be made in the sandbox")
        _, lane, *path = parts
        if lane not in self._lanes:
            raise RefusedError(f"no upstream {lane!r} is part of this check")
        if path != [""] and not all(map(_step, path)):
            raise RefusedError(f"{'/'.join(path)[:_LONGEST_TEXT]!r} is no path of an upstream")
        given = question.get("headers")
        headers = {name: given[name] for name in _HEADERS if isinstance(given, dict) and name in given}
        if not _texts(list(headers.values())):
            raise RefusedError("a header is no short text")
        reply: Reply = self._upstream(lane).call(
            "/".join(path),
            key=headers.get("X-Api-Key"),
            request_id=headers.get("X-Request-Id"),
            timeout=_seconds(question.get("timeout"), 10.0),
            method=method,
            check=False,
        )
        return {
            "status": reply.status,
            "headers": dict(reply.headers),
            "body": base64.b64encode(reply.body[:_LARGEST_BODY]).decode(),
            "seconds": reply.seconds,
        }

    def _apply(self, question: Mapping[str, Any]) -> dict[str, Any]:
        operation = _OPERATIONS.get(str(question.get("operation")))
        keys, arguments = question.get("keys"), question.get("arguments")
        if operation is None:
            raise RefusedError(f"{str(question.get('operation'))[:60]!r} cannot be used in the sandbox")
        if not _texts(keys) or not 0 < len(keys) <= _MOST_KEYS:
            raise RefusedError("no names")
        if not isinstance(arguments, list) or not all(map(_argument, arguments)) or len(arguments) > _MOST_ARGUMENTS:
            raise RefusedError("arguments that no operation has")
        result = self._storage.run(
            operation,
            tuple(f"{self._prefix}{key}" for key in keys),
            *(tuple(map(_read, one)) if isinstance(one, list) else _read(one) for one in arguments),
            timeout=_seconds(question.get("timeout"), 5.0),
        )
        return {"result": list(result)}


def _texts(value: Any) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and len(value) <= _MOST_ARGUMENTS
        and all(isinstance(one, str) and len(one) <= _LONGEST_KEY and one.isprintable() for one in value)
    )


def _step(part: str) -> bool:
    """Whether it stays where it is in a path: neither a dot segment, which an HTTP client resolves, nor two steps."""
    return part not in {"", ".", ".."} and "/" not in part


def _argument(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_ARGUMENTS and all(map(_scalar, value))
    return _scalar(value)


def _read(value: Any) -> Any:
    """As the operation takes it: what was sent as ``{"bytes": base64}`` is bytes."""
    return base64.b64decode(value["bytes"], validate=True) if isinstance(value, dict) else value


def _scalar(value: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() == {"bytes"} and isinstance(value["bytes"], str) and len(value["bytes"]) <= 2 * _LONGEST_KEY
    if isinstance(value, str):
        return len(value) <= _LONGEST_KEY
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)


def _seconds(value: Any, otherwise: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LONGEST_WAIT:
        return float(value)
    return otherwise
