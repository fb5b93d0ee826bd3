"""Code that wants out of a cell, or wants all of the machine: what it gets, and that nothing outside notices."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import backpressure
import pytest

from backpressure_lab import manifest
from backpressure_lab.sandbox import cell, seccomp, trial, warden
from backpressure_lab.sandbox.channel import Channel, ChannelError, LateError
from backpressure_lab.sandbox.warden import Cell, EndedError

ROOT = manifest.load().root
SOLUTION = ROOT / "exercises/14_1_pool_configuration/solution.py"
CHECK = SOLUTION.with_name("check.py")
PACKAGE = Path(backpressure.__file__ or "")
# The kernel's number: not every C library has the function.
MQ_OPEN = 180 if platform.machine() == "aarch64" else 240
# With the smallest stacks there are: memory alone has room for tens of thousands.
THREADS = """
import threading
threading.stack_size(32768)
gate = threading.Event()
found = 0
while found < {most}:
    try: threading.Thread(target=gate.wait, daemon=True).start()
    except RuntimeError: break
    found += 1
"""
KERNEL = """
import ctypes
kernel = ctypes.CDLL(None, use_errno=True)
if kernel.{call} < 0: raise OSError(ctypes.get_errno(), "refused")
"""


@pytest.fixture(autouse=True, scope="module")
def sandbox() -> None:
    """A machine that allows no sandbox cannot show that it holds; says why."""
    why = warden.missing()
    if why:
        pytest.skip(why)


def tried(code: str, deadline: float = 120.0, **order: int) -> dict[str, Any]:
    """What came of a piece of code in a cell; nobody waits for the deadline but who tries it."""
    with Cell(trial.__name__ + ":run", {"code": code, **order}, deadline) as cell:
        return cell.receive()


OUT = {
    "forks": ("import os\nos.fork()", "PermissionError"),
    "forks without Python": (KERNEL.format(call="fork()"), "PermissionError"),
    "runs a program": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'])", "PermissionError"),
    "becomes a program": ("import os\nos.execv('/bin/sh', ['sh'])", "PermissionError"),
    "mounts": (KERNEL.format(call="mount(b'x', b'/tmp', b'tmpfs', 0, b'')"), "PermissionError"),
    "makes a namespace": (KERNEL.format(call="unshare(0x10000000)"), "PermissionError"),
    "traces": (KERNEL.format(call="ptrace(16, 1, 0, 0)"), "PermissionError"),
    "becomes root": ("import os\nos.setuid(0)", "PermissionError"),
    "changes its root": ("import os\nos.chroot('/tmp')", "PermissionError"),
    "lifts a limit": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "ValueError",
    ),
    "opens a connection": ("import socket\nsocket.create_connection(('127.0.0.1', 8080), 2)", "PermissionError"),
    "opens a socket of the machine": ("import socket\nsocket.socket(socket.AF_UNIX)", "PermissionError"),
    "edits the package": (f"open({str(PACKAGE)!r}, 'w')", "OSError"),
    "edits the check": (f"open({str(CHECK)!r}, 'w')", "FileNotFoundError"),
    "reads the solution": (f"open({str(SOLUTION)!r})", "FileNotFoundError"),
    "reads what git knows": (f"import os\nos.listdir({str(ROOT / '.git')!r})", "FileNotFoundError"),
    "reads the lab's secrets": (f"open({str(ROOT / '.lab/secrets.json')!r})", "FileNotFoundError"),
    "reads another's environment": ("open('/proc/1/environ')", "FileNotFoundError"),
    "reads the disk": ("open('/dev/vda')", "FileNotFoundError"),
    "makes a device": (
        "import os\nos.mknod('/tmp/m', 0o60600, os.makedev(8, 0))",
        "PermissionError",
    ),
    "makes a program root's": ("import os\nopen('/tmp/x', 'w')\nos.chown('/tmp/x', 0, 0)", "PermissionError"),
    "takes all memory": ("held = bytearray(8 << 30)", "MemoryError"),
    "takes memory bit by bit": ("held = []\nwhile True: held.append(bytearray(1 << 24))", "MemoryError"),
    "takes memory in threads": (
        (
            "import threading\ngate = threading.Event()\n"
            "while True: threading.Thread(target=gate.wait, daemon=True).start()"
        ),
        "RuntimeError",
    ),
    "takes memory that is no process's": (KERNEL.format(call="shmget(0, 1 << 20, 0o1600)"), "PermissionError"),
    "takes somebody's memory": (KERNEL.format(call="shmat(0, 0, 0)"), "PermissionError"),
    "takes a file of memory": ("import os\nos.memfd_create('x')", "PermissionError"),
    "makes a queue": (KERNEL.format(call="msgget(0, 0o1600)"), "PermissionError"),
    "makes a queue with a name": (
        KERNEL.format(call=f"syscall({MQ_OPEN}, b'x', 0o102, 0o600, None)"),
        "PermissionError",
    ),
    "makes semaphores": (KERNEL.format(call="semget(0, 1000, 0o1600)"), "PermissionError"),
    "writes a huge file": ("open('/tmp/x', 'wb').write(bytes(1 << 21))", "OSError"),
    "fills the disk": ("for n in range(10**6): open(f'/tmp/{n}', 'wb').write(bytes(1 << 19))", "OSError"),
    "makes files without end": ("for n in range(10**6): open(f'/tmp/{n}', 'wb').close()", "OSError"),
    "opens files without end": ("held = [open('/dev/null') for _ in range(1000)]", "OSError"),
}


@pytest.mark.parametrize(("code", "raised"), OUT.values(), ids=OUT)
def test_there_is_no_way_out(code: str, raised: str) -> None:
    """Each is refused by the kernel, or there is nothing where it looks."""
    assert tried(code).get("raised") == raised


def test_threads_are_bounded_whatever_their_stacks() -> None:
    """As many as a file may well use, and far from so many that the machine could start nothing else."""
    assert 64 < tried(THREADS.format(most=10_000))["found"] < cell.THREADS


def test_no_cell_takes_the_threads_of_another() -> None:
    """While one has all that it may have, the next has as many."""
    greedy = THREADS.format(most=10_000) + "\nchannel.send({'found': found})\ngate.wait()"
    with Cell(trial.__name__ + ":run", {"code": greedy}, 120.0) as first:
        held = first.receive()["found"]
        assert tried(THREADS.format(most=10_000))["found"] == held


def test_numbers_and_threads_work_in_a_cell() -> None:
    """Libraries that start threads, or ask for memory in their own ways, are none the worse for the limits."""
    # A matrix product takes some 30 MB of its own while it lasts: eight at once have room, however they are scheduled.
    code = """
