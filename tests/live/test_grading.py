"""A class with attackers in it, graded on a live scheduler: each gets what their file deserves, and nothing is left.

Costs about a minute and a half on a quiet machine: seven live runs, two at a time.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.lab import Lab

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.sandbox import warden
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

POOLS = catalog.find(manifest.load(), "14.1")
RATE = catalog.find(manifest.load(), "106.4")
RIGHT_POOLS = POOLS.solution.read_text(encoding="utf-8")
RIGHT_RATE = RATE.solution.read_text(encoding="utf-8")
TOO_LIGHT = (POOLS.folder / "wrong" / "too_light.py").read_text(encoding="utf-8")
FORGETFUL = (RATE.folder / "wrong" / "work_missing.py").read_text(encoding="utf-8")
FETCHING = '        partner = Upstream(params["partner"])\n'
CALLING = '            partner.call("page", request_id=f"page {number}")\n'
STEERING = """
def steer():
    from backpressure.airflow.client import AirflowClient
    from backpressure.airflow.upstream import Upstream
    for attempt in (
        lambda: AirflowClient("http://127.0.0.1:8080", "admin", "admin").patch("/pools/default_pool", {"slots": 1}),
        lambda: AirflowClient.from_connection().get("/pools"),
        lambda: Upstream("warehouse").reset(),
        lambda: __import__("os").kill(-1, 9),
    ):
        try:
            attempt()
        except Exception:
            pass
"""


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first part replaced by the second; every one is there."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def limited(name: str) -> str:
    """A right answer to 106.4 whose limit has a name that others use, too."""
    return replaced(RIGHT_RATE, ('RateLimiter(params["partner"]', f'RateLimiter("{name}"'))


# Student → exercise, file and what it must get first.
CLASS = {
    "ada": (POOLS, RIGHT_POOLS, "pass"),
    # Says that there is nothing to do, so that no system has too much of it.
    "forging": (POOLS, replaced(TOO_LIGHT, ("return params[of]", "return []")), "work_missing"),
    # Does nothing, so that nothing is refused.
    "gutting": (RATE, replaced(RIGHT_RATE, (CALLING, "            pass\n")), "work_missing"),
    # Tries in each task to change a pool, to reset an upstream and to kill everybody.
    "steering": (RATE, replaced(FORGETFUL, (FETCHING, f"        steer()\n{FETCHING}")) + STEERING, "work_missing"),
    "cleo": (RATE, limited("everybody"), "pass"),
    "dan": (RATE, limited("everybody"), "pass"),
    "bombing": (
        RATE,
        replaced(RIGHT_RATE, (FETCHING, f"        held = bytearray(8 << 30)\n{FETCHING}")),
        "task_failed",
    ),
}


@pytest.fixture(scope="module")
def pools(lab: Lab) -> dict[str, int]:
    """Pools and their slots, before anything is graded."""
    return slots(lab)


def slots(lab: Lab) -> dict[str, int]:
    """Every pool of the lab, and its slots."""
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=60) as api:
        return {pool["name"]: pool["slots"] for pool in api.pages("/pools", "pools")}


@pytest.fixture(scope="module")
def grades(lab: Lab, pools: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The grades of the class, by student."""
    why = warden.missing()
    if why:
        pytest.skip(why)
    assert pools
    folder = tmp_path_factory.mktemp("class")
    for student, (files, text, _) in CLASS.items():
        target = folder / "in" / student / f"{files.dag_id}.py"
        target.parent.mkdir(parents=True)
        target.write_text(f"{text}\n# {student}\n", encoding="utf-8")
    done = lab("grade", str(folder / "in"), "-e", "14.1", "-e", "106.4", "--json", "-")
    assert done.returncode == 1, done.stderr
    return {one["student"]: one for one in json.loads(done.stdout)["grades"] if one["verdict"] != "missing"}


@pytest.mark.parametrize("student", CLASS)
def test_everybody_gets_what_their_file_deserves(grades: dict[str, dict[str, Any]], student: str) -> None:
    """With attackers beside them, whose wrong answers stay wrong."""
    _, _, wanted = CLASS[student]
    found = grades[student]
    assert [found["tier"], *(found["codes"] or ["pass"])][:2] == ["live", wanted], found["results"]


def test_the_lab_is_as_before(lab: Lab, pools: dict[str, int], grades: dict[str, dict[str, Any]]) -> None:
    """No DAG, pool or file of the checks is left, and no pool has another size."""
    assert len(grades) == len(CLASS)
    context = Context.load(Layout.of(home=lab.home))
    with bootstrap.client(context, patience=60) as api:
        dags = [dag["dag_id"] for dag in api.pages("/dags", "dags")]
    assert slots(lab) == pools
    assert not [name for name in dags if name.startswith((f"{POOLS.dag_id}__", f"{RATE.dag_id}__"))]
    assert not [*context.layout.checks.glob("*.*"), *context.layout.submissions.glob("*.*")]
