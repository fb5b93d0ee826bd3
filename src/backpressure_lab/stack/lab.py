"""The lab as a whole: bring it up here or in the background, see how it is, bring it down."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from backpressure_lab import manifest
from backpressure_lab.errors import DamagedLabError, LabError, NotRunningError
from backpressure_lab.stack import ports as loopback
from backpressure_lab.stack import postgres, processes, settings
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.parts import parts
from backpressure_lab.stack.secrets import Secrets
from backpressure_lab.stack.state import LabState, is_supervised, sign, signed_by, supervising
from backpressure_lab.stack.supervisor import Supervisor, Watcher

_NEEDED_BYTES = 500_000_000
_DOWN_SECONDS = 30.0


class AlreadyUpError(LabError):
    """A lab runs in this checkout already; not an error for who wants one."""

    code = 0


def up(layout: Layout, watch: Watcher, *, light: bool = False, port: int | None = None) -> signal.Signals | None:
    """Run the lab in this process until a signal ends it.

    Raises:
        AlreadyUpError: it is up.
        NotRunningError: it could not be started; nothing of it is left running.
    """
    _check_folder(layout)
    with supervising(layout) as alone:
        if not alone:
            raise AlreadyUpError("The lab is up already.\nSee ./lab status; stop it with ./lab down")
        sign(layout)
        sweep(layout)
        chosen, note = loopback.choose(port)
        context = Context(layout, Secrets.load(layout), chosen, light=light)
        for folder in (layout.work, layout.checks, layout.dags, layout.airflow_home, layout.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for log in layout.logs.glob("*.log"):
            if log != supervisor_log(layout):
                log.unlink()
        settings.write(layout, context.secrets, settings.lab_settings(layout, context.secrets, chosen, light=light))
        context.save()
        layout.database_ready.unlink(missing_ok=True)
        postgres.create_cluster(layout, context.secrets)
        supervisor = Supervisor(context, parts(context, manifest.load()), watch)
        if note:
            watch(supervisor.state, note)
        try:
            return supervisor.run()
        finally:
            _remove_sockets(layout)


def supervisor_log(layout: Layout) -> Path:
    """What labs that were started in the background have said, the last one at the end."""
    return layout.logs / "supervisor.log"


def detach(layout: Layout, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start ``./lab up`` in a session of its own, its output at the end of a log file."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    # Another command may be starting the lab in this instant: neither empties what the other one's says.
    with supervisor_log(layout).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "backpressure_lab", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def is_up(layout: Layout) -> bool:
    """Whether a lab runs here, ready or not."""
    return is_supervised(layout)


def settled(layout: Layout, waits: Callable[[], object] = lambda: None) -> bool:
    """Whether a lab runs here that is coming up or ready; one that is on its way down is waited for, until it is gone.

    Args:
        layout: where the lab lies.
        waits: called once when there is one to wait for.

    Raises:
        NotRunningError: it is on its way down for too long.
    """
    deadline = time.monotonic() + _DOWN_SECONDS
    told = False
    while True:
        state = _written(layout)
        # Asked after: who holds the lock without having written a state is one that has just begun.
        if not is_supervised(layout):
            return False
        if state is None or state.phase in ("starting", "ready"):
            return True
        if time.monotonic() > deadline:
            raise NotRunningError(
                f"The lab that was here has been on its way down for {_DOWN_SECONDS:g} s.\n"
                "Look at: ./lab logs supervisor"
            )
        if not told:
            waits()
            told = True
        time.sleep(0.1)


def is_staying(layout: Layout) -> bool:
    """Whether a lab runs here that is not on its way down."""
    state = current(layout)
    return state is not None and state.phase not in ("stopping", "stopped", "failed")


def current(layout: Layout) -> LabState | None:
    """The state of the lab that runs here, None when none does."""
    return _written(layout) if is_supervised(layout) else None


def _written(layout: Layout) -> LabState | None:
    """The state of a supervisor that is there; not what one that was killed has left."""
    state = LabState.load(layout)
    return state if state is not None and state.supervisor.alive() else None


def down(layout: Layout, seconds: float = _DOWN_SECONDS, progress: Callable[[], object] = lambda: None) -> bool:
    """Stop the lab that runs here; False when none did.

    Also ends what a supervisor that was killed has left.

    Raises:
        NotRunningError: it is still there after ``seconds``.
    """
    if not is_supervised(layout):
        return sweep(layout) > 0
    supervisor = signed_by(layout)
    if supervisor is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_supervised(layout):
        if time.monotonic() > deadline:
            raise NotRunningError(f"The lab did not stop within {seconds:g} s.\nLook at: ./lab logs supervisor")
        progress()
        time.sleep(0.1)
    return True


def sweep(layout: Layout) -> int:
    """End what an earlier supervisor left behind when it was killed; returns how many processes that were."""
    state = LabState.load(layout)
    if state is None or state.phase == "stopped":
        return 0
    left = processes.family(state.sessions())
    if left:
        servers = [part.process for part in state.parts if part.name == "postgres" and part.process]
        processes.end(servers, first=signal.SIGINT, grace=3.0)
        processes.end(state.sessions(), grace=0.0)
    state.phase = "stopped"
    state.past.clear()
    for part in state.parts:
        part.phase, part.pid, part.created = "stopped", None, None
    state.save(layout)
    _remove_sockets(layout)
    return len(left)


def discard(layout: Layout) -> None:
    """End whatever still runs for this lab, also when its state file cannot be read, and remove its folder.

    Raises:
        LabError: the folder is not a lab's, or cannot be removed.
    """
    _check_own(layout)
    with contextlib.suppress(DamagedLabError):
        sweep(layout)
    # A caller may have BACKPRESSURE_LAB_HOME in its own environment; only parts of this lab have both.
    ours = {"BACKPRESSURE_LAB_HOME": str(layout.home), "AIRFLOW_HOME": str(layout.airflow_home)}
    me = psutil.Process()
    spared = {me.pid, *(process.pid for process in me.parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in spared and ours.items() <= process.environ().items():
                process.kill()
    _remove_sockets(layout)
    try:
        if layout.home.is_dir():
            shutil.rmtree(layout.home)
        else:
            layout.home.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(f"Could not remove {layout.home}: {error.strerror}.\nRemove it by hand.") from error


def _check_own(layout: Layout) -> None:
    """Refuse a folder that BACKPRESSURE_LAB_HOME names by mistake: all that is in it would be lost."""
    home = layout.home
    if not home.is_dir() or not any(home.iterdir()):
        return
    reason = ""
    marks = (layout.secrets_file, layout.lock_file, layout.state_file)
    user = Path(os.environ.get("HOME", "/")).resolve()
    if layout.root.is_relative_to(home) or user.is_relative_to(home):
        reason = "more than a lab is in it"
    elif home != layout.root / ".lab" and not any(mark.exists() for mark in marks):
        reason = f"no lab has left {' or '.join(str(mark.relative_to(home)) for mark in marks)} in it"
    if reason:
        raise LabError(
            f"{home} is not removed: {reason}.\n"
            "Let BACKPRESSURE_LAB_HOME name a lab's own folder, or remove by hand what you no longer need."
        )


def _check_folder(layout: Layout) -> None:
    try:
        layout.home.mkdir(parents=True, exist_ok=True)
        probe = layout.home / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NotRunningError(
            f"Cannot write to {layout.home}: {error.strerror}.\nClone the repository into a folder of your own."
        ) from error
    free = shutil.disk_usage(layout.home).free
    if free < _NEEDED_BYTES:
        raise NotRunningError(
            f"Only {free / 1e6:.0f} MB are free in {layout.home}; the lab needs {_NEEDED_BYTES / 1e6:.0f} MB.\n"
            "Free some room and run ./lab up again."
        )


def _remove_sockets(layout: Layout) -> None:
    if layout.sockets.exists():
        shutil.rmtree(layout.sockets, ignore_errors=True)
