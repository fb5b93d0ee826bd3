"""A job that runs a piece of code in a locked cell and tells what came of it: to find out whether the walls hold."""

from __future__ import annotations

from typing import Any

from backpressure_lab.sandbox import cell
from backpressure_lab.sandbox.channel import Channel

CONFINED = """
import os
try:
    forked = os.fork() == 0
except OSError:
    forked = None
if forked:
    os._exit(0)
elsewhere = [path for path in ("/proc/self", "/sys/kernel", "/etc/shadow", "/etc/hosts") if os.path.exists(path)]
found = {"forked": forked, "sees": elsewhere, "root": os.getuid() == 0, "writes": os.access("/usr", os.W_OK)}
"""
HELD: dict[str, object] = {"forked": None, "sees": [], "root": False, "writes": False}


def run(channel: Channel) -> None:
    """Run ``code`` of the order, within ``seconds`` of the processor; tell its ``found``, or what it raised."""
    order = channel.receive()
    cell.lock(channel, order.get("seconds", cell.CPU_SECONDS))
    space: dict[str, Any] = {"channel": channel}
    try:
        exec(compile(order["code"], "trial", "exec"), space)  # noqa: S102 - that is what the walls are for
    except BaseException as error:  # noqa: BLE001 - whatever it raises is what came of it
        channel.send({"raised": type(error).__name__, "text": str(error)[:300]})
    else:
        channel.send({"found": space.get("found")})
