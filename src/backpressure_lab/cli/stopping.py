"""SIGTERM and SIGHUP as Ctrl-C: a command that is told to end, or whose terminal is closed, ends what it began."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_by_ctrl_c() -> Iterator[None]:
    """Let these signals raise KeyboardInterrupt here, and exit with 128 and the number of the one that came.

    Only the first of them does, so that the ending of lessons' runs is not itself cut off by a second; Ctrl-C still
    would. A signal that the caller has the command ignore, as ``nohup`` does, stays ignored.
    """
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    for number in _NUMBERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit, OSError):  # the last is what a closed terminal answers
        if came:
            sys.exit(128 + came[0])
        raise
    finally:
        at_once()


def at_once() -> None:
    """Let these signals end the process again without a word; what is ignored stays ignored."""
    for number in _NUMBERS:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