import numpy, threading
from concurrent.futures import ThreadPoolExecutor
meet = threading.Barrier(32)
with ThreadPoolExecutor(32) as pool:
    list(pool.map(lambda n: meet.wait(), range(32)))
with ThreadPoolExecutor(8) as pool:
    found = float(sum(pool.map(lambda n: (numpy.ones((200, 200)) @ numpy.ones((200, 200)))[0, 0], range(64))))
"""
    assert tried(code) == {"found": 64 * 200.0}


ENDS = {
    "ends": ("import os\nos._exit(3)", "exit code 3"),
    "kills itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "signal 11"),
    "says what is no message": ("channel._end.sendall(b'x' * (1 << 21))", "exit code|message|JSON"),
    "says a list": ("channel._end.sendall(b'[1]\\n')", "exit code|message|JSON"),
    "says too much at once": ("channel._end.sendall(b'[' * 500_000 + b'\\n')", "exit code|message|JSON"),
}


@pytest.mark.parametrize(("code", "how"), ENDS.values(), ids=ENDS)
def test_whatever_it_does_to_itself_is_told(code: str, how: str) -> None:
    """Its warden goes on, and can say how it ended."""
    with pytest.raises(EndedError, match=how):
        tried(code)


def test_kills_reach_nobody() -> None:
    """Not its warden, nor a process of the same user outside."""
    heard = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: heard.set())
    try:
        tried("import os\nfor n in (1, -1, os.getppid()):\n    try: os.kill(n, 15)\n    except OSError: pass")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not heard.is_set()


def test_nothing_of_ours_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, no file, no process; it is not root, and knows no name of the machine's."""
    monkeypatch.setenv("LAB_PASSWORD", "made up")
    with Path(__file__).open() as ours:
        os.set_inheritable(ours.fileno(), True)  # noqa: FBT003 - its only parameter
        code = """
import os
def there(n):
    try: os.fstat(n)
    except OSError: return False
    return True
found = [sorted(os.environ), [n for n in range(3, 60) if there(n)], os.getpid(), os.getuid() == 0]
"""
        names, handles, pid, root = tried(code)["found"]
    assert "LAB_PASSWORD" not in names
    assert len(handles) == 1  # its channel
    assert (pid < 10, root) == (True, False)


