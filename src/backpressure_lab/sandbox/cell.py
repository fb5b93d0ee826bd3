"""The inside: ``python -m backpressure_lab.sandbox.cell MODULE:FUNCTION SOCKET ROOT SHOWN…``, or a nursery's child.

Three processes: the first leaves the machine's namespaces and waits, the second is the first of the new process ids,
builds the walls and waits, the third does the job. The job is ours; it imports what it needs, calls ``lock``, and only
then touches what is somebody else's.
"""

from __future__ import annotations

import importlib
import os
import resource
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from backpressure_lab.sandbox import seccomp, walls
from backpressure_lab.sandbox.channel import Channel, ChannelError

CPU_SECONDS = 10
MEMORY = 1 << 30
THREADS = 256
"""All tasks of the cell's user: more than its memory has room for with ordinary stacks, and nothing to a machine."""
_FILE = 1 << 20
_FILES = 64
NICE = 5


def lock(channel: Channel, seconds: int = CPU_SECONDS, nice: int = 0) -> None:
    """Set the limits and the filter: from here on the process can make no other, and not use up the machine.

    Args:
        channel: to the warden, who counts the time from when it hears of this.
        seconds: of the processor that are left.
        nice: how far to stand back behind others; not for a task, whose calls are judged by when they come.
    """
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
    limits = {
        resource.RLIMIT_CPU: used + seconds,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_FSIZE: _FILE,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_NPROC: THREADS,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        # A second more to hear of the time that is used up, which whoever ignores that signal does not get.
        resource.setrlimit(limit, (value, value + (limit == resource.RLIMIT_CPU)))
    os.nice(nice)
    seccomp.install()
    channel.send({"locked": True})


def live(job: str, channel: Channel, root: Path, shown: Sequence[Path]) -> NoReturn:
    """Build the walls, and do the job within."""
    try:
        walls.die_with_parent()
        uid, gid = walls.part()
        if guard := os.fork():
            os.waitpid(guard, 0)
            os._exit(0)
        walls.die_with_parent()
        walls.confine(root, shown, uid)
        if worker := os.fork():
            walls.give_up_rights(uid, gid)
            walls.die_with_parent()
            _tell_the_end(worker, channel)
        walls.give_up_rights(uid, gid)
        walls.die_with_parent()
        channel.send({"walls": "stand"})
    except (OSError, KeyError, AttributeError) as error:
        channel.send({"walls": "missing", "why": str(error)})
        os._exit(1)
    module, _, function = job.partition(":")
    try:
        getattr(importlib.import_module(module), function)(channel)
    except ChannelError:
        os._exit(1)
    os._exit(0)  # what was left running, or for the end, is not waited for


def _tell_the_end(worker: int, channel: Channel) -> NoReturn:
    _, status = os.waitpid(worker, 0)
    code = os.waitstatus_to_exitcode(status)
    channel.send({"ended": f"signal {-code}" if code < 0 else f"exit code {code}"})
    os._exit(0)


def main() -> None:
    """Be a cell."""
    job, handle, root, *shown = sys.argv[1:]
    live(job, Channel(socket.socket(fileno=int(handle))), Path(root), [Path(path) for path in shown])


if __name__ == "__main__":
    main()
