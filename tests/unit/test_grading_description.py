"""What a file says of itself is taken only in its form and within reason, and compared with the author's file."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog, facts, submission
from backpressure_lab.grading import description
from backpressure_lab.grading.description import DescriptionError, Shape
from backpressure_lab.grading.shape import shape
from backpressure_lab.grading.staged import staged

COURSE = manifest.load()
EXERCISES = [catalog.find(COURSE, exercise.id) for exercise in COURSE.exercises]
ANSWERS = [(files, path) for files in EXERCISES for path in (files.starter, *files.right, *files.wrong)]
NAMES = [f"{files.exercise.id} {path.parent.name} {path.stem}" for files, path in ANSWERS]
FILES = catalog.find(COURSE, "14.1")
RIGHT = FILES.solution.read_text(encoding="utf-8")


def told(path: Path) -> dict[str, Any]:
    """What a file of ours says of itself, as JSON."""
    found: dict[str, Any] = json.loads(json.dumps(facts.describe(path, shape)))
    return found


def shaped(path: Path) -> Shape:
    """The shape of a file's one DAG."""
    (one,) = description.checked(told(path))["shapes"]
    return description.shape(one)


def functions(path: Path) -> dict[str, str]:
    """What each function of a file does, as its text says it: without its decorators and docstring.

    What a function names of the file's other functions is a part of what it does.
    """
    nodes = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            nodes[node.name] = node

    def text(name: str, above: tuple[str, ...] = ()) -> str:
        node = nodes[name]
        own = f"{ast.dump(node.args)} {[ast.dump(one) for one in node.body[1:]]}"
        named = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & nodes.keys() - {name, *above}
        return " ".join([own, *(text(other, (name, *above)) for other in sorted(named))])

    return {name: text(name) for name in nodes}


@pytest.mark.parametrize(("files", "path"), ANSWERS, ids=NAMES)
def test_an_authors_answer_needs_no_trust(files: catalog.Files, path: Path) -> None:
    """Nothing in it is strange to the sandbox, and only code that differs from the starter's is its own."""
    starter, answer = shaped(files.starter), shaped(path)
    assert list(answer.strange(starter)) == []
    (dag,) = submission.load(path).dags
    tasks: dict[str, Any] = dag.task_dict
    written, given = functions(path), functions(files.starter)
    every = {task.python_callable.__name__ for task in tasks.values() if hasattr(task, "python_callable")}
    own = {tasks[name].python_callable.__name__ for name in answer.own(starter)}
    assert own == {name for name in every if written[name] != given[name]}


CALL = '@task(pool="partner_calls")'
BODY = 'Upstream(params["partner"]).call("call", request_id=f"call {number}")'
# A DAG that asks Airflow for more than a DAG that is made of the starter can do.
STRANGE = {
    "a task more": (
        "    call.expand(",
        "    numbers.override(task_id='more')('calls')\n    call.expand(",
        "more is not",
    ),
    "a task less": ('    call.expand(number=numbers.override(task_id="calls")("calls"))', "", "call is missing"),
    "other work": ('("queries")', '("calls")', "queries is given other things"),
    "a callback": (CALL, '@task(pool="partner_calls", on_failure_callback=print)', "call has on_failure_callback"),
    "a schedule": ("schedule=None", 'schedule="@daily"', "the DAG's schedule is"),
    "another queue": (CALL, '@task(pool="partner_calls", queue="gpu")', "call has queue"),
    "a timeout": (
        CALL,
        '@task(pool="partner_calls", execution_timeout=__import__("datetime").timedelta(1))',
        "timeout",
    ),
    "another order": ("    call.expand(number=", "    c = call.expand(number=", ""),
    "another kind": (CALL, '@task.short_circuit(pool="partner_calls")', "call is another kind of task"),
}


