"""The first tier of a check: whatever a file is, the learner gets one clear message."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import psutil
import pytest
from support.lab import wait_until

from backpressure_lab import manifest
from backpressure_lab.exercises import facts as telling
from backpressure_lab.exercises import static
from backpressure_lab.exercises.catalog import Files

DAG = """\
from airflow.sdk import DAG, task
from backpressure.pools import PoolSpec

POOLS = [PoolSpec("small", 2)]

with DAG("wanted", schedule=None):

    @task(pool="small", pool_slots=2)
    def work():
        pass

    work()
"""
# Each file is loaded by a process of its own, which imports Airflow.
pytestmark = pytest.mark.slow
COURSE = manifest.load()


def checked(folder: Path, text: str | bytes) -> tuple[static.Facts | None, list[str], str]:
    """The facts, the codes of the messages and the first text, for a file of this content."""
    path = folder / "answer.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    facts, messages = static.check(path, "wanted")
    return facts, [message.code for message in messages], messages[0].text if messages else ""


def test_a_sound_file_tells_its_facts(tmp_path: Path) -> None:
    """A DAG that is not assigned to any name is found; its tasks and pools are told as the scheduler gets them."""
    facts, codes, _ = checked(tmp_path, DAG)
    assert codes == []
    assert facts is not None
    assert (facts.dag.dag_id, facts.pools[0].slots) == ("wanted", 2)
    assert [(task.task_id, task.pool, task.pool_slots) for task in facts.dag.tasks] == [("work", "small", 2)]


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("", "empty_file", "is empty"),
        ("\n \n", "empty_file", "is empty"),
        ("# nothing yet\n", "empty_file", "has no code"),
        ("with DAG(:\n", "syntax_error", "line 1: with DAG(:"),
        ("x = '\0'\n", "syntax_error", "is not Python"),
        (b"name = '\xe9'\n", "not_text", "byte 8 is 0xe9"),
        ("import a_package_that_is_not_there\n", "does_not_load", "in line 1"),
        ("raise SystemExit(3)\n", "does_not_load", "SystemExit: 3"),
        ("import os\nos._exit(3)\n", "does_not_load", "exit code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "does_not_load", "signal 9"),
        ("held = 'x' * (4 << 30)\n", "does_not_load", "MemoryError"),
        ("POOLS = ['small']\n", "does_not_load", "POOLS must be a list of PoolSpec"),
        ("value = 1\n", "no_dag", "defines no DAG"),
        (DAG + DAG.replace("wanted", "other"), "two_dags", "'other', 'wanted'"),
        (DAG.replace("wanted", "wnated"), "wrong_dag_id", "'wnated', not 'wanted'"),
        (DAG.replace('pool="small"', 'pool="smal"'), "pool_unknown", "'smal', which POOLS does not describe"),
        (DAG.replace("pool_slots=2", "pool_slots=3"), "never_fits", "takes 3 slots"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_message(
    tmp_path: Path, text: str | bytes, code: str, part: str
) -> None:
    """Nothing that a file holds or does gives a traceback, or ends the check."""
    _, codes, said = checked(tmp_path, text)
    assert codes == [code]
    assert part in said


def test_a_file_that_prints_does_not_disturb_the_answer(tmp_path: Path) -> None:
    """What a file prints while it loads is no part of what is said of it."""
    facts, codes, _ = checked(tmp_path, DAG + 'import os\nprint("{" * 100)\nos.write(1, b"}" * 100)\n')
    assert codes == []
    assert facts is not None


def test_a_file_that_loops_at_import_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop at import ends with a message, not with the check."""
    monkeypatch.setattr(static, "SECONDS", 3.0)
    _, codes, said = checked(tmp_path, "while True:\n    pass\n")
    assert codes == ["does_not_end"]
    assert "waits or loops at import" in said


def test_what_a_file_leaves_running_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    """A process that it forks holds whatever it was given, and outlives the loading."""
    note = tmp_path / "pid"
    fork = (
        f"import os, time\nif (pid := os.fork()) == 0:\n    time.sleep(600)\nopen({str(note)!r}, 'w').write(str(pid))\n"
    )
    begun = time.monotonic()
    facts, codes, _ = checked(tmp_path, fork + DAG)
    assert codes == []
    assert facts is not None
    assert time.monotonic() - begun < static.SECONDS
    pid = int(note.read_text(encoding="ascii"))
    wait_until(lambda: _ended(pid), 20, "what it has forked is ended")


def _ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(("platform", "bounded"), [("linux", True), ("darwin", False)])
def test_memory_is_bounded_where_a_platform_can(platform: str, bounded: bool) -> None:  # noqa: FBT001 - a parameter
    """MacOS refuses that limit, and no file could be checked there; the others hold everywhere."""
    limits = telling.limits(platform)
    assert (resource.RLIMIT_AS in limits) is bounded
    assert {resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE} <= limits.keys()


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    """A path that is no file is told apart from one that is not there."""
    assert [message.code for message in static.check(tmp_path, "wanted")[1]] == ["no_file"]
    assert "is a folder" in static.check(tmp_path, "wanted")[1][0].text
    assert "is not there" in static.check(tmp_path / "none.py", "wanted")[1][0].text


def test_a_file_does_not_see_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that loads it has no variable of ours, such as a password."""
    monkeypatch.setenv("LAB_PASSWORD", "made up")
    facts, codes, _ = checked(tmp_path, DAG.replace("2)]", "2, description=str(sorted(__import__('os').environ)))]"))
    assert codes == []
    assert facts is not None
    assert "LAB_PASSWORD" not in facts.pools[0].description
    assert "LAB_PASSWORD" in os.environ


@pytest.mark.parametrize("exercise", COURSE.exercises, ids=lambda exercise: exercise.id)
def test_starters_and_right_answers_load(exercise: manifest.Exercise) -> None:
    """What is wrong with a starter shows when it runs; a right answer has nothing wrong."""
    files = Files(exercise, COURSE.root / exercise.folder)
    for path in (files.starter, *files.right):
        facts, messages = static.check(path, files.dag_id)
        assert messages == []
        assert facts is not None
