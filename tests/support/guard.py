"""Ends what a test run has started when that run is gone, also when it was killed with SIGKILL.

A process in a session of its own reads from a pipe who leads which session. The pipe ends with the last process that
holds its other end; then these sessions are ended, and whatever descends from their leaders. The kernel's own means, a
signal at a parent's death, reaches the leaders alone: what they have forked, such as an executor's idle processes,
outlives them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO

from backpressure_lab.stack import processes
from backpressure_lab.stack.processes import ProcessId

_ENDED_WITHIN = 30.0


class Guard:
    """The side of the test run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True)
        pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        self._pipe = pipe

    def enrol(self, pid: int | None = None) -> None:
        """Have a session ended with the test run: its leader says so, before it becomes anything else, or is named."""
        os.write(self._pipe.fileno(), f"{pid or os.getpid()}\n".encode())

    def close(self) -> None:
        """End what is left of the sessions now."""
        self._pipe.close()
        self._process.wait(timeout=_ENDED_WITHIN)


def main() -> None:
    """Listen until nobody is there any more, then end every session that was named."""
    leaders = [leader for line in sys.stdin.buffer if (leader := ProcessId.of(int(line)))]
    processes.end(leaders, first=signal.SIGKILL)


if __name__ == "__main__":
    main()
