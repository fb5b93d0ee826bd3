"""Imports Airflow once and forks its components from there: a start costs one import instead of four.

``python -m backpressure_lab.stack.nursery`` reads requests from standard input and answers on standard output, a JSON
object a line. Each child leads a session of its own. ``Nursery`` is the supervisor's side of it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

from backpressure_lab.stack.processes import ProcessId

PRELOADED = (
    "airflow.utils.db",
    "airflow.executors.local_executor",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.triggerer_command",
    "backpressure_lab.stack.database",
    # What Airflow itself imports to find a file's dependencies on other DAGs, at every parse.
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "backpressure_lab.stack.warm",
)


def supported() -> bool:
    """Whether children may be forked from a process that has imported so much: macOS's own libraries forbid it."""
    return sys.platform == "linux"


class Child:
    """A process that the nursery has forked; the part of ``subprocess.Popen`` that the supervisor needs."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self._identity = ProcessId.of(pid)
        self.pid = pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        code = self._nursery.ended(self.pid)
        if code is None and not self._nursery.alive() and not (self._identity and self._identity.alive()):
            return 1  # nobody was there to collect how it ended
        return code


class Nursery:
    """The supervisor's side: starts the nursery process and asks it for children."""

    def __init__(self, env: dict[str, str], cwd: Path, log: Path) -> None:
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backpressure_lab.stack.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
        self._ended: dict[int, int] = {}
        self._answers: list[dict[str, Any]] = []
        self._rest = b""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def ready(self) -> bool:
        """Whether it has imported everything."""
        self._listen()
        return any(answer.get("ready") for answer in self._answers)

    def spawn(self, command: list[str], log: Path) -> Child:
        """Fork a child that becomes ``python -m`` the command.

        Raises:
            OSError: the nursery is gone.
        """
        assert self.process.stdin is not None
        before = len(self._forked())
        self.process.stdin.write(json.dumps({"command": command, "log": str(log)}).encode() + b"\n")
        self.process.stdin.flush()
        while len(self._forked()) == before:
            if not self.alive():
                raise OSError("the nursery is gone")
            self._listen(0.05)
        return Child(self, self._forked()[-1])

    def ended(self, pid: int) -> int | None:
        """How a child ended; None while it runs."""
        self._listen()
        return self._ended.get(pid)

    def _forked(self) -> list[int]:
        return [int(answer["pid"]) for answer in self._answers if "pid" in answer]

    def _listen(self, seconds: float = 0.0) -> None:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return
        *lines, self._rest = (self._rest + (os.read(self.process.stdout.fileno(), 65536) or b"")).split(b"\n")
        for answer in map(json.loads, lines):
            self._answers.append(answer)
            if "ended" in answer:
                self._ended[answer["ended"]] = answer["code"]


def _become(command: list[str], log: str) -> None:
    """Turn this fresh child into ``python -m`` the command, with its output in the log."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    silence = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, silence), (1, output), (2, output)):
        os.dup2(source, target)
    module, *sys.argv[1:] = command
    sys.argv[0] = module
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle  # noqa: PLC0415 - a dependency of Airflow, not of ours

        setproctitle(" ".join(["python -m", *command]))
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the last frame of a child: whatever it was goes to the log
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            import atexit  # noqa: PLC0415 - only a child that ends needs it

            atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not run them, and a fork must not run its parent's
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Import, then serve requests until the supervisor closes the pipe."""
    answers = os.dup(1)
    os.dup2(2, 1)

    def say(**answer: object) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    for name in PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()
    say(ready=True)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        rest = b""
        while True:
            if selector.select(0.1):
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for request in map(json.loads, lines):
                    pid = os.fork()
                    if pid == 0:
                        os.close(answers)
                        _become(request["command"], request["log"])
                    say(pid=pid)
            with contextlib.suppress(ChildProcessError):
                while True:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    say(ended=pid, code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
