"""``./lab up``, ``down`` and ``status``."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self

import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from backpressure_lab.cli import broken
from backpressure_lab.errors import NOT_RUNNING, NotRunningError
from backpressure_lab.stack import health, lab, processes
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.settings import ADMIN
from backpressure_lab.stack.state import LabState, PartState

_STYLE = {
    "healthy": ("●", "green"),
    "done": ("✓", "green"),
    "starting": ("◐", "yellow"),
    "restarting": ("↻", "red"),
    "failed": ("✗", "red"),
    "waiting": ("○", "dim"),
    "stopped": ("○", "dim"),
    "off": ("·", "dim"),
}


def up(*, detach: bool, light: bool, port: int | None) -> int:
    """Start the lab in the foreground, or in the background with ``detach``."""
    layout = Layout.of()
    console = Console(stderr=True)
    while True:
        if _settled(layout, console):
            return _join(layout, console)
        if detach:
            return _detach(layout, console, light=light, port=port)
        # Where another command was quicker, it is joined.
        with contextlib.suppress(lab.AlreadyUpError):
            return _foreground(layout, console, light=light, port=port)


def bring_up(layout: Layout, *, quiet: bool) -> int:
    """Start the lab in the background for a command that needs it, or wait for one that is starting."""
    console = Console(stderr=True, quiet=quiet)
    if _settled(layout, console):
        return 0 if _follow(layout, console) else NOT_RUNNING
    return _detach(layout, console, light=False, port=None)


def _settled(layout: Layout, console: Console) -> bool:
    return lab.settled(
        layout, lambda: console.print("The lab is on its way down; waiting until it is gone.", highlight=False)
    )


def _join(layout: Layout, console: Console) -> int:
    """Wait for a lab that another command has started."""
    running = lab.current(layout)
    if running is not None:
        console.print(f"The lab is up already: {running.url}", highlight=False)
        if running.phase == "ready":
            return 0
    if not _follow(layout, console):
        raise NotRunningError("The lab went down before it was ready.\nStart it again with: ./lab up")
    return 0


def _foreground(layout: Layout, console: Console, *, light: bool, port: int | None) -> int:
    with _Progress(console) as progress:

        def watch(state: LabState, news: str) -> None:
            progress.show(state, news)
            if news == "ready":
                progress.pause()
                _welcome(console, layout, state, detached=False)

        ended_by = lab.up(layout, watch, light=light, port=port)
    return 0 if ended_by in (None, signal.SIGINT, signal.SIGTERM) else 128 + int(ended_by)


def _detach(layout: Layout, console: Console, *, light: bool, port: int | None) -> int:
    arguments = (["--light"] if light else []) + (["--port", str(port)] if port else [])
    log = lab.supervisor_log(layout)
    begins = log.stat().st_size if log.exists() else 0
    process = lab.detach(layout, arguments)

    def ended() -> str | None:
        code = process.poll()
        if code is None or (code == 0 and lab.is_up(layout)):
            return None  # with code 0, it has found a lab that another command has started
        return log.read_bytes()[begins:].decode(errors="replace")

    try:
        ready = _follow(layout, console, ended)
    except KeyboardInterrupt:
        console.print("The lab goes on starting in the background; stop it with: ./lab down", highlight=False)
        raise
    return 0 if ready else process.wait() or NOT_RUNNING


def _follow(layout: Layout, console: Console, ended: Callable[[], str | None] | None = None) -> bool:
    """Show the progress of a lab that another process starts, until it is ready or gone.

    ``ended`` tells what that process has said once it is gone; without it, the lab's lock tells whether it is.
    """
    with _Progress(console) as progress:
        seen = ""
        while True:
            output = ended() if ended else None
            if output is not None:
                progress.pause()
                lines = [line for line in output.splitlines() if line.startswith("lab:") or not seen]
                console.print("\n".join(lines[-20:]) or output[-2000:], highlight=False, markup=False)
                return False
            state = lab.current(layout)
            if state is not None and state.phase in ("starting", "ready"):
                news = max(state.parts, key=lambda part: part.since)
                told = f"{news.name} {news.note}"
                progress.show(state, told if told != seen else "")
                seen = told
                if state.phase == "ready":
                    progress.pause()
                    _welcome(console, layout, state, detached=True)
                    return True
            if ended is None and not lab.is_up(layout):
                return False
            time.sleep(0.1)


class _Progress:
    """A live table of the parts on a terminal, a line of news each elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """From now on, news are lines."""
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, state: LabState, news: str) -> None:
        """Show where the start is, and what is news."""
        if self._live is None:
            if news:
                self._console.print(f"{time.strftime('%H:%M:%S')} {news}", highlight=False, markup=False)
            return
        seconds = f"{time.time() - state.started:4.0f} s  waiting for "
        # Cut where the line ends: a second line would come and go.
        self._spinner.update(text=Text(seconds + ", ".join(_awaited(state)), no_wrap=True, overflow="ellipsis"))
        self._live.update(Group(_table(state), self._spinner))


