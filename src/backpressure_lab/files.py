"""Files that are never half written: content goes to a temporary name beside the target and is renamed over it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backpressure_lab.errors import LabError


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace ``path`` with ``text`` in one step; a reader sees the old content or the new, never a part of it.

    What is there and no regular file, such as a device, a pipe or a link, is written to as it is.
    """
    if _stays(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Replace ``path`` with ``value`` as JSON in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n", mode)


def check_targets(options: Mapping[str, Path | None]) -> None:
    """See that what is to be written at the end of a command can be, before its work begins.

    Args:
        options: the files by the names of their options, without dashes; ``-`` for ``json`` is standard output.

    Raises:
        LabError: one cannot be written to.
    """
    for name, path in options.items():
        if path is None or (name == "json" and path == Path("-")):
            continue
        try:
            reason = _obstacle(path)
        except OSError as error:
            reason = error.strerror or str(error)
        if reason:
            raise LabError(f"--{name} {path} cannot be written: {reason}.\nName a file in a folder of your own.")


def _stays(path: Path) -> bool:
    """Whether it is there and no regular file, so that nothing may take its place."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def _obstacle(path: Path) -> str:
    """Why a file cannot be written, empty if it can.

    Raises:
        OSError: the same, in the system's words.
    """
    if path.is_dir():
        return "it is a folder"
    if _stays(path):
        target = path.resolve()
        return "" if os.access(target if target.exists() else target.parent, os.W_OK) else "you may not write to it"
    folder = next(one for one in path.absolute().parents if one.exists())
    if not folder.is_dir():
        return f"{folder} is no folder"
    # Rights alone do not tell: a file system may be read-only, full, or not one to make files in.
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x")
    return ""
