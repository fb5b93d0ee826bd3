"""A canary that notes what it meets, experiments that wait for a steady state, and what is measured on both."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.chaos import Canary, UnsteadyError, carry_out
from backpressure.dashboard import read
from backpressure.measures.chaos import Ordeal
from backpressure.timeline import Timeline


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        """The instant."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


def failing(times: int) -> Any:
    """What fails so many times, and then never again."""
    left = [times]

    def ask() -> None:
        if left[0]:
            left[0] -= 1
            raise ConnectionError

    return ask


def twice(call: Any) -> object:
    """Try a second time."""
    try:
        return call()
    except ConnectionError:
        return call()


def test_a_beat_notes_every_attempt() -> None:
    """A beat that is tried again is well in the end and has the error all the same; one that is not is lost."""
    again, once = Canary(failing(1), 0.2, twice), Canary(failing(1), 0.2)
    again.beat(1.0)
    once.beat(1.0)
    assert (again.beats[0]["ok"], again.beats[0]["errors"]) == (True, ["ConnectionError"])
    assert (once.beats[0]["ok"], once.beats[0]["errors"]) == (False, ["ConnectionError"])


def test_steady_is_a_while_of_beats_without_an_error() -> None:
    """Too few beats are no steady state, nor is one with an error among them, until it is long enough ago."""
    clock = Clock()
    canary = Canary(failing(1), 0.2, twice, now=clock.now)
    canary.beat(100.0)
    for number in range(1, 6):
        canary.beat(100.0 + number / 5)
    clock.at = 101.0
    assert not canary.steady(1.0)
    clock.at = 101.1
    assert canary.steady(1.0)
    clock.at = 103.0
    assert not canary.steady(1.0)


def test_a_canary_beats_until_it_is_left() -> None:
    """Beats go on while the body runs, and all are over when it ends."""
    seen: list[int] = []
    with Canary(lambda: seen.append(1), 0.001) as canary:
        while len(seen) < 5:
            pass
    assert len(canary.beats) == len(seen) >= 5
    with pytest.raises(ValueError, match="every"):
        Canary(lambda: None, 0.0)


def test_experiments_run_one_after_another() -> None:
    """Each waits for a steady state, and is over when there is one again."""
    clock, steady = Clock(), iter([False, True, True, True, False, True])

    def fault() -> dict[str, Any]:
        clock.sleep(2.0)
        return {"killed": 7}

    done = carry_out({"one": fault, "two": fault}, lambda: next(steady), now=clock.now, sleep=clock.sleep)
    assert [(one["name"], one["killed"], one["after"]) for one in done] == [("one", 7, True), ("two", 7, True)]
    assert done[0]["began"] == pytest.approx(100.1)
    assert done[1]["began"] >= done[0]["ended"]


def test_an_unsteady_system_is_left_alone() -> None:
    """A fault in a system that is not steady would tell nothing: the guard stops the experiments before it."""
    clock, injected = Clock(), []
    experiments = {"one": lambda: injected.append(1) or {}}
    with pytest.raises(UnsteadyError, match="one"):
        carry_out(experiments, lambda: False, patience=1.0, now=clock.now, sleep=clock.sleep)
    assert injected == []


def beat(due: float, took: float = 0.1, *, ok: bool = True, errors: tuple[str, ...] = ()) -> dict[str, Any]:
    """A beat as the canary notes it."""
    return {"due": due, "ended": due + took, "ok": ok, "errors": list(errors)}


EXPERIMENTS = [
    {"name": "partner", "began": 10.0, "ended": 12.0, "before": True, "after": True, "killed": 7, "replaced_by": 8},
    {"name": "network", "began": 15.0, "ended": 16.0, "before": True, "after": False, "killed_at": 15.5},
]
BEATS = [beat(9.0), beat(9.9, 3.0, errors=("X", "X")), beat(11.0), beat(15.1, ok=False, errors=("Y",)), beat(17.0)]
ORDEAL = Ordeal(EXPERIMENTS, BEATS)
NOTHING = Ordeal([], [])


def test_who_was_on_the_way_was_hit_or_not() -> None:
    """One of two beats was hit by the first fault and got over it; the one beat of the second was lost."""
    assert (ORDEAL.struck("partner").value, ORDEAL.survived("partner").value) == (1, 1)
    assert (ORDEAL.struck("network").value, ORDEAL.survived("network").value) == (1, 0)
    assert ORDEAL.got_over("partner").holds is True
    assert ORDEAL.got_over("network").holds is False


def test_the_series_tells_order_and_states() -> None:
    """Two faults one after the other, of which one left no steady state and harmed somebody."""
    assert ORDEAL.order().value == ("partner", "network")
    assert Ordeal([*EXPERIMENTS, EXPERIMENTS[0] | {"began": 11.0}], BEATS).order().value == ()
    assert (ORDEAL.steady().value, ORDEAL.unharmed().value) == (1, 1)
    assert ORDEAL.replaced("partner").holds is True


def test_a_job_runs_again_soon_or_not() -> None:
    """It started for the last time after the kill, and within the time."""
    work = Timeline.from_arrays(scheduled=[15.0, 15.0], queued=[15.1, 15.1], start=[17.0, 15.2], end=[19.0, 18.0])
    assert ORDEAL.soon(work, "network", 5.0).value == 0.5


def test_the_picture_shows_who_was_hit() -> None:
    """A beat that was lost and one with two failed attempts are seen, and each fault has its mark."""
    picture = ORDEAL.picture("Chaos")
    panels = read(picture)
    assert max(value for _, value in panels["Attempts that failed"].points) == pytest.approx(2)
    assert sum(value for _, value in panels["Beats that were lost"].points) == pytest.approx(1)
    assert "network" in picture


def test_without_experiments_nothing_is_known() -> None:
    """No beat, no figure."""
    found = [NOTHING.order(), NOTHING.steady(), NOTHING.unharmed(), NOTHING.struck("x"), NOTHING.survived("x")]
    assert {one.value for one in [*found, NOTHING.told("x", "killed", "", "")]} == {None}
    assert NOTHING.replaced("x").holds is None
