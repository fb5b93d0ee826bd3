"""Passes datagrams on to a second StatsD server, which may come and go."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

_PAUSE = 10.0


class Forwarder:
    """Sends what it is given to ``host:port``, and drops it while that server is not there.

    A name that is not known is asked for again after ten seconds at the earliest: the receiver must not wait for it
    with every datagram.
    """

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = (host, port)
        self._clock = clock
        self._socket: socket.socket | None = None
        self._again = clock()
        self.sent = 0

    def send(self, data: bytes) -> None:
        """Send one datagram, if there is somebody to send it to."""
        try:
            if self._socket is None:
                if self._clock() < self._again:
                    return
                self._again = self._clock() + _PAUSE
                self._socket = self._connected()
            self._socket.send(data)
        except OSError:
            self.close()
        else:
            self.sent += 1

    def close(self) -> None:
        """Let go of the socket; the next datagram looks the name up again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._target, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        made.settimeout(0)
        made.connect(address)
        return made
