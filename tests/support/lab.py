"""A lab for tests, in a folder of its own, driven by the command that users type."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]


class Lab:
    """``./lab`` with a state folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "BACKPRESSURE_LAB_HOME": str(home), "NO_COLOR": "1"}

    def __call__(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [ROOT / "lab", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, its output in the state folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "foreground.log").open("wb") as log:
            return subprocess.Popen(
                [ROOT / "lab", *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def state(self) -> dict[str, Any]:
        """What the supervisor says of itself."""
        try:
            found: dict[str, Any] = json.loads((self.home / "run" / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"phase": "absent", "parts": []}
        return found

    def part(self, name: str) -> dict[str, Any]:
        """What the supervisor says of one part."""
        return next(part for part in self.state()["parts"] if part["name"] == name)

    def processes(self) -> list[psutil.Process]:
        """Every running process that belongs to this lab, by session, descent, environment or open folder."""
        leaders = {part["pid"] for part in self.state()["parts"] if part["pid"]}
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                mine = os.getsid(process.pid) in leaders
                mine = mine or process.environ().get("BACKPRESSURE_LAB_HOME") == str(self.home)
                mine = mine or any(str(self.home) in word for word in process.cmdline())
            except (psutil.Error, OSError):
                continue
            if mine and process.pid != os.getpid():
                found.append(process)
        return found


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until the condition is true; fails with ``what`` at the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
    return answer
