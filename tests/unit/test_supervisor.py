"""The supervisor with small processes in place of Airflow's: order, restarts, switches, stops."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.lab import wait_until

from backpressure_lab.errors import NotRunningError
from backpressure_lab.files import write_json
from backpressure_lab.stack import health, processes
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.parts import Part
from backpressure_lab.stack.secrets import Secrets
from backpressure_lab.stack.settings import Ports
from backpressure_lab.stack.state import LabState, sign, signed_by
from backpressure_lab.stack.supervisor import Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
FORKS = [sys.executable, "-c", "import os, time; os.fork() and os.fork(); time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A lab in a folder of its own; no part of it needs its ports or secrets."""
    layout = Layout.of(root=tmp_path, home=tmp_path / "lab")
    return Context(layout, Secrets.generate(), Ports(1, 2, 3, 4), light=True)


class Watched:
    """Runs a supervisor in the main thread and acts on its news."""

    def __init__(self, context: Context, parts: list[Part], **settings: float) -> None:
        self.news: list[str] = []
        self.pids: dict[str, int] = {}
        self.on: dict[str, Callable[[LabState], None]] = {}
        self.supervisor = Supervisor(context, parts, self._hear, **settings)

    def _hear(self, state: LabState, news: str) -> None:
        self.news.append(news)
        self.pids |= {part.name: part.pid for part in state.parts if part.pid}
        act = self.on.pop(news, None)
        if act is not None:
            act(state)

    def run(self, until: str, seconds: float = 20) -> signal.Signals | None:
        """Run until the news comes, then ask it to stop as a terminal would."""
        self.on[until] = lambda _state: signal.raise_signal(signal.SIGINT)
        watchdog = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
        watchdog.start()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            return self.supervisor.run()
        finally:
            watchdog.cancel()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if sys.platform == "linux":
                # Or later tests' orphans come to this process, and stay as zombies.
                ctypes.CDLL(None).prctl(processes._PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_parts_start_in_order_and_all_end(context: Context) -> None:
    """A part starts when those before it are healthy; a stop ends every process, forked ones too."""
    parts = [
        Part("second", FORKS, health.alive, after=("first", "once")),
        Part("first", SLEEP, health.alive),
        Part("once", _python("pass"), after=("first",), once=True),
    ]
    watched = Watched(context, parts)
    assert watched.run(until="ready") is signal.SIGINT
    order = [watched.news.index(line) for line in ("first is healthy", "once is done", "second is starting")]
    assert order == sorted(order)
    assert not any(psutil.pid_exists(pid) for pid in watched.pids.values())
    assert watched.supervisor.state.phase == "stopped"


@pytest.mark.slow
def test_a_part_that_dies_is_started_again_after_a_pause(context: Context) -> None:
    """The death is told with its signal, the successor has another process, and the count is kept."""
    watched = Watched(context, [Part("part", FORKS, health.alive)])
    first: list[int] = []

    def kill(state: LabState) -> None:
        first.append(state.parts[0].pid or 0)
        os.kill(first[0], signal.SIGKILL)
        watched.on["part is healthy"] = lambda _state: signal.raise_signal(signal.SIGTERM)

    watched.on["ready"] = kill
    assert watched.run(until="never") is signal.SIGTERM
    assert "part ended by SIGKILL; starting it again in 0.5 s" in watched.news
    assert watched.pids["part"] != first[0]
    assert processes.family([processes.ProcessId(first[0], 0.0)]) == []


@pytest.mark.slow
def test_a_part_that_cannot_start_ends_the_lab(context: Context) -> None:
    """After three tries the start is given up with the part's own last words, and nothing is left running."""
    parts = [Part("good", SLEEP, health.alive), Part("bad", _python("print('no such luck'); raise SystemExit(7)"))]
    watched = Watched(context, parts)
    with pytest.raises(NotRunningError, match=r"bad ended with exit code 7.\n(?s:.*)no such luck(?s:.*)./lab logs bad"):
        watched.run(until="never")
    assert watched.news.count("bad is starting") == 3
    assert not psutil.pid_exists(watched.pids["good"])


@pytest.mark.slow
def test_a_stubborn_part_is_killed(context: Context) -> None:
    """A part that ignores SIGTERM is gone when its grace is over."""
    watched = Watched(context, [Part("stubborn", STUBBORN, health.alive, grace=0.5)])
    watched.run(until="ready")
    assert not psutil.pid_exists(watched.pids["stubborn"])


def _exit(_state: LabState, _news: str) -> None:
    """What rich does where nobody reads the pipe any more."""
    raise SystemExit(1)


def _closed(_state: LabState, _news: str) -> None:
    """A terminal that is gone."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _full(*_: object) -> None:
    """A disk without room for the state."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fault", [_exit, _closed, _full])
