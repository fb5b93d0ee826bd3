"""What a submission may try while it is described: it passes nothing that way, and the next one is graded as ever.

What the walls hold is tried in test_sandbox; here is what becomes of an attack as a grade.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog, static
from backpressure_lab.grading import tiers
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.grade import Grade
from backpressure_lab.grading.tiers import Described
from backpressure_lab.sandbox import warden

# Each attack has a process of its own, which imports Airflow.
pytestmark = pytest.mark.slow
FILES = catalog.find(manifest.load(), "14.1")
RIGHT = FILES.solution.read_text(encoding="utf-8").replace("from __future__ import annotations", "")
POOLS = {"warehouse_units": 4, "partner_calls": 2}


@pytest.fixture(autouse=True, scope="module")
def sandbox() -> None:
    """A machine that allows no sandbox cannot show that it holds; says why."""
    why = warden.missing()
    if why:
        pytest.skip(why)


def first(folder: Path, text: str) -> tuple[Described | None, Grade]:
    """What the static tier says of a submission of this text."""
    path = folder / "14_1_pool_configuration.py"
    path.write_text(text, encoding="utf-8")
    return tiers.first(Submission("eve", FILES, path.name, text), path, trusted=False)


# What each does at the top of the file, and what its author is told.
REFUSED = {
    "ends its process": ("import os\nos._exit(0)", "does_not_load", "exit code 0"),
    "raises the end": ("raise SystemExit", "does_not_load", "SystemExit"),
    "forks for ever": ("import os\nwhile True:\n    os.fork()", "does_not_load", "Operation not permitted, in line 3"),
    "takes all memory": ("held = bytearray(8 << 30)", "does_not_load", "MemoryError"),
    "reads the solution": (f"open({str(FILES.solution)!r})", "does_not_load", "No such file"),
    "asks Airflow's API": (
        "from backpressure.airflow.client import AirflowClient\nAirflowClient('http://127.0.0.1:8080').get('/pools')",
        "does_not_load",
        "not permitted",
    ),
    "nests without end": (f"x = {'(' * 5000}1{')' * 5000}", "syntax_error", "is not Python"),
}


@pytest.mark.parametrize(("attack", "code", "part"), REFUSED.values(), ids=REFUSED)
def test_an_attack_at_import_ends_in_a_message(tmp_path: Path, attack: str, code: str, part: str) -> None:
    """The file does not load, and its author is told why."""
    described, grade = first(tmp_path, f"{attack}\n{RIGHT}")
    assert (described, grade.verdict, grade.code) == (None, "fail", code)
    assert part in grade.messages[0].text


@pytest.mark.parametrize("filling", ["\0", "#\x01"], ids=["no text", "a comment"])
def test_a_text_that_no_message_holds_is_not_gradable(tmp_path: Path, filling: str) -> None:
    """JSON writes a control character with six: a file of an allowed size is more than a cell can be sent."""
    described, grade = first(tmp_path, filling + filling[-1] * 200_000)
    assert (described, grade.verdict, grade.code) == (None, "not gradable", "needs_trust")
    assert "is more than the sandbox takes: a message of 12" in grade.messages[0].text


def test_a_wait_at_import_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses no time is ended by the clock."""
    monkeypatch.setattr(static, "SECONDS", 1.0)
    described, grade = first(tmp_path, f"import time\ntime.sleep(1e6)\n{RIGHT}")
    assert (described, grade.verdict, grade.code) == (None, "fail", "does_not_end")


# What each does besides a right answer, in one file: the answer counts, and nothing else happens.
WITHOUT_EFFECT = """
import atexit, os, signal, threading, time
for _ in range(50):
    os.write(1, b"x" * 65536)
    print("y" * 65536)
atexit.register(time.sleep, 1e6)
threading.Thread(target=lambda: time.sleep(1e6)).start()
import backpressure.airflow.upstream as upstream
upstream.Upstream.call = lambda *_, **__: None
from airflow.configuration import conf
if "postgres" in conf.get("database", "sql_alchemy_conn"):
    raise SystemExit("this is the lab's database")
"""


def test_an_attack_beside_a_right_answer_has_no_effect(tmp_path: Path) -> None:
    """It is described as what it is: an answer whose tasks are the starter's, whatever it prints, patches or leaves."""
    described, grade = first(tmp_path, RIGHT + WITHOUT_EFFECT)
    assert grade.messages == ()
    assert described is not None
    assert described.own == ()
    assert {pool.name: pool.slots for pool in described.facts.pools} == POOLS


def test_a_lie_only_describes_another_file(tmp_path: Path) -> None:
    """Who patches their own description is graded as what it then says they are: by how that runs."""
    lie = "import backpressure_lab.exercises.facts as facts\nfrom dataclasses import replace\nold = facts._task\n"
    lie += "facts._task = lambda task: replace(old(task), pool_slots=1)\n"
    described, _ = first(tmp_path, RIGHT + lie)
    assert described is not None
    assert {task.pool_slots for task in described.facts.dag.tasks} == {1}


FORGED = """
import gc
from backpressure_lab.sandbox.channel import Channel
channel = next(one for one in gc.get_objects() if isinstance(one, Channel))
channel._end.sendall({data})
"""


@pytest.mark.parametrize(
    "data", [b'{"verdict": "pass"}\n', b'{"done": {"dags": {}}}\n', b'{"refused": {"code": "pass"}}\n']
)
def test_a_forged_answer_is_worth_nothing(tmp_path: Path, data: bytes) -> None:
    """A file that answers in its cell's place does not pass, whatever it says."""
    described, grade = first(tmp_path, RIGHT + FORGED.format(data=data))
    assert (described, grade.verdict) == (None, "fail")


def test_a_cell_describes_as_a_process_of_ours_would(tmp_path: Path) -> None:
    """The same file is the same in every process: what the starter's digests are compared with is no chance."""
    described, _ = first(tmp_path, RIGHT)
    again, _ = first(tmp_path, f"\n\n{RIGHT}")
    assert described is not None
    assert again is not None
    assert (described.shape, described.own) == (again.shape, ())
