"""A process that has loaded what many cells need, and becomes one at each order: none of them pays for it again.

``python -m backpressure_lab.sandbox.nursery SOCKET MODULE…``. It is a fresh program with an empty environment, holds
nothing of ours, and never touches what is somebody else's; the cells are its children.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from backpressure_lab.sandbox import cell
from backpressure_lab.sandbox.channel import Channel

_ORDER = 1 << 16


def main() -> None:
    """Serve until the other side is gone."""
    handle, *modules = sys.argv[1:]
    control = socket.socket(fileno=int(handle))
    for module in modules:
        importlib.import_module(module)
    while True:
        data, handles, _, _ = socket.recv_fds(control, _ORDER, 1)
        if not data:
            return
        order = json.loads(data)
        if "end" in order:
            _end(order["end"])
            control.sendall(b"{}\n")
        else:
            control.sendall(json.dumps({"pid": _born(order, handles[0], control)}).encode() + b"\n")


def _born(order: dict[str, Any], handle: int, control: socket.socket) -> int:
    child = os.fork()
    if child == 0:
        control.close()  # no cell can ask for another
        os.setsid()
        shown = [Path(path) for path in order["shown"]]
        cell.live(order["job"], Channel(socket.socket(fileno=handle)), Path(order["root"]), shown)
    os.close(handle)
    return child


def _end(child: int) -> None:
    """End a cell, whose process id is its own until then, since nobody else has waited for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # before it has a session of its own
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