def test_what_cannot_be_told_does_not_keep_parts_running(
    context: Context, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
) -> None:
    """Asked to stop, with a broken pipe, a closed terminal or a full disk, it still ends everything."""
    watched = Watched(context, [Part("part", FORKS, health.alive)])

    def break_and_stop(_state: LabState) -> None:
        if fault is _full:
            monkeypatch.setattr(LabState, "save", fault)
        else:
            watched.supervisor._watch = fault
        signal.raise_signal(signal.SIGINT)

    watched.on["ready"] = break_and_stop
    leader = watched.pids
    assert watched.run(until="never") is signal.SIGINT
    assert not psutil.pid_exists(leader["part"])
    assert processes.family([processes.ProcessId(leader["part"], 0.0)]) == []


def test_news_that_cannot_be_told_end_the_lab_and_all_its_parts(context: Context) -> None:
    """In the middle of a start, too: the fault is passed on when nothing runs any more."""
    watched = Watched(context, [Part("first", SLEEP, health.alive), Part("second", SLEEP, health.alive)])

    def break_pipe(_state: LabState) -> None:
        watched.supervisor._watch = _exit

    watched.on["first is healthy"] = break_pipe
    with pytest.raises(SystemExit):
        watched.run(until="never")
    assert watched.pids
    assert not any(psutil.pid_exists(pid) for pid in watched.pids.values())


def test_an_optional_part_runs_while_its_switch_is_set(context: Context) -> None:
    """Setting the switch starts the part, removing it ends the part."""
    parts = [Part("base", SLEEP, health.alive), Part("extra", SLEEP, health.alive, optional=True, ready=False)]
    watched = Watched(context, parts)
    switch = context.layout.switches / "extra"
    watched.on["ready"] = lambda _state: switch.touch()
    watched.on["extra is healthy"] = lambda _state: switch.unlink()
    watched.run(until="extra is switched off")
    assert not psutil.pid_exists(watched.pids["extra"])


def test_the_state_can_be_read_by_others_at_any_time(context: Context) -> None:
    """What is written is what the supervisor knows, and survives a round trip."""
    watched = Watched(context, [Part("part", SLEEP, health.alive)])
    seen: list[LabState | None] = []
    watched.on["part is healthy"] = lambda _state: seen.append(LabState.load(context.layout))
    watched.run(until="ready")
    assert seen[0] is not None
    assert seen[0].phase == "starting"
    assert [(part.name, part.phase) for part in seen[0].parts] == [("part", "healthy")]


def _earlier(identity: processes.ProcessId) -> processes.ProcessId:
    """A process of the same number that began before."""
    if isinstance(identity.created, float):
        return processes.ProcessId(identity.pid, identity.created - 100)
    boot, ticks = identity.created.split(":")
    return processes.ProcessId(identity.pid, f"{boot}:{int(ticks) - 100}")


@pytest.fixture
def session() -> Iterator[processes.ProcessId]:
    """The leader of a session, with children in it."""
    with subprocess.Popen(FORKS, start_new_session=True) as process:
        found = processes.ProcessId.of(process.pid)
        assert found
        wait_until(lambda: len(psutil.Process(process.pid).children(recursive=True)) == 2, 20, "it has forked")
        yield found
        os.killpg(process.pid, signal.SIGKILL)


def _by_the_wall_clock(identity: processes.ProcessId) -> processes.ProcessId:
    """As an earlier version wrote it down."""
    return processes.ProcessId(identity.pid, psutil.Process(identity.pid).create_time())


@pytest.mark.parametrize("written", [lambda identity: identity, _by_the_wall_clock], ids=["now", "before"])
def test_a_number_that_was_given_away_names_nobody(
    session: processes.ProcessId, written: Callable[[processes.ProcessId], processes.ProcessId]
) -> None:
    """Neither the process that has the number now nor what it has started is ours to end; a real leader's family is."""
    leader = written(session)
    assert leader.alive()
    assert session.pid in {process.pid for process in processes.family([leader])}
    assert len(processes.family([leader])) == 3
    stale = _earlier(leader)
    assert not stale.alive()
    assert processes.family([stale]) == []
    assert processes.end([stale], first=signal.SIGKILL, grace=0.0) == 0
    assert len(processes.family([leader])) == 3


