"""Loopback ports: the one asked for or the next free one, and who holds a port that is taken."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

import psutil

from backpressure_lab.errors import NotRunningError
from backpressure_lab.stack.settings import Ports

FIRST = 8080
_TRIED = 100


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether a server can listen on this loopback port now."""
    return refusal(port, kind) is None


def refusal(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> OSError | None:
    """Why no server of this user can listen on this loopback port now; None when one can."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that the kernel gives out, and that is free until somebody takes it."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Who listens on the port, as ' by NAME (pid N)'; empty when the system does not tell."""
    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections(kind="inet"):
            listening = connection.status == psutil.CONN_LISTEN
            if listening and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def choose(asked: int | None) -> tuple[Ports, str]:
    """The lab's ports and, where it is not the usual one, why.

    Raises:
        NotRunningError: the port asked for is taken or kept for root, or none is free.
    """
    note = ""
    if asked is not None:
        refused = refusal(asked)
        if refused is not None and refused.errno in (errno.EACCES, errno.EPERM):
            raise NotRunningError(
                f"Port {asked} is not for this user: the system keeps it for root ({refused.strerror}).\n"
                f"Name one that is not, such as {FIRST}, or leave out --port to take the next free one."
            )
        if refused is not None:
            raise NotRunningError(
                f"Port {asked} is taken{holder(asked)}.\n"
                "Name another one, or leave out --port to take the next free one."
            )
        api = asked
    else:
        api = next((port for port in range(FIRST, FIRST + _TRIED) if is_free(port)), 0)
        if not api:
            raise NotRunningError(f"No port from {FIRST} to {FIRST + _TRIED - 1} is free.\nName one: ./lab up --port N")
        if api != FIRST:
            note = f"port {FIRST} is taken{holder(FIRST)}; using {api}"
    free = _free_ports(except_for=api)
    return Ports(api, upstream=next(free), metrics=next(free), statsd=next(free)), note


def _free_ports(except_for: int) -> Iterator[int]:
    """Ports that the kernel would give out, free for TCP and UDP."""
    held: list[socket.socket] = []
    try:
        while True:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(probe)
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port != except_for and is_free(port, socket.SOCK_DGRAM):
                yield port
    finally:
        for probe in held:
            probe.close()