@pytest.mark.parametrize(("old", "new", "part"), STRANGE.values(), ids=STRANGE)
def test_what_the_sandbox_cannot_hold_is_named(tmp_path: Path, old: str, new: str, part: str) -> None:
    """The instructor can then read it, and trust it."""
    assert old in RIGHT
    path = tmp_path / "answer.py"
    path.write_text(RIGHT.replace(old, new), encoding="utf-8")
    found = list(shaped(path).strange(shaped(FILES.starter)))
    assert bool(found) == bool(part)
    assert part in "".join(found[:1])


SENSOR = """\
from airflow.sdk import DAG, task

with DAG("waiting", schedule=None):

    @task.sensor(poke_interval=5)
    def one():
        return True

    @task.sensor(poke_interval=5)
    def many(number):
        return True

    one()
    many.expand(number=[1, 2])
"""
ONE, MANY = "poke_interval=5)\n    def one", "poke_interval=5)\n    def many"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (ONE, ONE.replace("5)", '5, mode="reschedule")'), []),
        (ONE, ONE.replace("5)", "1)"), ["one has poke_interval 1.0"]),
        (ONE, ONE.replace("5)", "5, timeout=9)"), ["one has timeout 9"]),
        (ONE, ONE.replace("5)", "5, soft_fail=True)"), ["one has soft_fail true"]),
        (MANY, MANY.replace("5)", '5, mode="reschedule")'), ['many has mode "reschedule"']),
        (MANY, MANY.replace("5)", "1)"), ["many has poke_interval 1"]),
    ],
    ids=["its mode", "its interval", "its timeout", "its failure", "a mapped one's mode", "a mapped one's interval"],
)
def test_of_a_sensor_its_mode_is_a_setting(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    """A DAG that is made of the starter takes it over; what else it waits by is the author's."""
    starter, answer = tmp_path / "starter.py", tmp_path / "answer.py"
    starter.write_text(SENSOR, encoding="utf-8")
    answer.write_text(SENSOR.replace(old, new), encoding="utf-8")
    found = list(shaped(answer).strange(shaped(starter)))
    assert [part for part, one in zip(parts, found, strict=True) if not one.startswith(part)] == []


def test_the_mode_of_a_sensor_reaches_the_dag_that_runs(tmp_path: Path) -> None:
    """That of the author's file, with the settings of the submission; no other task has one."""
    starter, wrapper = tmp_path / "starter.py", tmp_path / "token.py"
    starter.write_text(SENSOR, encoding="utf-8")
    (dag,) = told(starter)["dags"]
    tasks = {task.pop("task_id"): task for task in dag["tasks"]}
    tasks["one"]["mode"] = "reschedule"
    plan = {"copies": ["copy"], "starter": str(starter), "dag": dag, "tasks": tasks, "pools": {}, "own": []}
    wrapper.with_suffix(".json").write_text(json.dumps(plan), encoding="utf-8")
    made: dict[str, Any] = staged(str(wrapper))["copy"].task_dict
    assert (made["one"].mode, made["one"].reschedule, made["one"].poke_interval) == ("reschedule", True, 5)
    assert not hasattr(made["many"], "mode")


# Code that a task names, and whether the task is then its author's own.
CODE = {
    "nothing": (BODY, BODY, False),
    "another text of the docstring": ('"""Call the partner."""', '"""Ask."""', False),
    "other settings": (CALL, "@task(pool_slots=2)", False),
    "no work": (BODY, "pass", True),
    "more work": (BODY, f"{BODY}\n        {BODY}", True),
    "another text": ('f"call {number}"', 'f"call {number}0"', True),
    "another default": ("def call(number: int, params", "def call(number: int, more=1, params", True),
    "a name of the file's own": ("POOLS = [", "class Upstream(Upstream):\n    pass\n\n\nPOOLS = [", True),
    "a function of the file's own": (BODY, f"helper(lambda: {BODY})", True),
    "a patched name": ("POOLS = [", "Upstream = print\nPOOLS = [", True),
}


@pytest.mark.parametrize(("old", "new", "own"), CODE.values(), ids=CODE)
def test_code_that_differs_from_the_starters_is_its_authors_own(tmp_path: Path, old: str, new: str, own: bool) -> None:  # noqa: FBT001 - of the table
    """It runs in a cell; all else is the starter's own function."""
    assert old in RIGHT
    path = tmp_path / "answer.py"
    path.write_text(RIGHT.replace(old, new), encoding="utf-8")
    assert ("call" in shaped(path).own(shaped(FILES.starter))) == own


def changed(**fields: Any) -> dict[str, Any]:
    """What the solution says of itself, with changes; names lead to where, joined by two underscores."""
    found = copy.deepcopy(told(FILES.solution))
    for name, value in fields.items():
        *places, last = [int(part) if part.isdigit() else part for part in name.split("__")]
        where: Any = found
        for place in places:
            where = where[place]
        where[last] = value
    return found


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"pools__0__name": "../pools"}, "a pool is called '../pools'"),
        ({"pools__0__name": "x" * 80}, "a pool is called"),
        ({"pools__0__name": "partner_calls"}, "two pools have the same name"),
        ({"pools__0__slots": 10**30}, "slots is 1000"),
        ({"pools__0__slots": True}, "slots is True"),
        ({"pools__0__slots": 4.0}, "slots is 4.0"),
        ({"pools__0__include_deferred": "no"}, "include_deferred is 'no'"),
        ({"pools": [{}] * 50}, "POOLS: 50 of them"),
        ({"pools": {}}, "POOLS is no list"),
        ({"answers": []}, "ANSWERS must be a dict"),
        ({"answers": {"cause": {"x": 1}}}, "ANSWERS['cause'] must be a text"),
        ({"answers": {"cause": "x" * 10_000}}, "ANSWERS['cause'] must be a text"),
        ({"dags": None}, "dags is no list"),
        ({"dags": [], "shapes": [{}]}, "0 DAGs and 1 shapes"),
        ({"dags__0": "x"}, "of a DAG has no form"),
        ({"dags__0__max_active_runs": -1}, "max_active_runs is -1"),
        ({"dags__0__max_active_tasks": 10**6}, "max_active_tasks is 1000000"),
        ({"dags__0__tasks": [{}] * 500}, "tasks: 500 of them"),
        ({"dags__0__tasks": []}, "settings and shapes of different tasks"),
        ({"dags__0__tasks__0__task_id": "other"}, "settings and shapes of different tasks"),
        ({"dags__0__tasks__0__priority_weight": 10**12}, "priority_weight is 1000"),
        ({"dags__0__tasks__0__pool_slots": "1"}, "pool_slots is '1'"),
        ({"dags__0__tasks__0__weight_rule": "mine.Rule"}, "weight_rule is 'mine.Rule'"),
        ({"dags__0__tasks__0__pool": ["x"]}, "pool is ['x']"),
        ({"dags__0__tasks__0__mode": "mine"}, "mode is 'mine'"),
        ({"dags__0__tasks__0__mode": ["poke"]}, "mode is ['poke']"),
        ({"shapes__0__tasks__call__retries": 10**6}, "retries is 1000000"),
        ({"shapes__0__tasks__call__retry_delay": float("nan")}, "retry_delay is nan"),
        ({"shapes__0__tasks__call__code": 7}, "code is 7"),
        ({"shapes__0__tasks__call__fixed": [1]}, "of a setting has no form"),
        ({"shapes__0__tasks": None}, "of a tasks has no form"),
    ],
)
def test_what_has_no_form_or_no_measure_is_refused(fields: dict[str, Any], part: str) -> None:
    """Before Airflow, the store or a report hears of it."""
    with pytest.raises(DescriptionError) as refused:
        description.checked(changed(**fields))
    assert part in str(refused.value)
    assert len(str(refused.value)) < 300


def test_trouble_is_told_in_short() -> None:
    """However long the text of an error is that a file raises."""
    assert description.checked({"trouble": "x" * 10_000, "line": "7"}) == {"trouble": "x" * 300, "line": None}
