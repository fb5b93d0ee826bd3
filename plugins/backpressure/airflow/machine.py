"""What the machine itself says of processes: whose child one is, its private memory, the processor time it took.

A second witness beside Airflow's own words. Everything is read from the system, through psutil, which Airflow brings
along; of a process that is gone there is nothing to read, and None is returned for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

_HOME = "BACKPRESSURE_LAB_HOME"


class Cores(NamedTuple):
    """Processor time of all cores together since the machine's start, in seconds; two readings make a share.

    Attributes:
        at: when it was read (epoch s).
        busy: time spent on anything, other programs included.
        total: time there was, idle included.
    """

    at: float
    busy: float
    total: float


def parts() -> dict[str, int]:
    """The process id of each part of the lab that runs, by name: "scheduler", "dag-processor", "worker-a".

    The lab's supervisor writes them down; each leads the tree of what the part has started.

    Raises:
        LookupError: this is no task of a lab, or its supervisor has written nothing.
    """
    home = os.environ.get(_HOME)
    if not home:
        raise LookupError(f"{_HOME} is not set: only a lab's own tasks can tell which processes are its parts")
    path = Path(home) / "run" / "state.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["parts"]
        return {part["name"]: int(part["pid"]) for part in found if part["pid"] and psutil.pid_exists(part["pid"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LookupError(f"{path} does not tell the lab's parts: {error}") from error


def switch(part: str) -> Path:
    """The file whose being there lets the lab's supervisor run an optional part, such as "scheduler-2".

    Raises:
        LookupError: this is no task of a lab.
    """
    home = os.environ.get(_HOME)
    if not home:
        raise LookupError(f"{_HOME} is not set: only a lab's own tasks can switch its parts")
    return Path(home) / "run" / "switches" / part


def part_log(name: str) -> list[str]:
    """The lines that a part of the lab has logged since the lab's start: "scheduler", "postgres", "worker-a".

    Raises:
        LookupError: this is no task of a lab, or there is no such log.
    """
    home = os.environ.get(_HOME)
    path = Path(home or ".") / "logs" / f"{name}.log"
    if not home or not path.is_file():
        raise LookupError(f"{path} is not there: only a lab's own tasks can read the logs of its parts")
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def ancestors(pid: int | None = None) -> list[int]:
    """The parent of a process (this one when left out), its parent and so on; empty when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process.pid for process in psutil.Process(pid).parents()]
    return []


def part_of(pid: int | None = None) -> str | None:
    """The part of the lab that a process (this one when left out) descends from, or is; None if it is of none.

    Raises:
        LookupError: the lab's parts are not known.
    """
    names = {leader: name for name, leader in parts().items()}
    line = [os.getpid() if pid is None else pid, *ancestors(pid)]
    return next((names[one] for one in line if one in names), None)


def tree(pid: int) -> list[int]:
    """A process and all its descendants; empty when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    return []


def private_bytes(pid: int | None = None) -> int | None:
    """The memory that would be free if this process ended: what it shares with others, as after a fork, is not in it.

    The process is this one when left out. None when it is gone, or is not ours to look at.
    """
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(psutil.Process(pid).memory_full_info().uss)
    return None


@contextlib.contextmanager
def allowance(size: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has: beyond, the kernel refuses and Python raises MemoryError.

    What is limited is the process's address space, of which some is reserved and never used; macOS limits nothing.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + size
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:  # whoever reports the error needs memory, too
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def cpu_seconds(pid: int, *, own: bool = False) -> float | None:
    """Processor time (user and system, all threads) that a process and its descendants have taken so far.

    What has ended counts as soon as its parent knows of it, so that a difference of two readings misses no short task.

    Args:
        pid: the process.
        own: leave out all descendants.

    Returns None when the process is gone.
    """
    times = [_times(one, own=own) for one in ([pid] if own else tree(pid))]
    return sum(one for one in times if one is not None) if times and times[0] is not None else None


def cores() -> Cores:
    """How much time the cores have spent so far."""
    times = psutil.cpu_times()._asdict()
    # Linux counts a guest's time in user and nice, too.
    total = sum(seconds for name, seconds in times.items() if name not in ("guest", "guest_nice"))
    return Cores(time.time(), total - times["idle"] - times.get("iowait", 0.0), total)


def busy_share(before: Cores, after: Cores) -> float | None:
    """Which part of all cores' time was spent between two readings, from 0 to 1; None when there was no time."""
    total = after.total - before.total
    return (after.busy - before.busy) / total if total > 0 else None


def count_cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory(pids: Iterable[int]) -> dict[int, int]:
    """The private bytes of each of these processes that can be read."""
    found = {pid: private_bytes(pid) for pid in pids}
    return {pid: size for pid, size in found.items() if size is not None}


def below(leader: int, metered: Iterable[int] | None = None) -> list[dict[str, float]]:
    """The private memory of a process and of what descends from it: samples of :mod:`backpressure.measures.memory`.

    Each has ``at`` (epoch s), ``pid``, ``bytes``, and ``metered``: whether it is one of those named, or none are named.
    """
    at, named = time.time(), None if metered is None else set(metered)
    found = memory(tree(leader)).items()
    return [{"at": at, "pid": pid, "bytes": size, "metered": named is None or pid in named} for pid, size in found]


def portrait(leader: int, *, without: Iterable[int] = ()) -> dict[str, float]:
    """A process and what descends from it at this instant: a sample as :mod:`backpressure.measures.samples` takes it.

    It has ``at`` (epoch s), ``processes`` (descendants that live), ``memory`` (the leader's private memory, MB),
    ``children's memory`` (the descendants'), ``cpu`` (processor seconds of the whole tree so far), and of all cores
    since the machine's start the seconds ``busy`` and ``total``. Everything else is 0 for a leader that is gone.

    Args:
        leader: the process.
        without: descendants that are left out, with what descends from them; the processes that measure, say.
    """
    without = tuple(without)
    hidden = {pid for one in without for pid in tree(one)}
    below = [pid for pid in tree(leader)[1:] if pid not in hidden]
    now = cores()
    return {
        "at": now.at,
        "processes": len(below),
        "memory": (private_bytes(leader) or 0) / 1e6,
        "children's memory": sum(memory(below).values()) / 1e6,
        "cpu": (cpu_seconds(leader) or 0.0) - sum(cpu_seconds(pid) or 0.0 for pid in without),
        "busy": now.busy,
        "total": now.total,
    }


def _times(pid: int, *, own: bool) -> float | None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        times = psutil.Process(pid).cpu_times()
        ended = 0.0 if own else times.children_user + times.children_system
        return float(times.user + times.system + ended)
    return None
