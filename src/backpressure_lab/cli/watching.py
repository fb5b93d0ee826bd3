"""``./lab watch``: one exercise at a time; the file is read at every save, and run when a key says so."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import exercises
from backpressure_lab.errors import LabError
from backpressure_lab.exercises import catalog, verdict, workspace
from backpressure_lab.exercises.progress import Progress
from backpressure_lab.stack.layout import Layout

_SECONDS = 0.3  # how soon a save is seen
_KEYS = "l run it   h hint   n next   q quit"
Key = Callable[[float], str]


def watch() -> int:
    """Watch until q or Ctrl-C.

    Raises:
        LabError: there is no terminal to ask for keys.
    """
    if not sys.stdin.isatty():
        raise LabError("./lab watch needs a terminal.\nCheck once instead: ./lab check EX")
    with _keys() as key:
        return Watch(Layout.of(), Console(), key).run()


class Watch:
    """The screen and its keys.

    Args:
        layout: where the learner's files are.
        console: what is written to.
        key: waits so many seconds for a key, and returns it, or nothing.
    """

    def __init__(self, layout: Layout, console: Console, key: Key) -> None:
        self._layout = layout
        self._console = console
        self._key = key
        self._course = manifest.load()

    def run(self) -> int:
        """Until all exercises are passed, or q."""
        while files := self._current():
            workspace.start(self._layout.work, files)
            if not self._one(files):
                return 0
        self._console.print("All exercises are passed.")
        return 0

    def _current(self) -> catalog.Files | None:
        """The first exercise that is not passed."""
        progress = Progress(self._layout.work)
        left = [one for one in self._course.exercises if progress[one.id].status != "passed"]
        return catalog.find(self._course, left[0].id) if left else None

    def _one(self, files: catalog.Files) -> bool:
        """Watch one exercise; False when the learner wants to leave."""
        path, seen = workspace.path(self._layout.work, files), 0.0
        while True:
            stamp = path.stat().st_mtime if path.exists() else -1.0
            if stamp != seen:
                seen = stamp
                self._screen(files, verdict.first_tier(files, path)[1])
            pressed = self._key(_SECONDS)
            if pressed == "q":
                return False
            if pressed == "h":
                exercises.hint(files.exercise.id)
            elif pressed == "l":
                exercises.check(files.exercise.id, file=None, as_json=False)
            elif pressed == "n":
                if Progress(self._layout.work)[files.exercise.id].status == "passed":
                    return True
                self._console.print(f"{files.exercise.id} is not passed yet: l runs it", style="dim", highlight=False)

    def _screen(self, files: catalog.Files, found: verdict.Verdict) -> None:
        """The exercise, what the first tier says of the file, how far the learner is, and the keys."""
        self._console.clear()
        self._console.print(f"{files.exercise.id}  {files.exercise.title}", style="bold", highlight=False)
        self._console.print(f"{exercises.near(found.file)}\n", style="dim", highlight=False)
        for message in found.messages:
            self._console.print(Text(f"✗ {message.text}", style="red"))
            self._console.print(Text(f"  {message.try_next}", style="dim"))
        if not found.messages:
            self._console.print(Text("✓ the file loads; l runs it on the lab's scheduler", style="green"))
        progress = Progress(self._layout.work)
        every = self._course.exercises
        passed = sum(progress[one.id].status == "passed" for one in every)
        self._console.print(f"\n{'●' * passed}{'○' * (len(every) - passed)}  {passed} of {len(every)} passed   {_KEYS}")


@contextlib.contextmanager
def _keys() -> Iterator[Key]:
    """Keys as they are pressed, without Enter; the terminal is left as it was."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)

    def key(seconds: float) -> str:
        ready, _, _ = select.select([handle], [], [], seconds)
        return os.read(handle, 1).decode(errors="ignore") if ready else ""

    try:
        tty.setcbreak(handle)
        yield key
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
