"""Messages between a cell and its warden: JSON, a line each, of a bounded size, over a socket."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

LARGEST = 1 << 20
"""Bytes of one message."""
_CHUNK = 1 << 16


class ChannelError(Exception):
    """The other side is gone, or sends what is no message."""


class TooLargeError(ChannelError):
    """What is to be sent is larger than a message may be; nothing was sent."""


class LateError(ChannelError):
    """The other side said nothing in time."""


class Channel:
    """One end of a pair of sockets."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def send(self, message: dict[str, Any], deadline: float | None = None) -> None:
        """Send a message.

        Args:
            message: what JSON can say.
            deadline: an instant of ``time.monotonic``; the other side may leave the message unread until then.

        Raises:
            TooLargeError: it is too large.
            ChannelError: it cannot be sent.
        """
        data = json.dumps(message).encode() + b"\n"
        if len(data) > LARGEST:
            raise TooLargeError(f"a message of {len(data)} bytes; {LARGEST} are allowed")
        self._until(deadline)
        try:
            self._end.sendall(data)
        except TimeoutError as error:
            raise LateError("the other side reads nothing") from error
        except OSError as error:
            raise ChannelError(str(error)) from error

    def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next message.

        Raises:
            LateError: none was whole by the deadline.
            ChannelError: the other side is gone, or sent something else.
        """
        while b"\n" not in self._rest:
            if len(self._rest) > LARGEST:
                raise ChannelError(f"a message of more than {LARGEST} bytes")
            self._until(deadline)
            try:
                chunk = self._end.recv(_CHUNK)
            except TimeoutError as error:
                raise LateError("no answer in time") from error
            except OSError as error:
                raise ChannelError(str(error)) from error
            if not chunk:
                raise ChannelError("the other side is gone")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"no JSON: {str(error)[:100]}") from error
        if not isinstance(message, dict):
            raise ChannelError("no JSON object")
        return message

    def _until(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise LateError("no time is left")
        self._end.settimeout(left)
