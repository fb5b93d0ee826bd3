"""What the machine says of processes, asked about processes that these tests make."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backpressure.airflow import machine

MEBIBYTE = 1 << 20
PATIENCE = 60.0


@contextlib.contextmanager
def child(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs a program, prints a line when it is ready, and waits until it is told to go on."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def line(process: subprocess.Popen[str]) -> str:
    """What the process prints next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    """Let the process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def gone() -> int:
    """The number of a process that has ended."""
    with child("pass") as process:
        process.wait(timeout=PATIENCE)
    return process.pid


def test_a_childs_ancestors_begin_with_this_process() -> None:
    """The line goes from the parent upwards; without a number it is this process's own."""
    with child("input()") as process:
        assert machine.ancestors(process.pid) == [os.getpid(), *machine.ancestors()]


def test_a_tree_holds_the_process_and_all_below_it() -> None:
    """A grandchild is in the tree of its grandparent."""
    nested = (
        "import subprocess, sys\n"
        "one = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print(one.pid, flush=True)\n"
        "input()\n"
        "one.kill()\n"
    )
    with child(nested) as process:
        grandchild = int(line(process))
        assert machine.tree(process.pid) == [process.pid, grandchild]
        assert {process.pid, grandchild} <= set(machine.tree(os.getpid()))
        go_on(process)
        process.wait(timeout=PATIENCE)


def test_private_bytes_grow_by_what_a_process_takes() -> None:
    """Forty mebibytes that are written to are forty more of its own."""
    with child("print(flush=True); input(); kept = b'x' * (40 << 20); print(flush=True); input()") as process:
        line(process)
        before = machine.private_bytes(process.pid)
        go_on(process)
        line(process)
        after = machine.private_bytes(process.pid)
        assert before
        assert after
        assert 38 * MEBIBYTE < after - before < 44 * MEBIBYTE
        assert list(machine.memory([process.pid, gone()])) == [process.pid]


def test_what_a_fork_shares_is_not_private() -> None:
    """Pages that parent and child have in common belong to neither alone."""
    forked = (
        "import os\n"
        "kept = b'x' * (40 << 20)\n"
        "read, write = os.pipe()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    os.read(read, 1)\n"
        "    os._exit(0)\n"
        "print(pid, flush=True)\n"
        "input()\n"
        "os.write(write, b'.')\n"
        "os.wait()\n"
    )
    with child(forked) as process:
        forked_pid = int(line(process))
        sizes = machine.memory([process.pid, forked_pid])
        assert len(sizes) == 2
        assert max(sizes.values()) < 30 * MEBIBYTE
        go_on(process)
        process.wait(timeout=PATIENCE)


def test_processor_time_counts_children_that_have_ended() -> None:
    """Half a second that a child worked and was waited for is in its parent's time, and not in the parent's own."""
    working = (
        "import subprocess, sys\n"
        "work = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
        "input()\n"
        "subprocess.run([sys.executable, '-c', work])\n"
        "print(flush=True)\n"
        "input()\n"
    )
    with child(working) as process:
        before, own_before = machine.cpu_seconds(process.pid), machine.cpu_seconds(process.pid, own=True)
        go_on(process)
        line(process)
        after, own_after = machine.cpu_seconds(process.pid), machine.cpu_seconds(process.pid, own=True)
        assert before is not None
        assert after is not None
        assert own_before is not None
        assert own_after is not None
        assert after - before >= 0.45
        assert own_after - own_before < after - before - 0.3


def test_a_process_that_is_gone_has_nothing_to_read() -> None:
    """No error and no number: what is not there was not measured."""
    pid = gone()
    assert machine.ancestors(pid) == machine.tree(pid) == []
    assert machine.private_bytes(pid) is machine.cpu_seconds(pid) is machine.cpu_seconds(pid, own=True) is None


def test_the_busy_share_is_of_all_cores() -> None:
    """A share of two readings; without time between them there is none."""
    before, after = machine.Cores(0.0, busy=10.0, total=100.0), machine.Cores(5.0, busy=13.0, total=110.0)
    assert machine.busy_share(before, after) == pytest.approx(0.3)
    assert machine.busy_share(before, before) is None


def test_a_working_process_makes_the_cores_busier() -> None:
    """Reading the real counters: busy time grows at least by what a process works."""
    before = machine.cores()
    began = time.process_time()
    while time.process_time() - began < 0.3:
        pass
    after = machine.cores()
    assert after.at > before.at
    assert after.busy - before.busy >= 0.25
    assert after.total - before.total >= after.busy - before.busy
    assert 1 <= machine.count_cores() <= (os.cpu_count() or 1)


