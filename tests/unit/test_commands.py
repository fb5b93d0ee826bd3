"""The commands without a lab: help, lists, errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.command import Done, called

from backpressure_lab import manifest


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``./lab`` in this process, with a state folder of its own."""
    monkeypatch.setenv("BACKPRESSURE_LAB_HOME", str(tmp_path / "lab"))
    monkeypatch.setenv("NO_COLOR", "1")

    return partial(called, monkeypatch, capsys)


def test_help_imports_little(tmp_path: Path) -> None:
    """Help is there at once: none of the heavy libraries is loaded for it."""
    heavy = ("airflow", "numpy", "psycopg2", "httpx", "aiohttp", "celery", "matplotlib", "rich.markdown")
    code = (
        "import sys; sys.argv = ['lab', '--help']\nfrom backpressure_lab.cli import app\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded', sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert "Start the lab" in done.stdout


def test_the_list_is_json_and_nothing_else(lab: Callable[..., Done]) -> None:
    """Every item of the checklist is listed, with the contract's keys."""
    done = lab("list", "--json")
    items = json.loads(done.out)["items"]
    assert len([item for item in items if item["id"].startswith("106.")]) == 50
    keys = {"id", "section", "title", "dag_id", "file", "tags", "purpose", "checklist", "expected_behavior"}
    assert keys | {"default_scenario", "scenarios", "exclusive", "written"} <= set(items[0])


# One of them, as long as there is any.
UNWRITTEN = [item for item in manifest.load().items if not item.written][:1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "106.2.11"), 2, "106.2.1"),
        (("run", "106.2.1", "--scenario", "poold"), 2, "Did you mean 'pooled'?"),
        *((("run", item.id), 2, "is not written yet") for item in UNWRITTEN),
        (("prove",), 2, "Say what to prove"),
        (("reset",), 2, "./lab reset --pools"),
        (("reset", "--pools"), 3, "Start it with: ./lab up"),
        (("logs", "nothing"), 2, "There is no log of 'nothing'"),
        (("status",), 3, "Start it with: ./lab up"),
        (("up", "--port", "70000"), 2, "65535"),
        (("nonsense",), 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_answered_with_a_way_on(
    lab: Callable[..., Done], arguments: tuple[str, ...], code: int, words: str
) -> None:
    """The value, the reason and the next command; never a traceback."""
    done = lab(*arguments)
    assert done.code == code, done.err
    assert words in done.err
    assert "Traceback" not in done.err


def test_status_of_no_lab_is_json_too(lab: Callable[..., Done]) -> None:
    """A script can tell that there is no lab."""
    done = lab("status", "--json")
    assert done.code == 3
    assert json.loads(done.out)["phase"] == "down"


def test_down_without_a_lab_is_no_error(lab: Callable[..., Done]) -> None:
    """Stopping what does not run has nothing to do."""
    done = lab("down")
    assert done.code == 0
    assert "was not running" in done.err


@pytest.mark.parametrize("command", [("down",), ("up",)])
@pytest.mark.parametrize(("name", "text"), [("run", "a file"), ("run/state.json", "{"), ("run/state.json", "[]")])
def test_a_damaged_folder_is_told_with_the_way_out(
    lab: Callable[..., Done], tmp_path: Path, command: tuple[str, ...], name: str, text: str
) -> None:
    """What the lab cannot read is named, with the command that starts afresh; and that command does."""
    damaged = tmp_path / "lab" / name
    damaged.parent.mkdir(parents=True)
    (tmp_path / "lab" / "secrets.json").touch()
    damaged.write_text(text, encoding="utf-8")
    done = lab(*command)
    assert done.code == 3, done
    assert str(damaged) in done.err
    assert "is damaged" in done.err
    assert "./lab reset --all" in done.err
    assert lab("reset", "--all").code == 0
    assert not (tmp_path / "lab").exists()


def test_a_reset_of_what_is_no_folder_clears_the_way(lab: Callable[..., Done], tmp_path: Path) -> None:
    """A file where the state should be is removed like a folder."""
    (tmp_path / "lab").write_text("a file", encoding="utf-8")
    assert lab("reset", "--all").code == 0
    assert not (tmp_path / "lab").exists()


def test_a_defect_is_reported_without_a_traceback(tmp_path: Path) -> None:
    """What nobody foresaw becomes one sentence and a file with the details."""
    code = (
        "import sys; sys.argv = ['lab', 'down']\nfrom backpressure_lab.cli import app, stack\n"
        "def broken():\n    raise ZeroDivisionError('by a test')\nstack.down = broken\napp.main()"
    )
    environment = {**os.environ, "BACKPRESSURE_LAB_HOME": str(tmp_path / "lab")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "by a test" in (tmp_path / "lab" / "logs" / "error.log").read_text(encoding="utf-8")


# A command that has something to give back, and takes a line of input for the time that this takes. It hears every
# signal, also when the tests run under ``nohup`` or in a script's background and would hand down what is ignored there.
GIVES_BACK = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.argv = ["lab", "down"]
from backpressure_lab.cli import app, stack
def works():
    try:
        print("works", flush=True)
        time.sleep(60)
    finally:
        print("ends", flush=True)
        sys.stdin.readline()
        print("given back", flush=True)
stack.down = works
"""


@pytest.fixture
def stopped(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Send such a command signals while it works and others while it gives back; its exit code and what it said."""

    def run(at_work: list[int], at_the_end: list[int], before: str = "") -> tuple[int, str]:
        environment = {**os.environ, "BACKPRESSURE_LAB_HOME": str(tmp_path / "lab")}
        command = [sys.executable, "-c", f"{GIVES_BACK}\n{before}\napp.main()"]
        pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            for number in at_work:
                process.send_signal(number)
            said += process.stdout.readline()
            for number in at_the_end:
                process.send_signal(number)
            rest, trouble = process.communicate("\n", timeout=30)
        assert "Traceback" not in trouble
        return process.returncode, said + rest

    return run


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_end_gives_back_first(
    stopped: Callable[..., tuple[int, str]], number: int, code: int
) -> None:
    """``kill``, a closed terminal and Ctrl-C are one; the exit code says which."""
    assert stopped([number], []) == (code, "works\nends\ngiven back\n")


def test_being_told_twice_does_not_cut_the_giving_back(stopped: Callable[..., tuple[int, str]]) -> None:
    """Who closes a terminal sends more than one signal."""
    told_once = (129, "works\nends\ngiven back\n")
    assert stopped([signal.SIGHUP], [signal.SIGHUP, signal.SIGTERM]) == told_once


def test_a_signal_that_the_caller_has_ignored_stays_ignored(stopped: Callable[..., tuple[int, str]]) -> None:
    """Under ``nohup`` a closed terminal ends nothing."""
    nohup = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert stopped([signal.SIGHUP, signal.SIGTERM], [], nohup) == (143, "works\nends\ngiven back\n")


def test_the_tests_are_not_interrupted_by_halves(tmp_path: Path) -> None:
    """A polite kill ends ``./lab test`` at once: pytest, which goes on, can then take its lab down."""
    code = (
        "import signal, sys; sys.argv = ['lab', 'test', 'x']\nfrom backpressure_lab.cli import app, maintenance\n"
        "maintenance.subprocess.run = lambda *_, **__: signal.raise_signal(signal.SIGTERM)\napp.main()"
    )
    environment = {**os.environ, "BACKPRESSURE_LAB_HOME": str(tmp_path / "lab")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=30)
    assert done.returncode == -signal.SIGTERM
