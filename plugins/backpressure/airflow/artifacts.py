"""Files that a lesson makes for people to open: a picture, a plan, a runbook."""

from __future__ import annotations

import os
from pathlib import Path

from backpressure.airflow import tape

__all__ = ["keep"]


def keep(name: str, text: str) -> Path:
    """Write a file below AIRFLOW_HOME, in ``artifacts``, replacing an earlier one of that name; returns where it is.

    Another task may run on another machine: it takes such a text from the task that returned it, not from the file.
    A judgement that is tried again on a tape writes nothing.

    Raises:
        ValueError: the name is not that of a plain file.
    """
    if Path(name).name != name or name in {"", ".", ".."}:
        raise ValueError(f"name must be that of a plain file, not {name!r}")
    folder = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "artifacts"
    path = folder / name
    if tape.is_played():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return path
