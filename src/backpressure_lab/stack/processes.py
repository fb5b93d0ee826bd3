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
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

_PR_SET_CHILD_SUBREAPER = 36
# What outlives its leader was not told to stop, or does not listen.
_ORPHANS_GRACE = 0.5


@dataclass(frozen=True)
class ProcessId:
    """A process for good: its number and when it began, since numbers are used again.

    ``created`` is ``BOOT:TICKS`` on Linux, the kernel's own count since the machine's start: what is told of a process
    in seconds of the wall clock moves when that clock is set. Elsewhere, and in what earlier versions have written, it
    is an epoch second.
    """

    pid: int
    created: str | float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process, None when it is gone."""
        try:
            return cls(pid, _created(pid))
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def read(cls, found: Any) -> ProcessId:
        """The identity that ``astuple`` has brought into a file.

        Raises:
            TypeError: it is none.
            ValueError: the same.
        """
        pid, created = found
        return cls(int(pid), created if isinstance(created, str) else float(created))

    def exists(self) -> bool:
        """Whether this very process is there, be it as a zombie."""
        try:
            if isinstance(self.created, str):
                return self.created == _created(self.pid)
            return abs(psutil.Process(self.pid).create_time() - self.created) < 1
        except (psutil.Error, PermissionError):
            return False  # what may not be looked at is somebody else's

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        try:
            return self.exists() and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def may_lead(self) -> bool:
        """Whether a session of its number can be its own: no other process, or boot, was given the number since."""
        if isinstance(self.created, str) and self.created.partition(":")[0] != _boot():
            return False
        return self.exists() or not psutil.pid_exists(self.pid)

    def is_older_than(self, pid: int) -> bool:
        """Whether a process of the same boot began no earlier than this one.

        Raises:
            psutil.NoSuchProcess: it is gone.
        """
        if isinstance(self.created, str):
            return int(self.created.partition(":")[2]) <= _ticks(pid)
        return self.created - 1 <= psutil.Process(pid).create_time()


def _created(pid: int) -> str | float:
    return f"{_boot()}:{_ticks(pid)}" if sys.platform == "linux" else psutil.Process(pid).create_time()


@lru_cache(maxsize=1)
def _boot() -> str:
    """Which start of the machine this is; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _ticks(pid: int) -> int:
    """When a process began, in the kernel's ticks since the machine's start: field 22 of proc_pid_stat(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # The second field is a name in parentheses, which may hold blanks and parentheses itself.
    return int(stat.rpartition(b")")[2].split()[19])


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
    # Where another process was given a leader's number, neither that one nor what it has started is ours.
    wanted = {leader.pid: leader for leader in leaders if leader.may_lead()}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            leader = wanted.get(os.getsid(process.pid))
            if leader is not None and leader.is_older_than(process.pid):
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
