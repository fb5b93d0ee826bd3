"""Starts the parts in order, restarts one that dies, and ends everything it started, however it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from backpressure_lab.errors import NotRunningError
from backpressure_lab.stack import processes
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.health import Healthy, never
from backpressure_lab.stack.nursery import Child, Nursery, supported
from backpressure_lab.stack.parts import Part
from backpressure_lab.stack.processes import ProcessId
from backpressure_lab.stack.state import LabState, PartPhase, PartState

_TICK = 0.1
# Looking for orphans goes through all processes of the machine.
_REAP_SECONDS = 2.0
_STARTUP_TRIES = 3
_LONGEST_PAUSE = 30.0
# A part that was healthy for so long is forgiven its earlier deaths.
_PROVEN_SECONDS = 60.0

Watcher = Callable[[LabState, str], None]


class Supervisor:
    """Runs the parts of one lab until it is told to stop.

    ``watch`` is called with the state and a line of news at every change; the state is also in the lab's state file. A
    part that is hung for ``hung_seconds`` is started again, and so is one that is not healthy within
    ``startup_seconds``; where the whole lab is not ready within that time, it is given up.
    """

    def __init__(
        self,
        context: Context,
        parts: list[Part],
        watch: Watcher = lambda _state, _news: None,
        hung_seconds: float = 60.0,
        startup_seconds: float = 240.0,
    ) -> None:
        me = ProcessId.of(os.getpid())
        if me is None:
            raise ProcessLookupError(os.getpid())
        self._context = context
        self._parts = {part.name: part for part in parts}
        self._watch = watch
        self._running: dict[str, subprocess.Popen[bytes] | Child] = {}
        self._nursery: Nursery | None = None
        self._again: dict[str, float] = {}
        self._hung_seconds = hung_seconds
        self._startup_seconds = startup_seconds
        self._begun = time.monotonic()
        self._started: dict[str, float] = {}
        self._ask_next: dict[str, float] = {}
        self._hung_since: dict[str, float] = {}
        self._reaped = 0.0
        self._stop: signal.Signals | None = None
        self._state = LabState("starting", me.pid, me.created, context.url, context.light, time.time())
        self._state.parts = [PartState(part.name, "off" if part.optional else "waiting") for part in parts]

    @property
    def state(self) -> LabState:
        """How the lab is doing."""
        return self._state

    def run(self) -> signal.Signals | None:
        """Start, supervise, stop. Returns the signal that ended it.

        Raises:
            NotRunningError: a part could not be started; everything is stopped again.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        processes.adopt_orphans()
        self._context.layout.logs.mkdir(parents=True, exist_ok=True)
        forget_switches(self._context)
        self._state.save(self._context.layout)
        try:
            self._open_nursery()
            while self._stop is None:
                self._round()
                time.sleep(_TICK)
        except BaseException as error:
            self._state.phase, self._state.note = "failed", str(error)
            raise
        finally:
            self._end_all()
        return self._stop

    def _open_nursery(self) -> None:
        layout = self._context.layout
        if supported() and any(part.forked for part in self._parts.values()):
            self._nursery = Nursery(self._context.environment(), layout.root, layout.logs / "nursery.log")
            identity = ProcessId.of(self._nursery.process.pid)
            if identity is not None:
                self._state.past.append((identity.pid, identity.created))

    def _ask_to_stop(self, number: int, _frame: FrameType | None) -> None:
        self._stop = signal.Signals(number)

    def _round(self) -> None:
        for state in self._state.parts:
            part = self._parts[state.name]
            self._collect(part, state)
            if part.optional:
                self._switch(part, state)
            if state.phase in ("waiting", "restarting") and self._may_start(part):
                self._start(part, state)
            elif state.phase == "starting" and self._ask(part.healthy, state):
                self._enter(state, "healthy", "is healthy")
            elif state.phase == "starting" and self._is_late(part):
                reason = f"was not healthy within {self._startup_seconds:g} s (./lab logs {part.name}) and was ended"
                self._end(part, state, reason)
            elif state.phase == "healthy" and self._is_hung(part, state):
                self._end(part, state, f"did nothing for {self._hung_seconds:g} s and was ended")
            if self._stop is not None:
                return
        if time.monotonic() - self._reaped > _REAP_SECONDS:
            processes.reap()
            self._reaped = time.monotonic()
        if self._state.phase == "starting":
            self._check_startup()

    def _ask(self, question: Healthy, state: PartState) -> bool:
        try:
            return question(self._context, state.since)
        except Exception as error:  # noqa: BLE001 - a question that goes wrong must not bring down what it asks about
            state.note = f"its health is not known: {error!r}"
            return False

    def _is_hung(self, part: Part, state: PartState) -> bool:
        """Whether the part has been hung at every question of the last minute."""
        now = time.monotonic()
        if part.hung is never or now < self._ask_next.get(part.name, 0.0):
            return False
        self._ask_next[part.name] = now + self._hung_seconds / 12
        if not self._ask(part.hung, state):
            self._hung_since.pop(part.name, None)
            return False
        return now - self._hung_since.setdefault(part.name, now) >= self._hung_seconds

    def _is_late(self, part: Part) -> bool:
        """Whether the part's start takes too long; that of the whole lab is another question."""
        late = time.monotonic() - self._started[part.name] > self._startup_seconds
        return late and self._state.phase == "ready"

    def _end(self, part: Part, state: PartState, reason: str) -> None:
        """End a part that is of no use as it is; it is started again as one that died."""
        self._hung_since.pop(part.name, None)
        process = self._running.pop(part.name, None)
        if process is not None and state.process is not None:
            processes.end([state.process], first=part.stop, grace=part.grace, tick=process.poll)
        self._retire(part, state)
        self._died(part, state, reason)

    def _check_startup(self) -> None:
        waited = [state for state in self._state.parts if self._parts[state.name].ready]
        missing = [state.name for state in waited if state.phase not in ("healthy", "done")]
        if not missing:
            self._state.phase = "ready"
            self._tell("ready")
        elif time.monotonic() - self._begun > self._startup_seconds:
            raise NotRunningError(
                f"The lab was not ready within {self._startup_seconds:g} s; still missing: {', '.join(missing)}.\n"
                f"Look at: ./lab logs {missing[0]}"
            )

    def _collect(self, part: Part, state: PartState) -> None:
        """Notice that a part has ended."""
        process = self._running.get(part.name)
        code = process.poll() if process else None
        if process is None or code is None:
            return
        del self._running[part.name]
        if part.once and code == 0:
            self._enter(state, "done", "is done")
            return
        self._retire(part, state)
        self._died(part, state, _reason(code))

    def _died(self, part: Part, state: PartState, reason: str) -> None:
        if state.phase == "healthy" and time.time() - state.since > _PROVEN_SECONDS:
            state.restarts = 0
        if part.once or (self._state.phase == "starting" and state.restarts + 1 >= _STARTUP_TRIES):
            self._enter(state, "failed", reason)
            raise NotRunningError(f"{part.name} {reason}.\n{self._last_lines(part)}\nAll of it: ./lab logs {part.name}")
        pause = min(_LONGEST_PAUSE, 0.5 * 2.0**state.restarts)
        state.restarts += 1
        self._again[part.name] = time.monotonic() + pause
        self._enter(state, "restarting", f"{reason}; starting it again in {pause:g} s")

    def _retire(self, part: Part, state: PartState) -> None:
        """End what a dead part left behind, before a new one takes its place."""
        if state.process is not None:
            processes.end([state.process], first=part.stop, grace=0.0)
            self._state.past.append((state.process.pid, state.process.created))
        state.pid = state.created = None

    def _switch(self, part: Part, state: PartState) -> None:
        wanted = (self._context.layout.switches / part.name).exists()
        if wanted and state.phase in ("off", "stopped"):
            state.phase = "waiting"
        elif not wanted and state.phase not in ("off", "stopped"):
            process = self._running.pop(part.name, None)
            if process is not None and state.process is not None:
                processes.end([state.process], first=part.stop, grace=part.grace, tick=process.poll)
            self._retire(part, state)
            self._enter(state, "off", "is switched off")

    def _may_start(self, part: Part) -> bool:
        phases = {state.name: state.phase for state in self._state.parts}
        met = all(phases[name] in ("healthy", "done") for name in part.after)
        if part.forked and self._nursery is not None and self._nursery.alive() and not self._nursery.ready():
            return False
        return met and time.monotonic() >= self._again.get(part.name, 0.0)

    def _start(self, part: Part, state: PartState) -> None:
        self._started[part.name] = time.monotonic()
        forked = self._fork(part) if part.forked else None
        self._running[part.name] = process = forked or self._execute(part)
        identity = ProcessId.of(process.pid)
        state.pid, state.created = (identity.pid, identity.created) if identity else (None, None)
        self._enter(state, "starting", "is starting")

    def _fork(self, part: Part) -> Child | None:
        """A child of the nursery; None when there is no nursery to ask, or no longer."""
        if self._nursery is None or not self._nursery.alive():
            return None
        try:
            return self._nursery.spawn(part.command[2:], self._log(part))
        except OSError:
            return None

    def _execute(self, part: Part) -> subprocess.Popen[bytes]:
        with self._log(part).open("ab") as log:
            return subprocess.Popen(
                part.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._context.layout.root,
                env=self._context.environment(),
                start_new_session=True,
            )

    def _log(self, part: Part) -> Path:
        return self._context.layout.logs / f"{part.name}.log"

    def _end_all(self) -> None:
        """Stop Airflow's parts together, then what they stand on; whatever is left of them is killed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        failed = self._state.phase == "failed"
        if not failed:
            self._state.phase = "stopping"
        self._tell_who_listens("stopping")
        standing = ("postgres", "valkey")
        for group in ([n for n in self._parts if n not in standing], standing):
            states = [state for state in self._state.parts if state.name in group and state.process]
            for stop in {self._parts[state.name].stop for state in states}:
                self._signal(stop, [state for state in states if self._parts[state.name].stop == stop])
            leaders = [state.process for state in states if state.process]
            grace = max((self._parts[state.name].grace for state in states), default=0.0)
            processes.end(leaders, first=signal.SIGCONT, grace=grace, tick=self._poll)
            for state in states:
                state.phase, state.pid, state.created = "stopped", None, None
        processes.end(self._state.sessions(), grace=0.0, tick=self._poll)
        self._state.past.clear()
        if not failed:
            self._state.phase = "stopped"
        self._tell_who_listens("stopped")

    def _signal(self, number: signal.Signals, states: list[PartState]) -> None:
        for state in states:
            if state.process and state.process.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(state.process.pid, number)

    def _poll(self) -> None:
        for process in self._running.values():
            process.poll()
        if self._nursery is not None:
            self._nursery.process.poll()
        processes.reap()

    def _enter(self, state: PartState, phase: PartPhase, news: str) -> None:
        state.phase, state.since, state.note = phase, time.time(), news
        self._tell(f"{state.name} {news}")

    def _tell(self, news: str) -> None:
        self._state.save(self._context.layout)
        self._watch(self._state, news)

    def _tell_who_listens(self, news: str) -> None:
        """Tell while ending, which a full disk, a closed terminal or a pipe that nobody reads must not prevent."""
        with contextlib.suppress(Exception):
            self._state.save(self._context.layout)
        # Where rich prints into a pipe that nobody reads, it ends the process.
        with contextlib.suppress(Exception, SystemExit):
            self._watch(self._state, news)

    def _last_lines(self, part: Part, count: int = 8) -> str:
        with contextlib.suppress(OSError):
            lines = self._log(part).read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
            return "\n".join(f"  {line}" for line in lines)
        return "  (its log is empty)"


def _reason(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def forget_switches(context: Context) -> None:
    """Forget what an earlier lab was asked to switch on."""
    context.layout.switches.mkdir(parents=True, exist_ok=True)
    for switch in context.layout.switches.iterdir():
        switch.unlink()
