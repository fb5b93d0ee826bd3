"""The first tier of a check: what can be said of a file without a scheduler, within two seconds."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message

SECONDS = 20.0
"""For a file to load, by the clock: it takes one or two, and many times that on a busy machine."""
Tell = Callable[[Path], dict[str, Any]]


class RefusedError(Exception):
    """The file cannot be looked at any further; ``message`` says why."""

    def __init__(self, code: str, text: str, try_next: str = "") -> None:
        super().__init__(text)
        self.message = Message(code, text, try_next)


def check(path: Path, dag_id: str, tell: Tell | None = None) -> tuple[Facts | None, list[Message]]:
    """The facts of the file, and what is wrong with it; no facts where it cannot be loaded.

    Args:
        path: the file.
        dag_id: what its DAG must be called.
        tell: parses and loads the file and tells what it says of itself; with your rights when left out.
    """
    try:
        text = _read(path)
        if tell is None:
            parse(path, text)
        facts = _one(path, dag_id, (tell or _told)(path))
    except RefusedError as refused:
        return None, [refused.message]
    return facts, list(_pools(facts))


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RefusedError("no_file", f"{path} is not there", "Copy the starter: ./lab start") from None
    except IsADirectoryError:
        raise RefusedError("no_file", f"{path} is a folder; one Python file is asked for") from None
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {error.object[error.start]:#x}"
        raise RefusedError("not_text", f"{path.name} is not UTF-8: {where}") from None
    except OSError as error:
        raise RefusedError("no_file", f"{path} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise RefusedError("empty_file", f"{path.name} is empty", "Copy the starter again: ./lab reset")
    return text


def parse(path: Path, text: str) -> None:
    """See that the text is Python.

    Raises:
        RefusedError: it is not, or there is nothing in it.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        line = f"line {error.lineno}: {(error.text or '').strip()}"
        raise RefusedError("syntax_error", f"{path.name} is not Python: {error.msg}, in {line}") from None
    except ValueError as error:
        raise RefusedError("syntax_error", f"{path.name} is not Python: {error}") from None
    if not tree.body:
        raise RefusedError("empty_file", f"{path.name} has no code", "Copy the starter again: ./lab reset")


def _one(path: Path, dag_id: str, told: dict[str, Any]) -> Facts:
    """The one DAG that the file must have."""
    names = sorted(str(dag["dag_id"]) for dag in told["dags"])
    if not names:
        raise RefusedError("no_dag", f"{path.name} defines no DAG", f"It should have DAG({dag_id!r}, …).")
    if len(names) > 1:
        listed = ", ".join(repr(name) for name in names)
        raise RefusedError("two_dags", f"{path.name} defines {len(names)} DAGs, {listed}; one is asked for")
    if names != [dag_id]:
        raise RefusedError("wrong_dag_id", f"the DAG is called {names[0]!r}, not {dag_id!r}")
    return Facts.from_json({"dag": told["dags"][0], "pools": told["pools"], "answers": told["answers"]})


def _pools(facts: Facts) -> Iterator[Message]:
    """Pools that are not there, or too small for a task: it would wait for ever, and Airflow says nothing."""
    there = ", ".join(repr(pool.name) for pool in facts.pools) or "none"
    for task in facts.dag.tasks:
        pool, name = facts.pool(task.pool), f"the task {task.task_id}"
        if pool is None and task.pool != "default_pool":
            yield Message(
                "pool_unknown",
                f"{name} is in the pool {task.pool!r}, which POOLS does not describe (there: {there})",
                "A task whose pool is missing stays scheduled, without an error.",
            )
        elif pool is not None and 0 <= pool.slots < task.pool_slots:
            yield Message(
                "never_fits",
                f"{name} takes {task.pool_slots} slots; its pool {pool.name!r} has {pool.slots} in all",
                "Such a task is never queued, however long it waits.",
            )


def _told(path: Path) -> dict[str, Any]:
    """What the file says of itself, in a process without our secrets and with limits."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    places = os.pathsep.join(place for place in sys.path if place)
    command = [sys.executable, "-m", "backpressure_lab.exercises.facts", str(path.resolve())]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as answer:
        kept |= {"PYTHONPATH": places, "AIRFLOW_HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}
        # A file and no pipe: what the submission has forked would keep a pipe open.
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, env=kept, cwd=home, stdout=answer, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise late(path, SECONDS) from None
        finally:
            _end(process)
        answer.seek(0)
        told = answer.read()
    try:
        found: dict[str, Any] = json.loads(told)
    except ValueError:
        raise ended(path, f"signal {-code}" if code < 0 else f"exit code {code}") from None
    return loaded(path, found)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and what it has left in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of those that have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def late(path: Path, seconds: float) -> RefusedError:
    """The file did not load in time."""
    text = f"{path.name} did not load within {seconds:g} s: it waits or loops at import"
    return RefusedError("does_not_end", text)


def ended(path: Path, how: str) -> RefusedError:
    """The file ended the process that loads it."""
    return RefusedError("does_not_load", f"loading {path.name} ended its process, with {how}")


def loaded(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """What was told, if the file was loaded.

    Raises:
        RefusedError: it was not.
    """
    if "trouble" in told:
        where = f", in line {told['line']}" if told["line"] else ""
        raise RefusedError("does_not_load", f"{path.name} does not load: {told['trouble']}{where}")
    return told
