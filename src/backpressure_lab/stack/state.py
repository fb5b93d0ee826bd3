"""The state of a lab as other commands see it: one JSON file that only the supervisor writes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from typing import Literal

from backpressure_lab.errors import DamagedLabError
from backpressure_lab.files import write_json
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.processes import ProcessId

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
PartPhase = Literal["off", "waiting", "starting", "healthy", "done", "restarting", "failed", "stopped"]

# As long as another process takes to look whether the lock is held.
_LOOK_SECONDS = 0.01


@dataclass
class PartState:
    """How one part is doing. ``since`` is the epoch second at which it entered ``phase``."""

    name: str
    phase: PartPhase = "waiting"
    pid: int | None = None
    created: str | float | None = None
    since: float = 0.0
    restarts: int = 0
    note: str = ""

    @property
    def process(self) -> ProcessId | None:
        """The part's process, None when it has none."""
        return ProcessId(self.pid, self.created) if self.pid and self.created else None


@dataclass
class LabState:
    """How the lab is doing."""

    phase: Phase
    pid: int
    created: str | float
    url: str
    light: bool
    started: float
    note: str = ""
    parts: list[PartState] = field(default_factory=list)
    # Sessions of parts that were restarted: a straggler of theirs is still ours to end.
    past: list[tuple[int, str | float]] = field(default_factory=list)

    @property
    def supervisor(self) -> ProcessId:
        """The process that runs the lab."""
        return ProcessId(self.pid, self.created)

    def sessions(self) -> list[ProcessId]:
        """Everything that this lab has started."""
        now = [part.process for part in self.parts if part.process is not None]
        return now + [ProcessId(pid, created) for pid, created in self.past]

    def save(self, layout: Layout) -> None:
        """Write the state for others to read."""
        write_json(layout.state_file, asdict(self))

    @classmethod
    def load(cls, layout: Layout) -> LabState | None:
        """The last state written, None when there never was one.

        Raises:
            DamagedLabError: the file is not one that the supervisor wrote.
        """
        try:
            found = json.loads(layout.state_file.read_text(encoding="utf-8"))
            parts = [PartState(**part) for part in found.pop("parts")]
            past = [astuple(ProcessId.read(one)) for one in found.pop("past")]
            return cls(parts=parts, past=past, **found)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise DamagedLabError(layout.state_file, str(error)) from error


@contextlib.contextmanager
def supervising(layout: Layout) -> Iterator[bool]:
    """Hold the lock of a running lab; yields False when another process holds it.

    Raises:
        DamagedLabError: something else lies where the lock has to be.
    """
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        handle = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DamagedLabError(layout.run, error.strerror or str(error)) from error
    try:
        yield _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Whether the lock is this handle's now; one who only looks whether it is held is waited for."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if _is_held(handle):
            return False
        time.sleep(_LOOK_SECONDS)


def _is_held(handle: int) -> bool:
    """Whether another has the lock; any number of processes may look at once."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def sign(layout: Layout) -> None:
    """Write into the lock who holds it: what can be told of the supervisor when the state file cannot be read."""
    me = ProcessId.of(os.getpid())
    if me is not None:
        layout.lock_file.write_text(json.dumps(astuple(me)), encoding="utf-8")


def signed_by(layout: Layout) -> ProcessId | None:
    """The supervisor that wrote itself into the lock; None when there is no such process any more."""
    try:
        supervisor = ProcessId.read(json.loads(layout.lock_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return supervisor if supervisor.alive() else None


def is_supervised(layout: Layout) -> bool:
    """Whether a supervisor is alive.

    Raises:
        DamagedLabError: its lock cannot be read.
    """
    try:
        handle = os.open(layout.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DamagedLabError(layout.lock_file, error.strerror or str(error)) from error
    try:
        return _is_held(handle)
    finally:
        os.close(handle)
