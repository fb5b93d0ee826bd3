"""Ending what was started: a part's process, its session and all descendants, also those of a supervisor that died.

Each part is started as the leader of a session of its own, so that its process id names everything that it forks, also
after the leader is gone: an id is not given to a new process while a session still bears it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

_PR_SET_CHILD_SUBREAPER = 36
# What outlives its leader was not told to stop, or does not listen.
_ORPHANS_GRACE = 0.5


@dataclass(frozen=True)
class ProcessId:
    """A process for good: its number and the instant of its birth, since numbers are used again."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process, None when it is gone."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent died, so that none gets out of sight (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Collect adopted orphans that ended. Children of ``subprocess`` are left to their own ``poll``."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE and os.getsid(child.pid) != child.pid:
                os.waitpid(child.pid, os.WNOHANG)


def family(leaders: Iterable[ProcessId]) -> list[psutil.Process]:
    """Every running process that descends from one of ``leaders`` or is in a session that one of them leads."""
    wanted = {leader.pid: leader for leader in leaders}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            leader = wanted.get(os.getsid(process.pid))
            if leader is None:
                continue
            if process.pid == leader.pid and not leader.alive():
                continue  # another process was given the number: its session is not ours
            if process.create_time() < leader.created - 1:
                continue
            found[process.pid] = process
    for process in list(found.values()):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update({child.pid: child for child in process.children(recursive=True)})
    return [process for process in found.values() if _running(process)]


def _running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def end(
    leaders: Iterable[ProcessId],
    first: signal.Signals = signal.SIGTERM,
    grace: float = 5.0,
    tick: Callable[[], object] = lambda: None,
) -> int:
    """Ask the leaders to stop, wait ``grace`` seconds at most, then kill what is left of their families.

    Returns the number of processes that had to be killed. ``tick`` is called while waiting (to reap children).
    """
    asked = [leader for leader in leaders if leader is not None]
    everyone = family(asked)
    for leader in asked:
        if leader.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader.pid, first)
    leading = {leader.pid for leader in asked}
    _wait([process for process in everyone if process.pid in leading], grace, tick)
    _wait(everyone, min(grace, _ORPHANS_GRACE), tick)
    left = {process.pid: process for process in [*family(asked), *filter(_running, everyone)]}
    for process in left.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(list(left.values()), 5.0, tick)
    return len(left)


def _wait(processes: list[psutil.Process], seconds: float, tick: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while any(_running(process) for process in processes) and time.monotonic() < deadline:
        tick()
        time.sleep(0.05)
    tick()
