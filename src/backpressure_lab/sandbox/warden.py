"""The outside: starts cells, talks to them until a deadline, and ends them whatever they do."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import backpressure

import backpressure_lab
from backpressure_lab.errors import LabError
from backpressure_lab.sandbox import seccomp, trial, walls
from backpressure_lab.sandbox.channel import Channel, ChannelError, LateError, TooLargeError

_START_SECONDS = 90.0
_LONGEST_END = 40
_OUT_OF_TIME = f"signal {int(signal.SIGXCPU)}"


class NoSandboxError(LabError):
    """This machine has none; the message says why."""


class EndedError(Exception):
    """The cell ended by itself, before it had answered; the message says how."""

    @property
    def out_of_time(self) -> bool:
        """Whether it had used up its processor time."""
        return str(self) == _OUT_OF_TIME


class Nursery:
    """A process that has loaded some modules of ours, whose children are cells; it ends with this process.

    Args:
        modules: what the jobs of its cells import.
    """

    def __init__(self, *modules: str) -> None:
        ours, theirs = socket.socketpair()
        self._turn = threading.Lock()
        self._control = ours
        self._channel = Channel(ours)
        self._folder = tempfile.TemporaryDirectory(prefix="nursery-")
        arguments = ["backpressure_lab.sandbox.nursery", str(theirs.fileno()), *modules]
        self._process = _started(arguments, theirs, self._folder.name)
        theirs.close()

    def born(self, job: str, handle: int, root: str) -> int:
        """Have a cell; returns its first process's id."""
        order = {"job": job, "root": root, "shown": [str(path) for path in _shown()]}
        with self._turn:
            socket.send_fds(self._control, [json.dumps(order).encode()], [handle])
            return int(self._channel.receive(time.monotonic() + _START_SECONDS)["pid"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, and its cells with it."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def end(self, pid: int) -> None:
        """End a cell; not an error when the nursery is gone, and its cells with it."""
        with self._turn, contextlib.suppress(OSError, ChannelError):
            self._control.sendall(json.dumps({"end": pid}).encode())
            self._channel.receive(time.monotonic() + _START_SECONDS)


class OrderError(Exception):
    """What a cell was to be given does not fit into a message; the message says how much it was."""


class Cell:
    """One process behind walls, for a job of ours on something of somebody else's.

    Entering it raises `OrderError` where the order is too large, and `NoSandboxError` where the cell does not start.

    Args:
        job: ``module:function``; gets the cell's end of the channel, and the order.
        order: its first message.
        seconds: that the cell has from when it is locked; what it needs before is ours, and the machine may be busy.
        nursery: whose child it is; a program of its own when left out.
    """

    def __init__(self, job: str, order: dict[str, Any], seconds: float, nursery: Nursery | None = None) -> None:
        self._job = job
        self._order = order
        self._seconds = seconds
        self._nursery = nursery

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        self._ours = ours
        self._channel = Channel(ours)
        self._folder = tempfile.TemporaryDirectory(prefix="cell-")
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        try:
            with theirs:
                self._begin(theirs)
            self._start()
        except BaseException:
            self.close()
            raise
        self._deadline = time.monotonic() + self._seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, theirs: socket.socket) -> None:
        if self._nursery is None:
            own = [self._job, str(theirs.fileno()), self._folder.name, *map(str, _shown())]
            self._process = _started(["backpressure_lab.sandbox.cell", *own], theirs, "/tmp/airflow")  # noqa: S108 - the cell's own
            return
        try:
            self._pid = self._nursery.born(self._job, theirs.fileno(), self._folder.name)
        except (OSError, ChannelError) as error:
            raise NoSandboxError(f"The sandbox did not start: {error}.") from error

    def _start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        try:
            said = self._channel.receive(deadline)
            if said.get("walls") != "stand":
                raise NoSandboxError(f"This machine allows no sandbox: {said.get('why')}.")
            self._channel.send(self._order, deadline)
            if "locked" not in self._channel.receive(deadline):
                raise NoSandboxError("The sandbox did not start: its process ended.")
        except TooLargeError as error:
            raise OrderError(str(error)) from error
        except ChannelError as error:
            raise NoSandboxError(f"The sandbox did not start: {error}.") from error

    def send(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            EndedError: the cell has ended.
            LateError: it had no time left.
        """
        with _watched():
            self._channel.send(message, self._deadline)

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            EndedError: the cell has ended, or sends what is no message.
            LateError: it had no time left.
        """
        with _watched():
            said = self._channel.receive(self._deadline)
        if "ended" in said:
            raise EndedError(str(said["ended"])[:_LONGEST_END])
        return said

    def close(self) -> None:
        """End all of it: the first process takes the second with it, and that one everything of its namespace."""
        self._ours.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._nursery is not None and self._pid is not None:
            self._nursery.end(self._pid)
        self._folder.cleanup()


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    try:
        yield
    except LateError:
        raise
    except ChannelError as error:
        raise EndedError(str(error)) from error


def _started(arguments: list[str], theirs: socket.socket, airflow_home: str) -> subprocess.Popen[bytes]:
    """A module of ours as a program, with one end of a channel, and an environment without anything of ours."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-s", "-B", "-m", *arguments],
        env={**_environment(), "AIRFLOW_HOME": airflow_home},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )


def _packages() -> list[Path]:
    return [Path(package.__file__ or "").parents[1] for package in (backpressure, backpressure_lab)]


def _shown() -> list[Path]:
    """What a cell may read: the interpreter, the installed packages, and the two packages of ours; no exercise."""
    places = [Path(place) for place in (sys.base_prefix, sys.prefix)]
    return list(dict.fromkeys([*places, *(place.resolve() for place in places), *_packages()]))


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, _packages())),
        "PYTHONUTF8": "1",
        "HOME": "/tmp",  # noqa: S108 - the cell's own
        "USER": "student",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # The C library sets aside 64 MB of addresses for each thread beyond these, which the memory's limit counts.
        "MALLOC_ARENA_MAX": "2",
    }


@functools.cache
def missing() -> str | None:
    """Why there is no sandbox here; None where there is one."""
    if sys.platform != "linux" or not seccomp.known():
        return "The sandbox needs Linux on x86-64 or ARM."
    course = Path(backpressure_lab.__file__ or "").parents[2]
    open_to_all = [place for place in (*map(Path, walls.SYSTEM), *_shown()) if course.is_relative_to(place)]
    if open_to_all and (course / "exercises").exists():
        return f"The sandbox shows {open_to_all[0]}, in which the course lies with its solutions: move it elsewhere."
    try:
        with Cell(trial.__name__ + ":run", {"code": trial.CONFINED}, seconds=_START_SECONDS) as cell:
            found = cell.receive()
            return None if found == {"found": trial.HELD} else f"The sandbox does not hold on this machine: {found}."
    except (NoSandboxError, EndedError, LateError) as error:
        return str(error)