def test_a_leader_that_has_ended_still_names_its_session(session: processes.ProcessId) -> None:
    """Collected or not, it leaves its children to us; processes that were there before it are none of them."""
    os.kill(session.pid, signal.SIGKILL)
    wait_until(lambda: not session.alive(), 20, "the leader is a zombie")
    assert session.exists()
    assert len(processes.family([session])) == 2
    os.waitpid(session.pid, 0)
    assert not session.exists()
    assert len(processes.family([session])) == 2
    later = processes.ProcessId(session.pid, time.time() + 100)
    assert processes.family([later]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells no other time than the wall clock's")
def test_a_clock_that_is_set_changes_nobodys_identity(
    session: processes.ProcessId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All times of start that are told by the wall clock move with it, as btime of /proc/stat does."""
    told = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: told(process) + 3600)
    assert session.alive()
    assert processes.ProcessId.of(session.pid) == session
    assert len(processes.family([session])) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the boot is not told")
def test_nothing_of_an_earlier_boot_is_there(session: processes.ProcessId) -> None:
    """The same number and the same ticks after a restart of the machine are another process."""
    assert isinstance(session.created, str)
    before = processes.ProcessId(session.pid, f"another-boot:{session.created.split(':')[1]}")
    assert not before.alive()
    assert processes.family([before]) == []
    os.kill(session.pid, signal.SIGKILL)
    os.waitpid(session.pid, 0)
    assert processes.family([before]) == []


def test_a_state_that_an_earlier_version_wrote_is_read(context: Context) -> None:
    """With times of the wall clock, for a lab that was running while this checkout was updated."""
    me = _by_the_wall_clock(processes.ProcessId(os.getpid(), 0.0))
    part = {"name": "part", "phase": "healthy", "pid": me.pid, "created": me.created}
    state = {"phase": "ready", "pid": me.pid, "created": me.created, "url": "", "light": True, "started": 0.0}
    write_json(context.layout.state_file, state | {"parts": [part], "past": [[me.pid, me.created]]})
    found = LabState.load(context.layout)
    assert found
    assert found.supervisor.alive()
    assert found.sessions() == [me, me]
    write_json(context.layout.lock_file, [me.pid, me.created])
    assert signed_by(context.layout) == me
    sign(context.layout)
    assert signed_by(context.layout) == processes.ProcessId.of(os.getpid())


@pytest.mark.slow
def test_a_part_that_lives_and_does_nothing_is_started_again(context: Context) -> None:
    """Hung at every question for so long, it is ended and started as one that died; one that recovers is left alone."""
    asked = {"sick": 0, "dazed": 0}

    def hung(name: str, times: int) -> Callable[[Context, float], bool]:
        def ask(_context: Context, _since: float) -> bool:
            asked[name] += 1
            return asked[name] <= times

        return ask

    parts = [
        Part("dazed", SLEEP, health.alive, hung("dazed", 2)),
        Part("sick", STUBBORN, health.alive, hung("sick", 12), grace=0.2),
    ]
    watched = Watched(context, parts, hung_seconds=0.5)
    news = "sick did nothing for 0.5 s and was ended; starting it again in 0.5 s"
    watched.on[news] = lambda _state: watched.on.update(
        {"sick is healthy": lambda _: signal.raise_signal(signal.SIGINT)}
    )
    assert watched.run(until="never") == signal.SIGINT
    assert [line for line in watched.news if "did nothing" in line] == [news]
    assert not any(psutil.pid_exists(pid) for pid in watched.pids.values())


@pytest.mark.slow
def test_a_part_that_does_not_get_healthy_again_is_started_again(context: Context) -> None:
    """Once the lab is ready, a start that takes too long is ended, and its log is named; the next one may do better."""
    asked: list[float] = []

    def healthy(_context: Context, since: float) -> bool:
        asked.append(since)
        return list(dict.fromkeys(asked)).index(since) != 1  # every start but the second

    watched = Watched(context, [Part("part", FORKS, healthy)])

    def kill(state: LabState) -> None:
        watched.supervisor._startup_seconds = 0.5
        os.kill(state.parts[0].pid or 0, signal.SIGKILL)

    watched.on["ready"] = kill
    news = "part was not healthy within 0.5 s (./lab logs part) and was ended; starting it again in 1 s"
    watched.on[news] = lambda _state: watched.on.update(
        {"part is healthy": lambda _: signal.raise_signal(signal.SIGINT)}
    )
    assert watched.run(until="never") == signal.SIGINT
    assert [line for line in watched.news if "not healthy" in line] == [news]
    assert not any(psutil.pid_exists(pid) for pid in watched.pids.values())