def _awaited(state: LabState) -> list[str]:
    """The parts that are being started, or, between two of them, those that come next."""
    phases = {part.name: part.phase for part in state.parts}
    starting = [name for name, phase in phases.items() if phase in ("starting", "restarting")]
    return starting or [name for name, phase in phases.items() if phase == "waiting"]


def _table(state: LabState) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for part in state.parts:
        mark, style = _STYLE[part.phase]
        table.add_row(Text(mark, style=style), part.name, Text(_words(part), style="dim"))
    return table


def _words(part: PartState) -> str:
    if part.phase == "restarting":
        return part.note
    again = f", started again {part.restarts}×" if part.restarts else ""
    return f"{part.phase}{again}"


def _welcome(console: Console, layout: Layout, state: LabState, *, detached: bool) -> None:
    seconds = time.time() - state.started
    stop = "./lab down" if detached else "Ctrl-C"
    console.print(f"\nThe lab is ready after {seconds:.0f} s.", style="bold", highlight=False)
    console.print(f"  Airflow   {state.url}", highlight=False)
    console.print(
        f"  user      {ADMIN}, password in {_near(layout, layout.airflow_home / 'passwords.json')}", highlight=False
    )
    console.print("  try       ./lab run 106.2.1", highlight=False)
    console.print(f"  stop      {stop}\n", highlight=False)


def _near(layout: Layout, path: object) -> str:
    return str(path).removeprefix(f"{layout.root}/")


def down() -> int:
    """Stop the lab; what a killed one left behind too."""
    layout = Layout.of()
    console = Console(stderr=True)
    with console.status("stopping the lab"):
        stopped = lab.down(layout)
    console.print("The lab is down." if stopped else "The lab was not running.", highlight=False)
    return 0


def status(*, as_json: bool) -> int:
    """Show the parts, Airflow's own view of its health, and DAG files that it cannot load."""
    layout = Layout.of()
    state = lab.current(layout)
    if state is None:
        if as_json:
            print(json.dumps({"phase": "down", "parts": []}))
            return NOT_RUNNING
        raise NotRunningError("The lab is not running.\nStart it with: ./lab up")
    report = _report(layout, state)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _show(Console(), state, report)
    return 0 if state.phase == "ready" else NOT_RUNNING


def _report(layout: Layout, state: LabState) -> dict[str, Any]:
    from backpressure_lab.cli import session

    told = health.airflow_health(state.url)
    errors: list[dict[str, Any]] = []
    if told:
        with session.reach(layout) as api:
            errors = list(api.pages("/importErrors", "import_errors"))
    memory = {part.name: _memory(part) for part in state.parts}
    return {
        "phase": state.phase,
        "url": state.url,
        "light": state.light,
        "pid": state.pid,
        "parts": [asdict(part) | {"memory_bytes": memory[part.name]} for part in state.parts],
        "memory_bytes": sum(memory.values()),
        "health": {name: (value or {}).get("status") for name, value in told.items()},
        "import_errors": errors,
    }


def _memory(part: PartState) -> int:
    """Proportional memory of a part and all it started: shared pages are counted once, split among who shares them."""
    total = 0
    for process in processes.family([part.process] if part.process else []):
        try:
            info = process.memory_full_info()
            total += getattr(info, "pss", info.uss)
        except (psutil.Error, OSError):
            continue
    return total


def _show(console: Console, state: LabState, report: dict[str, Any]) -> None:
    console.print(f"[bold]{state.phase}[/bold]  {state.url}", highlight=False)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("", "part", "", "pid", "MB"):
        table.add_column(name, justify="right" if name in ("pid", "MB") else "left")
    for part, row in zip(state.parts, report["parts"], strict=True):
        mark, style = _STYLE[part.phase]
        megabytes = f"{row['memory_bytes'] / 1e6:.0f}" if part.pid else ""
        table.add_row(Text(mark, style=style), part.name, _words(part), str(part.pid or ""), megabytes)
    console.print(table)
    console.print(f"memory {report['memory_bytes'] / 1e6:.0f} MB", style="dim", highlight=False)
    broken.show(console, report["import_errors"])
