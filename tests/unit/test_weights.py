"""Weights computed from a graph alone."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.weights import by_path, effective_weights


def diamond(rule: str) -> list[dict[str, Any]]:
    """The graph a >> [b, c] >> d with weights 1, 2, 3, 1, all under one rule."""
    below = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
    weights = {"a": 1, "b": 2, "c": 3, "d": 1}
    return [
        {"task_id": name, "priority_weight": float(weights[name]), "weight_rule": rule, "downstream_task_ids": follow}
        for name, follow in below.items()
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("downstream", {"a": 7, "b": 3, "c": 4, "d": 1}),
        ("upstream", {"a": 1, "b": 3, "c": 4, "d": 7}),
        ("absolute", {"a": 1, "b": 2, "c": 3, "d": 1}),
    ],
)
def test_a_task_counts_once_however_many_paths_lead_to_it(rule: str, expected: dict[str, int]) -> None:
    """The rules add the set of a task's relatives, so that d is not doubled in a's weight."""
    assert effective_weights(diamond(rule)) == expected


def test_each_task_follows_its_own_rule() -> None:
    """Two tasks of one DAG may have two rules, and the relatives' rules do not matter."""
    tasks = diamond("absolute")
    tasks[0]["weight_rule"] = "downstream"
    tasks[3]["weight_rule"] = "upstream"
    assert effective_weights(tasks) == {"a": 7, "b": 2, "c": 3, "d": 7}


def test_a_task_with_a_rule_of_its_own_is_left_out_yet_counts_for_the_others() -> None:
    """What a custom strategy answers cannot be told from the graph."""
    tasks = diamond("downstream")
    tasks[1]["weight_rule"] = "some.module.Strategy"
    assert effective_weights(tasks) == {"a": 7, "c": 4, "d": 1}


def test_along_the_paths_a_diamond_counts_its_end_twice() -> None:
    """The widespread calculation gives a 8 where Airflow gives 7; without a second path both agree."""
    assert by_path(diamond("downstream")) == {"a": 8, "b": 3, "c": 4, "d": 1}
    chain = [task | {"downstream_task_ids": task["downstream_task_ids"][:1]} for task in diamond("downstream")]
    assert by_path(chain)["a"] == effective_weights(chain)["a"] == 4
