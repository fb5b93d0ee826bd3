"""A lesson task's way to the upstream simulator: set the weather, call, and read the server's own log.

Nothing is read or opened before the first use, so that an ``Upstream`` may stand at the top level of a DAG file.
"""

from __future__ import annotations

import contextlib
import json
import time
import weakref
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from backpressure.airflow import tape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from backpressure.request_log import RequestLog

CONNECTION_ID = "upstream"
_OK_BELOW = 400
_BAD_REQUEST, _UNAUTHORIZED, _TOO_MANY, _SERVER_ERROR = 400, 401, 429, 500


class UpstreamError(Exception):
    """A call that did not succeed.

    Attributes:
        status: the HTTP status, or None when there was no reply.
        retry_after: seconds that the server told to wait, or None.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class UpstreamRateLimitedError(UpstreamError):
    """The quota is used up (429)."""


class UpstreamUnavailableError(UpstreamError):
    """Overload, outage or a failure on the other side (5xx)."""


class UpstreamTimeoutError(UpstreamError):
    """No reply within the timeout."""


class UpstreamDroppedError(UpstreamError):
    """The connection was refused, or closed without a reply."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a lab service is and what proves the right to control it.

    Plain values, so that an operator can hand ``base_url`` to its trigger: the data plane needs no token.
    """

    base_url: str
    token: str | None = None

    @classmethod
    def from_connection(cls, conn_id: str) -> Endpoint:
        """Read host, port and password (the token) from an Airflow connection."""
        from airflow.sdk import Connection  # noqa: PLC0415  # tests and the CLI use this module without Airflow

        connection = Connection.get(conn_id)
        if not connection.host or not connection.port:
            raise ValueError(
                f"connection {conn_id!r} has host={connection.host!r} and port={connection.port!r}; both are needed. "
                "In the lab they are set by ./lab up."
            )
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        return cls(f"http://{host}:{connection.port}", connection.password)

    def url(self, *parts: str) -> str:
        """Return the URL of a route; each part is one step of the path and may hold any character.

        Raises:
            ValueError: a part is "." or "..", which no URL can hold: a client takes it for a way to another route.
        """
        for part in parts:
            if part in {".", ".."}:
                raise ValueError(f"{part!r} in {'/'.join(parts)!r} cannot be a step of a path")
        return "/".join([self.base_url.rstrip("/"), *(quote(part, safe="") for part in parts)])

    def control_headers(self) -> dict[str, str]:
        """Return the headers for control and logs."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def http_client(endpoint: Endpoint) -> httpx.Client:
    """Make a client with as many connections as its callers need at once."""
    return httpx.Client(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        # A proxy named in the environment is not for loopback, and loading certificates takes as long as many calls.
        trust_env=False,
        verify=endpoint.base_url.startswith("https:"),
    )