@pytest.mark.slow
def test_a_loop_is_ended_by_the_time_that_it_uses() -> None:
    """So many seconds of a processor, however busy that is; who ignores being told so gets one more."""
    with pytest.raises(EndedError) as ended:
        tried("while True: pass", seconds=1)
    assert ended.value.out_of_time
    with pytest.raises(EndedError, match="signal 9"):
        tried("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", seconds=1)


def test_who_waits_is_ended_by_the_clock() -> None:
    """With all that it has started."""
    with pytest.raises(LateError):
        tried("import threading\nthreading.Event().wait()", deadline=0.5)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    assert not [one for one in children if b"sandbox.cell" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_two_cells_do_not_see_each_other() -> None:
    """What one writes is not there for the other."""
    assert tried("open('/tmp/mine', 'w').close()\nimport os\nfound = os.path.exists('/tmp/mine')") == {"found": True}
    assert tried("import os\nfound = os.path.exists('/tmp/mine')") == {"found": False}


def test_the_filter_is_known_here() -> None:
    """Its program ends every path with a verdict, and is of whole instructions."""
    for machine in ("x86_64", "aarch64"):
        assert len(seccomp.program(machine)) % 8 == 0
    assert seccomp.known() == (platform.machine() in ("x86_64", "aarch64"))


def test_a_channel_takes_only_messages() -> None:
    """What is too large, no JSON, or no object is an error and not read any further."""
    for data in (b"\xff\n", b"[1]\n", b"nothing\n", b"{" * 100_000 + b"\n", b""):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(ChannelError):
                Channel(ours).receive()


def test_an_ordinary_user_has_walls_too(tmp_path: Path) -> None:
    """By a user namespace; nobody's process is told by the same trial whether they hold."""
    if os.geteuid() != 0:
        pytest.skip("this user is an ordinary one: every test here shows it")
    python = next((path for path in ("/usr/bin/python3", sys.executable) if _for_others(Path(path))), None)
    if python is None or not _for_others(PACKAGE):
        pytest.skip("other users cannot read this checkout, or no Python")
    tmp_path.chmod(0o777)
    code = "from backpressure_lab.sandbox import warden\nprint(warden.missing())"
    places = os.pathsep.join([str(PACKAGE.parents[1]), str(ROOT / "src")])
    done = subprocess.run(
        [python, "-B", "-c", code],
        env={"PYTHONPATH": places, "PATH": os.environ["PATH"]},
        cwd="/",
        user="nobody",
        group="nogroup",
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"


def _for_others(path: Path) -> bool:
    """Whether every user can read this."""
    whole = [path.resolve(), *path.resolve().parents]
    return path.exists() and all(place.stat().st_mode & (0o001 if place.is_dir() else 0o004) for place in whole)
