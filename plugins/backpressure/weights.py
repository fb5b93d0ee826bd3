"""What a task's priority weight must come to, from its DAG's graph alone: Airflow's three weight rules, done again.

A task counts once, however many paths lead to it: in ``a >> [b, c] >> d`` the weight of ``a`` under ``downstream`` is
``a + b + c + d``, with ``d`` not doubled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["by_path", "effective_weights"]

Record = Mapping[str, Any]
Graph = dict[str, set[str]]


def effective_weights(tasks: Iterable[Record]) -> dict[str, int]:
    """The weight of each task under its own rule; tasks with a rule other than the three are left out.

    Args:
        tasks: as Airflow's REST API lists a DAG's tasks: ``task_id``, ``priority_weight``, ``weight_rule`` and
            ``downstream_task_ids``.
    """
    known = {str(task["task_id"]): task for task in tasks}
    below: Graph = {name: set(task["downstream_task_ids"]) for name, task in known.items()}
    above: Graph = {name: {one for one, follow in below.items() if name in follow} for name in known}
    counted: dict[str, Graph] = {"absolute": {}, "downstream": below, "upstream": above}
    return {
        name: sum(int(known[one]["priority_weight"]) for one in {name} | _reached(counted[task["weight_rule"]], name))
        for name, task in known.items()
        if task["weight_rule"] in counted
    }


def by_path(tasks: Iterable[Record]) -> dict[str, int]:
    """What a widespread calculation of ``downstream`` comes to: a task's weight, and that of each child with its own.

    A task counts once for each path that leads to it, so that in a diamond it is too much; Airflow does not do this.

    Args:
        tasks: as for :func:`effective_weights`, of a graph without cycles.
    """
    known = {str(task["task_id"]): task for task in tasks}

    def along(name: str) -> int:
        task = known[name]
        return int(task["priority_weight"]) + sum(along(child) for child in task["downstream_task_ids"])

    return {name: along(name) for name in known}


def _reached(graph: Graph, start: str) -> set[str]:
    """Every task that can be reached from one."""
    found: set[str] = set()
    todo = [start]
    while todo:
        new = graph.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found
