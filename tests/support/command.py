"""``./lab`` in the test's own process."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import pytest

from backpressure_lab.cli import app

__all__ = ["Done", "called"]


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: Any) -> Done:
    """Give a command, and tell its exit code and what it has said."""
    monkeypatch.setattr(sys, "argv", ["lab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        app.main()
    return Done(int(end.value.code or 0), *capsys.readouterr())