def call_headers(key: str | None = None, request_id: str | None = None) -> dict[str, str]:
    """Return the headers of a call: whose quota it uses and how the log shall name it."""
    headers = {"X-Api-Key": key, "X-Request-Id": request_id}
    return {name: value for name, value in headers.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the upstream answered.

    Attributes:
        status: the HTTP status.
        headers: the reply's headers (case-insensitive).
        body: the reply's body.
        seconds: time from sending to the last byte, on this side's clock.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status < _OK_BELOW

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server told to wait, from either form of Retry-After; None if it told nothing."""
        return retry_after(self.headers)

    def raise_for_status(self) -> None:
        """Raise the error that fits, if the call did not succeed."""
        if self.ok:
            return
        kind = (
            UpstreamRateLimitedError
            if self.status == _TOO_MANY
            else UpstreamUnavailableError
            if self.status >= _SERVER_ERROR
            else UpstreamError
        )
        raise kind(f"HTTP {self.status}: {_message(self.body)}", self.status, self.retry_after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110: seconds or a date) as seconds from now; None when it is absent or unreadable."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


class Upstream:
    """One named upstream of the simulator.

    Args:
        lane: its name; run-scoped names keep runs apart. Lanes appear on first use.
        base_url: where the simulator is; by default the Airflow connection says it.
        token: the bearer token for control and logs, with ``base_url``.
        conn_id: the Airflow connection.
        timeout: seconds to wait for a reply, unless a call says otherwise.
    """

    def __init__(
        self,
        lane: str,
        *,
        base_url: str | None = None,
        token: str | None = None,
        conn_id: str = CONNECTION_ID,
        timeout: float = 10.0,
    ) -> None:
        if not lane:
            raise ValueError(f"lane={lane!r} must be a name")
        self.lane = lane
        self._timeout = timeout
        self._conn_id = conn_id
        self._endpoint = Endpoint(base_url, token) if base_url else None
        self._to_note = base_url is None
        self._http: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the simulator is."""
        if self._endpoint is None:
            self._endpoint = Endpoint.from_connection(self._conn_id)
        return self._endpoint

    # Control; in a task, what is set is reset when the lesson's run is over, or was cut off

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings from now on and return all settings in force.

        Names, units and ranges are those of ``backpressure_lab.upstream.settings.Settings``.

        Raises:
            ValueError: a setting was refused; the message names it, the value and the range.
        """
        self._note()
        view: dict[str, Any] = self._control("PATCH", "lanes", self.lane, json=settings)
        in_force: dict[str, Any] = view["settings"]
        return in_force

    @contextlib.contextmanager
    def shut(self, **settings: Any) -> Iterator[None]:
        """Answer nobody within this block: who calls waits until it is left, also by an error.

        Raises:
            ValueError: a setting was refused; see ``configure``.
        """
        self.configure(capacity=0, queue_limit=None, **settings)
        try:
            yield
        finally:
            self.configure(capacity=None)

    def schedule(self, entries: Sequence[Mapping[str, Any]]) -> list[float]:
        """Set the weather to come, replacing what was scheduled, and return each entry's instant (epoch s).

        Each entry has ``at`` (s from now), ``set`` (settings) and, if it shall end by itself, ``for`` (s).

        Raises:
            ValueError: an entry was refused.
        """
        self._note()
        planned = self._control("PUT", "lanes", self.lane, "schedule", json=list(entries))["schedule"]
        return [entry["at"] for entry in planned]

    def reset(self) -> None:
        """Return the lane to its defaults; the log stays."""
        self._control("DELETE", "lanes", self.lane)

    def begin(self, **settings: Any) -> float:
        """Start afresh with these settings, and new data; returns the instant from which on to read the log.

        Raises:
            ValueError: a setting was refused; see ``configure``.
        """
        since = self.time()
        self.reset()
        self.configure(**({"revision": int(since)} | settings))
        return since

    def state(self) -> dict[str, Any]:
        """Return the lane now: ``settings``, numbers ``serving`` and ``waiting``, and ``next_change`` (epoch s)."""
        view: dict[str, Any] = self._control("GET", "lanes", self.lane)
        del view["changes"]
        return view

    def changes(self, since: float | None = None, until: float | None = None) -> list[dict[str, Any]]:
        """Return what took effect when: ``at`` (epoch s) and ``settings`` (name → new value)."""
        view = self._control("GET", "lanes", self.lane, params=_window(since, until))
        changes: list[dict[str, Any]] = view["changes"]
        return changes

    def time(self) -> float:
        """Return the server's clock (epoch s)."""
        return float(self._control("GET", "time")["now"])

    # Data plane

    def call(
        self,
        path: str = "",
        *,
        key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        method: str = "GET",
        check: bool = True,
    ) -> Reply:
        """Call the upstream.

        Args:
            path: what to fetch; the payload depends on it.
            key: API key, whose quota is used.
            request_id: how the log shall name the call.
            timeout: seconds without a byte after which the call is given up.
            method: HTTP method.
            check: raise unless the call succeeds; otherwise a refusal is returned as it is.

        Raises:
            UpstreamRateLimitedError: 429.
            UpstreamUnavailableError: 5xx.
            UpstreamTimeoutError: no reply in time.
            UpstreamDroppedError: the connection was refused or closed without a reply.
        """
        headers = call_headers(key, request_id)
        reply = self._send(method, "call", self.lane, *path.split("/"), headers=headers, timeout=timeout)
        if check:
            reply.raise_for_status()
        return reply

    def submit_job(self, seconds: float, name: str = "job", *, key: str | None = None) -> str:
        """Start a job that takes so long and return its id; its result depends on the name alone."""
        reply = self._send(
            "POST", "jobs", self.lane, json={"seconds": seconds, "name": name}, headers=call_headers(key)
        )
        reply.raise_for_status()
        return str(reply.data["id"])

    def job_url(self, job_id: str) -> str:
        """Return where a job's state is; a GET needs no token."""
        return self.endpoint.url("jobs", self.lane, job_id)

    def job(self, job_id: str, *, key: str | None = None) -> dict[str, Any]:
        """Return a job: ``state`` ("running" or "done"), ``remaining`` (s), ``result`` (None until done)."""
        reply = self._send("GET", "jobs", self.lane, job_id, headers=call_headers(key))
        reply.raise_for_status()
        job: dict[str, Any] = reply.data
        return job

    def notify(self, message: Any) -> None:
        """Deliver a message (anything JSON can say) to the lane's /notify."""
        self._send("POST", "notify", self.lane, json=message).raise_for_status()

    # The server's own view

    def notifications(self, since: float | None = None, until: float | None = None) -> list[dict[str, Any]]:
        """Return what was delivered to /notify: ``id``, ``at`` (epoch s) and ``body``."""
        notes: list[dict[str, Any]] = self._control("GET", "notify", self.lane, params=_window(since, until))[
            "notifications"
        ]
        return notes

    def log(self, since: float | None = None, until: float | None = None, *, key: str | None = None) -> RequestLog:
        """Return the lane's requests that arrived in [since, until)."""
        from backpressure.request_log import RequestLog  # noqa: PLC0415  # numpy is no part of parsing a DAG file

        return RequestLog.from_pages(self._log_pages(since, until, key))

    def _note(self) -> None:
        """Note, within a task and once, that its run changes this lane."""
        if not self._to_note:
            return
        from backpressure.airflow.run import Run  # noqa: PLC0415 - run imports much that callers of upstreams do not need

        Run.current().borrow_lane(self.lane)
        self._to_note = False

    def _log_pages(self, since: float | None, until: float | None, key: str | None) -> Iterator[Mapping[str, Any]]:
        params = _window(since, until) | {"lane": self.lane} | ({} if key is None else {"key": key})
        after: int | None = 0
        while after is not None:
            page = self._control("GET", "log", params=params | {"after": after})
            yield page
            after = page["next"]

    def _control(self, method: str, *parts: str, **options: Any) -> Any:
        question = [method, list(parts), options]
        return tape.heard("upstream", question, lambda: self._asked(method, *parts, **options))

    def _asked(self, method: str, *parts: str, **options: Any) -> Any:
        reply = self._send(method, *parts, headers=self.endpoint.control_headers(), **options)
        if reply.status == _UNAUTHORIZED:
            raise UpstreamError(
                f"{self.endpoint.base_url} refused the token; the connection's password must be this lab's token. "
                "Was the lab started anew? Run ./lab up.",
                reply.status,
            )
        if reply.status == _BAD_REQUEST:
            raise ValueError(_message(reply.body))
        reply.raise_for_status()
        return reply.data

    def _send(self, method: str, *parts: str, timeout: float | None = None, **options: Any) -> Reply:
        url = self.endpoint.url(*parts)
        seconds = self._timeout if timeout is None else timeout
        started = time.perf_counter()
        try:
            response = self._client().request(method, url, timeout=seconds, **options)
        except httpx.TimeoutException as error:
            raise UpstreamTimeoutError(f"{url}: no reply within {seconds} s") from error
        except httpx.ConnectError as error:
            raise UpstreamDroppedError(f"{url}: {error}. Is the lab up? Run ./lab status.") from error
        except httpx.TransportError as error:
            raise UpstreamDroppedError(f"{url}: {error}") from error
        return Reply(response.status_code, response.headers, response.content, time.perf_counter() - started)

    def _client(self) -> httpx.Client:
        if self._http is None:
            self._http = http_client(self.endpoint)
            weakref.finalize(self, self._http.close)
        return self._http


def _window(since: float | None, until: float | None) -> dict[str, Any]:
    return {name: value for name, value in (("since", since), ("until", until)) if value is not None}


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
