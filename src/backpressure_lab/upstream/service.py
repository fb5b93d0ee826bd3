"""What the lab's small HTTP services share: clock, bearer token, errors as JSON, health, start and stop."""

from __future__ import annotations

import argparse
import asyncio
import errno
import functools
import hmac
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from backpressure_lab.upstream.fields import FieldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    Clock = Callable[[], float]
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MIN_TOKEN_LENGTH = 16
SHUTDOWN_TIMEOUT = 0.25
"""Seconds that requests in progress get to end by themselves, and once more to be cancelled."""
_LONGEST_VALUE = 200


class HeldClock:
    """Wall-clock time in epoch seconds that never runs backwards.

    Instants in a log must keep their order. When the machine's clock is set back, this one stands still until the
    machine's has caught up. Whole microseconds, so that an instant read from JSON is the one that was compared.
    """

    def __init__(self, wall: Clock = time.time) -> None:
        self._wall = wall
        self._last = round(wall(), 6)

    def __call__(self) -> float:
        """Return the time."""
        self._last = max(self._last, round(self._wall(), 6))
        return self._last


class UsageError(Exception):
    """An argument or file of the command line that cannot be used."""


def read_token(path: Path) -> str:
    """Read a bearer token from a file.

    Raises:
        UsageError: the file cannot be read, or what it holds is too short to be a token.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {path}: {error}. Write a random token there first.") from error
    if len(token) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"--token-file {path}: holds {len(token)} characters, at least {MIN_TOKEN_LENGTH} are needed. "
            "Write a longer random token there."
        )
    return token


def problem(status: int, message: str, **details: object) -> web.Response:
    """Make an error response: ``{"error": {"message": …, …}}``."""
    return web.json_response({"error": {"message": message, **details}}, status=status)


def _sayable(value: object) -> object:
    """Return the value if JSON can say it in a few words, else the beginning of its text."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)[:_LONGEST_VALUE]
    return value if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE]


def protected(token: str) -> Callable[[Handler], Handler]:
    """Make a decorator that lets a request through only with the bearer token."""
    expected = f"Bearer {token}".encode()

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, expected):
                response = problem(
                    401, "This route needs the header 'Authorization: Bearer <token>' with this lab's token."
                )
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
            return await handler(request)

        return guarded

    return decorate


async def json_body(request: web.Request) -> Any:
    """Read the request's body as JSON; raises FieldError when it is none."""
    body = await request.read()
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FieldError("body", body.decode("utf-8", "replace"), f"JSON ({error})") from error


def query_number(request: web.Request, name: str, default: float) -> float:
    """Read a number from the query; raises FieldError when it is none, or not finite."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FieldError(name, text, "a finite number")
    return value


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FieldError as error:
        return problem(400, str(error), field=error.field, value=_sayable(error.value), expected=error.expected)
    except web.HTTPException as error:
        return problem(error.status, f"{request.method} {request.path}: {error.reason}")


def make_application(name: str, clock: Clock) -> web.Application:
    """Make an application that has ``/health`` and ``/time`` and answers every error in JSON."""
    started_at = clock()

    async def health(_: web.Request) -> web.Response:
        now = clock()
        return web.json_response(
            {"status": "healthy", "service": name, "pid": os.getpid(), "started_at": started_at, "now": now}
        )

    async def tell_time(_: web.Request) -> web.Response:
        return web.json_response({"now": clock()})

    app = web.Application(middlewares=[_errors_as_json])
    app.add_routes([web.get("/health", health), web.get("/time", tell_time)])
    return app


def arguments(name: str, argv: Sequence[str] | None, *, udp: bool = False) -> argparse.Namespace:
    """Parse a service's command line: host, port, token_file and, with ``udp``, udp_port and forward."""
    parser = argparse.ArgumentParser(prog=f"python -m backpressure_lab.{name}", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port_number, required=True, help="TCP port; 0 takes a free one")
    parser.add_argument("--token-file", type=Path, required=True, help="file that holds the bearer token")
    if udp:
        parser.add_argument("--udp-port", type=port_number, help="UDP port; 0 takes a free one (default: the TCP port)")
        parser.add_argument("--forward", type=host_and_port, help="another StatsD server that gets every datagram, too")
    return parser.parse_args(argv)


def port_number(text: str) -> int:
    """Read a port number, 0 to 65535."""
    highest = 65535
    if not text.isdecimal() or int(text) > highest:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number from 0 to {highest}")
    return int(text)


def host_and_port(text: str) -> tuple[str, int]:
    """Read ``host:port``."""
    host, _, port = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port")
    return host, port_number(port)


async def serve(app: web.Application, host: str, port: int, ready: Callable[[int], Awaitable[str]]) -> None:
    """Listen until SIGTERM or SIGINT; ``ready`` gets the real port and returns the one line to print."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A handler is cancelled when its client goes away: that is how a request that was given up shows.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(await ready(runner.addresses[0][1]), flush=True)  # noqa: T201  # the line that says it is ready
        await stop.wait()
    finally:
        await runner.cleanup()


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a service and turn what keeps it from starting into one line and an exit code (2 usage, 1 otherwise)."""
    try:
        asyncio.run(main())
    except UsageError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    except OSError as error:
        remedy = " Choose another port, or 0 for a free one." if error.errno == errno.EADDRINUSE else ""
        sys.stderr.write(f"{name}: {error.strerror or error}.{remedy}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0
