"""An incident's record against other records."""

from __future__ import annotations

from backpressure.measures.incidents import came_between, review, witnessed
from backpressure.timeline import Timeline

PHASES = {"onset": (100.0, [40.0, 100.25]), "detection": (106.0, [109.0, None]), "recovery": (None, [120.0])}
RUNS = Timeline.from_arrays(scheduled=[1.0, 2.0, 3.0, 4.0])


def test_an_instant_is_confirmed_by_one_nearby() -> None:
    """One of three: the second is three seconds off, and the third was never reached, whatever others saw."""
    found = witnessed(PHASES, within=2.0)
    assert (found.detail, found.at) == ("detection unconfirmed, recovery not reached", 106.0)
    assert (found.value, found.samples) == (1 / 3, 3)
    assert witnessed(PHASES, within=3.0).value == 2 / 3


def test_without_a_witness_nothing_is_confirmed() -> None:
    """A phase that no other record shows is a gap."""
    assert witnessed({"onset": (100.0, [])}, within=2.0).value == 0
    assert witnessed({}, within=2.0).value is None


def test_a_review_tells_each_phase_and_its_confirmation() -> None:
    """Counted from the onset; a phase that was not reached, and one that nothing confirms, are told as such."""
    text = review("too much work", PHASES | {"escalation": (107.0, [])})
    assert "| onset | 0.0 s | to within 0.2 s |" in text
    assert "| escalation | 7.0 s | no |" in text
    assert "| recovery | not reached | - |" in text


def test_what_came_is_counted_between_two_instants() -> None:
    """None after the valve was shut is a count, and a valve that was never shut measures nothing."""
    assert came_between(RUNS, 1.5, 4.0, "orders").value == 2
    assert came_between(RUNS, 4.5, 9.0, "orders").value == 0
    assert came_between(RUNS, None, 9.0, "orders").value is None
    assert came_between(RUNS, 1.0, None, "orders").value is None
