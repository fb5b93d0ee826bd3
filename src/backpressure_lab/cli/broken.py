"""DAG files that Airflow cannot load, in the words that help: the place, and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text


def place_and_reason(trace: str) -> list[str]:
    """The end of a traceback, from the last line of code that it names."""
    lines = trace.strip().splitlines()
    named = [number for number, line in enumerate(lines) if line.lstrip().startswith('File "')]
    return lines[named[-1] if named else -3 :]


def show(console: Console, errors: Iterable[dict[str, Any]]) -> None:
    """Each broken file with its line, and the reason."""
    for error in errors:
        console.print(Text(f"✗ {error['filename']}", style="red"))
        console.print(Text("    " + "\n    ".join(place_and_reason(str(error["stack_trace"])))))
