"""Fairness between tenants, told from made-up timelines."""

from __future__ import annotations

import pytest
from backpressure.measures.tenants import contended, fairness, jain, ranked
from backpressure.timeline import Timeline


def work(tenant: str, *rows: tuple[float, float, float]) -> Timeline:
    """One tenant's task instances given as (scheduled, queued, end)."""
    scheduled, queued, end = ([row[place] for row in rows] for place in range(3))
    return Timeline.from_arrays(
        scheduled=scheduled, queued=queued, start=queued, end=end, dag_id=tenant, task_id="work", run_id=tenant,
        map_index=list(range(len(rows))), priority_weight=7
    )  # fmt: skip


A = work("a", (10, 10, 20), (10, 10, 20), (10, 20, 30))
B = work("b", (12, 12, 20), (12, 20, 30))
NOTHING = Timeline.from_arrays()


def test_the_index_goes_from_equal_to_one_has_all() -> None:
    """Jain's index is 1 for equal shares and 1 / n when one of n has everything."""
    assert jain([2, 2, 2]) == 1
    assert jain([5, 0, 0, 0]) == 0.25
    assert jain([0, 0]) is None


def test_tenants_contend_while_all_of_them_wait() -> None:
    """From when the second has come until the first has nothing left that waits."""
    assert contended({"a": A, "b": B}) == (12, 20)
    assert contended({"a": A, "b": NOTHING}) is None
    assert contended({"a": A, "late": work("late", (40, 41, 42))}) is None


def test_slots_are_held_against_what_tenants_are_entitled_to() -> None:
    """Two slots for one who is entitled to two, and one for one who is entitled to one, are fair."""
    assert fairness({"a": A, "b": B}, {"a": 2, "b": 1}).value == pytest.approx(1)
    assert fairness({"a": A, "b": B}, {"a": 1, "b": 1}).value == pytest.approx(9 / 10)
    assert fairness({"a": A, "b": NOTHING}, {"a": 1, "b": 1}).value is None


def test_ranks_take_the_place_of_weights() -> None:
    """Whatever weight the tasks have, they are judged by their tenant's rank."""
    assert ranked({"a": A, "b": B}, {"a": 1, "b": 3}).priority_weight.tolist() == [1, 1, 1, 3, 3]
    assert int(A.priority_weight[0]) == 7
