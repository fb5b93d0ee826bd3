"""The native cluster's processes end with the test run, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.lab import wait_until

from backpressure_lab.stack.processes import ProcessId

TESTS = Path(__file__).parents[1]
# Like a scheduler whose executor keeps idle processes; they heed no signal, and one has a session of its own.
_SERVICE = textwrap.dedent(
    """
    import os, signal

    def say():
        with open("pids", "a") as pids:
            pids.write(f"{os.getpid()}\\n")

    say()
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not os.fork():
            os.setsid()
        say()
    signal.pause()
    """
)
_RUN = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from support.native_cluster import NativeCluster

    cluster = NativeCluster(Path(sys.argv[1]))
    cluster.services["idle"] = {"command": [sys.executable, "-c", sys.argv[2]]}
    cluster.launch("idle")
    sys.stdin.read()
    cluster.close()
    """
)


def _service(home: Path) -> list[ProcessId]:
    """The service's three processes, the first one first, once all are there."""
    path = home / "pids"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 3, 20, "the service has forked")
    found = [ProcessId.of(int(pid)) for pid in path.read_text().split()]
    assert all(found)
    return [one for one in found if one]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "killed", "killed after its service"])
def test_no_process_outlives_the_test_run(tmp_path: Path, how: str) -> None:
    """A service and what it has forked end, also when the run is killed, and when the service was killed before."""
    words = [sys.executable, "-c", _RUN, str(tmp_path), _SERVICE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(TESTS)}) as run:
        service = _service(tmp_path)
        try:
            if how == "killed after its service":
                os.kill(service[0].pid, signal.SIGKILL)
                wait_until(lambda: not service[0].alive(), 20, "the service's first process is gone")
                assert all(one.alive() for one in service[1:]), "what it forked would stay"
            if how != "closed":
                run.kill()
            assert run.stdin
            run.stdin.close()
            wait_until(lambda: not any(one.alive() for one in service), 30, "all of the service's processes are gone")
        finally:
            for one in service:
                if one.alive():
                    os.kill(one.pid, signal.SIGKILL)
