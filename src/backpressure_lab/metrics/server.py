"""The receiver behind UDP and HTTP."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from backpressure_lab.metrics.forward import Forwarder
from backpressure_lab.metrics.parser import parse_packet
from backpressure_lab.metrics.store import Store
from backpressure_lab.upstream.fields import FieldError
from backpressure_lab.upstream.service import make_application, protected, query_number

if TYPE_CHECKING:
    from backpressure_lab.upstream.service import Clock

MAX_SERIES_PER_READ = 500
RECEIVE_BUFFER = 4 * 1024 * 1024


class Receiver(asyncio.DatagramProtocol):
    """Takes datagrams into a store and answers for it over HTTP."""

    def __init__(self, clock: Clock, store: Store | None = None, forward: Forwarder | None = None) -> None:
        self._clock = clock
        self._store = store or Store()
        self._forward = forward
        self._transport: asyncio.DatagramTransport | None = None
        self._started_at = clock()
        self._counts = dict.fromkeys(("packets", "bytes", "metrics", "malformed", "unsupported"), 0)

    async def listen(self, host: str, port: int) -> int:
        """Open the UDP socket and return its port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self._transport = transport
        sock = transport.get_extra_info("socket")
        # A burst of metrics must not be lost while an answer is being made; the kernel may grant less.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        bound: int = sock.getsockname()[1]
        return bound

    def application(self, token: str) -> web.Application:
        """Make the application with all routes."""
        app = make_application("metrics", self._clock)
        guard = protected(token)
        app.add_routes(
            [
                web.get("/names", guard(self._names)),
                web.get("/series", guard(self._series)),
                web.get("/stats", guard(self._stats)),
            ]
        )
        app.on_cleanup.append(self._close)
        return app

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002  # the protocol's
        """Take one datagram."""
        now = self._clock()
        if self._forward is not None:
            self._forward.send(data)
        packet = parse_packet(data)
        for sample in packet.samples:
            self._store.add(sample, now)
        counts = self._counts
        counts["packets"] += 1
        counts["bytes"] += len(data)
        counts["metrics"] += len(packet.samples)
        counts["malformed"] += packet.malformed
        counts["unsupported"] += packet.unsupported

    async def _names(self, request: web.Request) -> web.Response:
        names = [series.summary() for series in self._store.select(match=request.query.get("match"))]
        return web.json_response({"now": self._clock(), "names": names})

    async def _series(self, request: web.Request) -> web.Response:
        name, match = request.query.get("name"), request.query.get("match")
        if name is None and match is None:
            raise FieldError("name", None, "a metric's name, or match=<glob pattern>")
        since, until = query_number(request, "since", -math.inf), query_number(request, "until", math.inf)
        selected = list(itertools.islice(self._store.select(name, match), MAX_SERIES_PER_READ + 1))
        if len(selected) > MAX_SERIES_PER_READ:
            raise FieldError("match", match, f"a pattern that at most {MAX_SERIES_PER_READ} series match")
        windows = [series.window(since, until) for series in selected]
        early = since != -math.inf and since < self._started_at
        for window in windows:
            window["complete"] = window["complete"] and not early
        return web.json_response({"now": self._clock(), "started_at": self._started_at, "series": windows})

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "now": self._clock(),
                "started_at": self._started_at,
                **self._counts,
                "forwarded": self._forward.sent if self._forward is not None else 0,
                "series": len(self._store),
                "points": self._store.points,
                "evicted_series": self._store.evicted,
                **self._socket_facts(),
            }
        )

    def _socket_facts(self) -> dict[str, int | None]:
        """Return the receive buffer (bytes) and the datagrams that the kernel dropped because it was full."""
        sock = self._transport.get_extra_info("socket") if self._transport else None
        if sock is None:
            return {"receive_buffer": None, "dropped_by_kernel": None}
        return {
            "receive_buffer": sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
            "dropped_by_kernel": _dropped_by_kernel(sock.fileno()),
        }

    async def _close(self, _: web.Application) -> None:
        if self._forward is not None:
            self._forward.close()
        if self._transport:
            self._transport.close()


def _dropped_by_kernel(descriptor: int) -> int | None:
    """Read a UDP socket's drop count from Linux's tables; None on other systems."""
    inode = str(os.fstat(descriptor).st_ino)
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[9] == inode:
                return int(fields[-1])
    return None