def test_a_portrait_is_of_a_process_and_what_it_started() -> None:
    """Children count, with their memory, unless they are left out together with their own."""
    working = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    family = f"""
import subprocess, sys
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
codes = ("print(flush=True); input()", {working!r})
idle, busy = (subprocess.Popen([sys.executable, "-c", code], **pipes) for code in codes)
idle.stdout.readline(), busy.stdout.readline()
print(busy.pid, flush=True)
input()
idle.communicate(bytes([10])), busy.communicate(bytes([10]))
"""
    with child(family) as parent:
        busy = int(line(parent))
        both, single = machine.portrait(parent.pid), machine.portrait(parent.pid, without=[busy])
        assert (both["processes"], single["processes"]) == (2, 1)
        assert both["children's memory"] > single["children's memory"] > 0
        assert both["memory"] > 1
        assert both["cpu"] - single["cpu"] > 0.2
        assert both["at"] <= single["at"]
        assert 0 < both["busy"] < both["total"]
        go_on(parent)
        parent.wait(timeout=PATIENCE)
    assert not {name for name, value in machine.portrait(gone()).items() if value} - {"at", "busy", "total"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
def test_beyond_its_allowance_a_process_is_refused_memory() -> None:
    """A quarter of it is granted, twice as much is not; afterwards it may have as much as before."""
    program = f"""
from backpressure.airflow.machine import allowance
try:
    with allowance(64 * {MEBIBYTE}):
        kept = bytes(16 * {MEBIBYTE})
        print("granted", flush=True)
        kept += bytes(128 * {MEBIBYTE})
except MemoryError:
    print("refused", len(bytes(128 * {MEBIBYTE})) // {MEBIBYTE}, flush=True)
"""
    with child(program) as process:
        assert [line(process), line(process)] == ["granted", "refused 128"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a lab whose supervisor has not written anything yet."""
    monkeypatch.setenv("BACKPRESSURE_LAB_HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "state.json"


def test_the_labs_parts_are_those_that_run(lab: Path) -> None:
    """A part that is off or gone is left out; a process is of the part that it descends from."""
    with child("input()") as process:
        pids = {"scheduler": os.getpid(), "worker-a": process.pid, "scheduler-2": None, "bootstrap": gone()}
        lab.write_text(json.dumps({"parts": [{"name": name, "pid": pid} for name, pid in pids.items()]}))
        assert machine.parts() == {"scheduler": os.getpid(), "worker-a": process.pid}
        assert machine.part_of(process.pid) == "worker-a"
        assert machine.part_of() == "scheduler"
        assert machine.part_of(os.getppid()) is None


@pytest.mark.parametrize("text", [None, "", "[]", '{"parts": [{}]}'])
def test_without_the_supervisors_word_no_part_is_known(lab: Path, text: str | None) -> None:
    """A missing or unreadable file is said to be one."""
    if text is not None:
        lab.write_text(text)
    with pytest.raises(LookupError, match=r"state\.json does not tell the lab's parts"):
        machine.parts()


def test_outside_a_lab_no_part_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another deployment the question cannot be answered, and that is said."""
    monkeypatch.delenv("BACKPRESSURE_LAB_HOME", raising=False)
    with pytest.raises(LookupError, match="only a lab's own tasks"):
        machine.parts()


def test_samples_tell_which_processes_a_monitor_looks_at() -> None:
    """All of a tree, unless some are named: then the others are sampled, and not metered."""
    with child("input()") as process:
        every, named = machine.below(os.getpid()), machine.below(os.getpid(), metered=[process.pid])
        assert {os.getpid(), process.pid} <= {one["pid"] for one in every}
        assert all(one["metered"] and one["bytes"] > 0 for one in every)
        assert [one["pid"] for one in named if one["metered"]] == [process.pid]
    assert machine.below(gone()) == []


def test_a_part_is_switched_by_a_file_of_the_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor looks for it beside its state; outside of a lab there is none to switch."""
    assert machine.switch("scheduler-2") == lab.parent / "switches" / "scheduler-2"
    monkeypatch.delenv("BACKPRESSURE_LAB_HOME")
    with pytest.raises(LookupError, match="switch"):
        machine.switch("scheduler-2")


def test_a_parts_log_is_read_line_by_line(lab: Path) -> None:
    """What is no text in it does no harm; a part that has none is said to have none."""
    (logs := lab.parent.parent / "logs").mkdir()
    (logs / "scheduler.log").write_bytes(b"one\n\xfftwo\n")
    assert machine.part_log("scheduler") == ["one", "\ufffdtwo"]
    with pytest.raises(LookupError, match=r"worker-a\.log is not there"):
        machine.part_log("worker-a")
