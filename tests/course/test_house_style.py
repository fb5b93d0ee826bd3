"""The source keeps the house style: lint, format and types are clean, as the tools themselves say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def said_by(*command: str) -> tuple[int, str]:
    """Exit code and output of a tool, run at the root of the checkout."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_linter_finds_nothing() -> None:
    """Every rule holds, or the line says why it does not."""
    code, said = said_by("ruff", "check", "--output-format=concise", ".")
    assert code == 0, said


def test_the_formatter_would_change_nothing() -> None:
    """One format, so that a diff shows what was meant."""
    code, said = said_by("ruff", "format", "--check", ".")
    assert code == 0, said


@pytest.mark.slow  # from nothing it takes most of a minute
def test_the_types_are_right() -> None:
    """The packages are typed strictly."""
    code, said = said_by("mypy")
    assert code == 0, said
