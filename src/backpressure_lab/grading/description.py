"""What a file says of itself, from a cell: checked word by word, since the file may have written it itself.

A lie in it is worth nothing. It describes another file than the one that was handed in, and that other file is graded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backpressure_lab.exercises import answers

_MOST_DAGS, _MOST_TASKS, _MOST_POOLS = 10, 60, 12
_NAME = re.compile(r"[A-Za-z0-9_.\- ]{1,60}")
_TEXT = 300
_RULES = ("absolute", "downstream", "upstream")
_MODES = (None, "poke", "reschedule")
_LIMIT = (1, 1000)
_WEIGHT = 1_000_000
_OTHER = {"kind": "another kind of task", "upstream": "after other tasks", "inputs": "given other things to do"}


class DescriptionError(Exception):
    """It is not one, or says what nobody may ask for; the message is for the student."""


@dataclass(frozen=True)
class TaskShape:
    """A task besides its settings; see ``shape``."""

    kind: str
    upstream: tuple[str, ...]
    inputs: Any
    names: tuple[str, ...]
    code: str
    fixed: Mapping[str, str]
    retries: int
    retry_delay: float


@dataclass(frozen=True)
class Shape:
    """A DAG besides its settings."""

    fixed: Mapping[str, str]
    tasks: Mapping[str, TaskShape]

    def strange(self, starter: Shape) -> Iterator[str]:
        """What a DAG that is made of the starter cannot do as this one does."""
        for task_id in sorted(self.tasks.keys() ^ starter.tasks.keys()):
            yield f"the task {task_id} is {'missing' if task_id in starter.tasks else 'not one of the exercise'}"
        for name, value in self.fixed.items():
            if value != starter.fixed.get(name):
                yield f"the DAG's {name} is {value[:60]}, not {str(starter.fixed.get(name))[:60]}"
        for task_id in sorted(self.tasks.keys() & starter.tasks.keys()):
            yield from _strange(task_id, self.tasks[task_id], starter.tasks[task_id])

    def own(self, starter: Shape) -> tuple[str, ...]:
        """The tasks whose code is not the starter's."""
        return tuple(sorted(name for name, task in self.tasks.items() if task.code != starter.tasks[name].code))


def _strange(task_id: str, task: TaskShape, starter: TaskShape) -> Iterator[str]:
    for name in ("kind", "upstream", "inputs"):
        if getattr(task, name) != getattr(starter, name):
            yield f"{task_id} is {_OTHER[name]} than in the starter"
    for name, value in task.fixed.items():
        if value != starter.fixed.get(name):
            yield f"{task_id} has {name} {value[:60]}"


def checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a cell, in the form that the static tier reads, or ``{"trouble": …}``.

    Raises:
        DescriptionError: it has another form, or asks for too much.
    """
    if "trouble" in told:
        line = told.get("line")
        return {"trouble": _text(told["trouble"], "trouble"), "line": line if isinstance(line, int) else None}
    dags = [_dag(dag) for dag in _list(told.get("dags"), "dags", _MOST_DAGS)]
    pools = [_pool(pool) for pool in _list(told.get("pools"), "POOLS", _MOST_POOLS)]
    if len({pool["name"] for pool in pools}) < len(pools):
        raise DescriptionError("two pools have the same name")
    shapes = _list(told.get("shapes"), "shapes", _MOST_DAGS)
    if len(shapes) != len(dags):
        raise DescriptionError(f"{len(dags)} DAGs and {len(shapes)} shapes")
    for dag, one in zip(dags, shapes, strict=True):
        names = sorted(task["task_id"] for task in dag["tasks"])
        if names != sorted(shape(one).tasks) or len(set(names)) < len(names):
            raise DescriptionError("settings and shapes of different tasks")
    try:
        answered = answers.checked(told.get("answers", {}))
    except ValueError as error:
        raise DescriptionError(str(error)[:_TEXT]) from None
    return {"dags": dags, "pools": pools, "answers": answered, "shapes": shapes}


def shape(told: Any) -> Shape:
    """A DAG's shape.

    Raises:
        DescriptionError: it is none.
    """
    found = _dict(told, "shape")
    tasks = _dict(found.get("tasks"), "tasks")
    return Shape(_texts(found.get("fixed")), {_text(name, "task_id"): _task_shape(one) for name, one in tasks.items()})


def _task_shape(told: Any) -> TaskShape:
    found = _dict(told, "task")
    return TaskShape(
        kind=_text(found.get("kind"), "kind"),
        upstream=tuple(_text(one, "upstream") for one in _list(found.get("upstream"), "upstream", _MOST_TASKS)),
        inputs=found.get("inputs"),
        names=tuple(_text(one, "names") for one in _list(found.get("names"), "names", _MOST_TASKS)),
        code=_text(found.get("code"), "code"),
        fixed=_texts(found.get("fixed")),
        retries=_whole(found.get("retries"), "retries", 0, 20),
        retry_delay=_number(found.get("retry_delay"), "retry_delay", 0, 86400),
    )


def _dag(told: Any) -> dict[str, Any]:
    found = _dict(told, "DAG")
    return {
        "dag_id": _text(found.get("dag_id"), "dag_id"),
        "max_active_runs": _whole(found.get("max_active_runs"), "max_active_runs", 0, _LIMIT[1]),
        "max_active_tasks": _whole(found.get("max_active_tasks"), "max_active_tasks", *_LIMIT),
        "tasks": [_task(task) for task in _list(found.get("tasks"), "tasks", _MOST_TASKS)],
    }


def _task(told: Any) -> dict[str, Any]:
    found = _dict(told, "task")
    rule = _text(found.get("weight_rule"), "weight_rule")
    if rule not in _RULES:
        raise DescriptionError(f"weight_rule is {rule!r}; one of {', '.join(_RULES)} can be graded")
    mode = found.get("mode")
    if mode not in _MODES:
        raise DescriptionError(f"mode is {mode!r:.60}; 'poke' or 'reschedule' can be graded")
    limits = ("max_active_tis_per_dag", "max_active_tis_per_dagrun")
    return {
        "task_id": _text(found.get("task_id"), "task_id"),
        "pool": _text(found.get("pool"), "pool"),
        "pool_slots": _whole(found.get("pool_slots"), "pool_slots", *_LIMIT),
        "priority_weight": _whole(found.get("priority_weight"), "priority_weight", -_WEIGHT, _WEIGHT),
        "weight_rule": rule,
        **{name: None if found.get(name) is None else _whole(found[name], name, *_LIMIT) for name in limits},
        "mode": mode,
    }


def _pool(told: Any) -> dict[str, Any]:
    found = _dict(told, "pool")
    name = _text(found.get("name"), "a pool's name")
    if not _NAME.fullmatch(name):
        raise DescriptionError(f"a pool is called {name!r}; letters, digits, spaces, and _ . - can be graded, up to 60")
    include = found.get("include_deferred")
    if not isinstance(include, bool):
        raise DescriptionError(f"include_deferred is {include!r:.60}, not True or False")
    slots = _whole(found.get("slots"), "slots", -1, _LIMIT[1])
    # What the pool is for goes into the page of pools of everybody: it is ours.
    return {"name": name, "slots": slots, "include_deferred": include, "description": "of a submission that is graded"}


def _list(value: Any, name: str, most: int) -> Sequence[Any]:
    if not isinstance(value, list):
        raise DescriptionError(f"{name} is no list")
    if len(value) > most:
        raise DescriptionError(f"{name}: {len(value)} of them; up to {most} can be graded")
    return value


def _dict(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DescriptionError(f"what is said of a {name} has no form")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(name, "setting"): _text(one, "setting") for name, one in _dict(value, "setting").items()}


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise DescriptionError(f"{name} is {value!r:.60}, which is no text")
    return value[:_TEXT]


def _number(value: Any, name: str, least: float, most: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise DescriptionError(f"{name} is {value!r:.60}; from {least:g} to {most:g} can be graded")
    return float(value)


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise DescriptionError(f"{name} is {value!r:.60}; a whole number from {least} to {most} can be graded")
    return value
