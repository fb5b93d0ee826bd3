"""Shedding by priority: thresholds with a band, and the plan of what can't be done in time."""

import math

import pytest
from backpressure.shedding import PriorityThresholds, WaitingItem, plan_shedding
from hypothesis import given
from hypothesis import strategies as st

CLASSES = PriorityThresholds({"bronze": 0.7, "silver": 0.9, "gold": math.inf}, band=0.1)


def test_refuses_the_least_important_first() -> None:
    """As the load rises bronze goes first, then silver, gold never."""
    assert CLASSES.refused(0.5) == frozenset()
    assert CLASSES.refused(0.7) == {"bronze"}
    assert CLASSES.refused(5.0) == {"bronze", "silver"}


def test_lets_a_class_in_again_below_its_band() -> None:
    """A refused class stays refused within the band below its limit, so that it does not flap."""
    assert CLASSES.refused(0.65, frozenset({"bronze"})) == {"bronze"}
    assert CLASSES.refused(0.65) == frozenset()
    assert CLASSES.refused(0.6, frozenset({"bronze"})) == frozenset()


@pytest.mark.parametrize(
    ("limits", "band"), [({}, 0.1), ({"a": 0}, 0.1), ({"a": math.nan}, 0.1), ({"a": 0.1}, 0.1), ({"a": 1}, -1)]
)
def test_rejects_impossible_thresholds(limits: dict[str, float], band: float) -> None:
    """Thresholds that make no sense are refused by name and value."""
    with pytest.raises(ValueError, match=r"limits|band"):
        PriorityThresholds(limits, band)


items = st.builds(
    WaitingItem,
    key=st.uuids().map(str),
    priority=st.integers(1, 3),
    enqueued=st.floats(0, 10),
    due=st.floats(0, 60) | st.just(math.inf),
)


@given(st.lists(items, max_size=30), st.lists(st.floats(0, 20), min_size=1, max_size=4), st.floats(0.1, 5))
def test_keeps_what_can_be_done_and_sheds_what_cannot(
    waiting: list[WaitingItem], free_at: list[float], service: float
) -> None:
    """Kept items all finish by their due time, shed ones would not, and none is lost or judged twice."""
    verdicts = plan_shedding(waiting, 10.0, free_at, service)
    assert sorted(v.item.key for v in verdicts) == sorted(item.key for item in waiting)
    assert all((v.finish <= v.item.due) == v.keep for v in verdicts)
    kept = [v for v in verdicts if v.keep]
    assert [v.item.priority for v in kept] == sorted((v.item.priority for v in kept), reverse=True)


def test_sheds_bronze_before_gold() -> None:
    """With room for six of twelve in time, the six gold ones are kept and all of bronze is shed."""
    gold = [WaitingItem(f"gold {n}", 3, 0.0, due=2.0) for n in range(6)]
    bronze = [WaitingItem(f"bronze {n}", 1, 0.0, due=2.0) for n in range(6)]
    verdicts = plan_shedding([*bronze, *gold], 0.0, [0.0] * 3, 1.0)
    assert {v.item.priority for v in verdicts if v.keep} == {3}
    assert {v.item.priority for v in verdicts if not v.keep} == {1}


@pytest.mark.parametrize(("free_at", "service"), [([], 1.0), ([0.0], 0.0), ([0.0], math.nan), ([0.0], math.inf)])
def test_rejects_an_impossible_plan(free_at: list[float], service: float) -> None:
    """A plan without a server or with no service time is refused."""
    with pytest.raises(ValueError, match=r"free_at|service_time"):
        plan_shedding([], 0.0, free_at, service)
