"""The pool controller on a live pool, under a load that is measured first, so that it is the same on any machine."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from datetime import UTC, datetime

import pytest
from backpressure.adaptive import ControllerSettings, PoolController
from backpressure.airflow.steering import PoolSteering, Step
from support.lab import Lab
from support.workdag import WorkDag, seconds, work_dag

pytestmark = pytest.mark.live

LOAD = 3.0
"""Slots that the load takes, on average."""
LASTS = 36
"""Calls' durations for which it comes."""
ALONE = 1
"""Of these, those in which nobody steers, so that work piles up in front of one slot."""
LOOKS = 4
"""Looks at the pool for each call's duration."""


def test_the_controller_sizes_a_live_pool_and_lets_it_rest(lab: Lab) -> None:
    """A pool of one slot under a steady load of three grows until nobody waits too long, and stays there.

    All times are multiples of how long one task holds its slot on this machine, measured first. The sizes are those
    that Airflow reported, step by step.
    """
    with work_dag(lab, "steered.py", work_steered=1) as dag:
        # The first call in a lab starts later than all others.
        held = statistics.median([_alone(dag, number) for number in range(4)][1:])
        # A decision averages over two calls' durations: looks within one call's see the same calls, and of so few slots
        # one call more or less is as much as a third.
        settings = ControllerSettings(
            queue_time=0.5 * held, samples=2 * LOOKS, cool_down=held, maximum=12, dead_band=0.2
        )
        steps = _steer(dag, settings, held)
        sizes = [step.sample.slots for step in steps]
        assert all(then.sample.slots == step.slots for step, then in itertools.pairwise(steps)), "none but it resized"
        changes = [step for step in steps if step.changed]
        begin = steps[0].sample.at
        print(f"held {held:.2f} s", [(round((step.sample.at - begin) / held, 1), step.slots) for step in changes])  # noqa: T201

        times = [step.sample.at for step in changes]
        assert all(later - earlier >= settings.cool_down for earlier, later in itertools.pairwise(times)), "cool-down"
        assert all(
            abs(step.slots - step.sample.slots) <= max(1, step.sample.slots * settings.step) for step in changes
        ), "step limit"

        first, last = steps[: len(steps) // 3], steps[-len(steps) // 3 :]
        busy = statistics.mean(step.sample.busy for step in last)
        wanted = busy / settings.utilisation
        print(f"busy {busy:.2f}, sizes at the end {sorted({step.slots for step in last})}")  # noqa: T201
        least, most = math.floor(wanted * (1 - settings.dead_band)), math.ceil(wanted * (1 + settings.dead_band))
        assert {step.slots for step in last} <= set(range(least, most + 1)), "rest within the dead band"
        assert _reversals(sizes) <= 2, "up, down once what had piled up was done, and no swinging"

        waited = statistics.mean(step.sample.queue_time for step in last)
        print(f"waited {max(step.sample.queue_time for step in first):.2f} s, at the end {waited:.2f} s")  # noqa: T201
        assert sizes[0] == 1
        assert busy > 1.5, "the load that one slot could not do was there until the end"
        limit = 0.5 * held * (1 + settings.dead_band)
        assert waited < limit < max(step.sample.queue_time for step in first), "what had piled up is done"


def _alone(dag: WorkDag, number: int) -> float:
    """Seconds for which a call that nobody is in the way of holds its slot."""
    run = dag.trigger(f"alone-{number}")
    assert dag.wait(run) == "success", dag.complaints(run)
    (call,) = dag.instances(run, "call")
    return seconds(call["end_date"]) - seconds(call["queued_when"])


def _steer(dag: WorkDag, settings: ControllerSettings, held: float) -> list[Step]:
    """Steer the pool while runs of one call each come, one after the other, and say what was measured and done."""
    steering = PoolSteering(dag.api, "work_steered", PoolController(settings))
    # The runs are all there before the first may begin, so that making them is no part of the load.
    begin, every = time.time() + 4, held / LOAD
    for number in range(int(LASTS * LOAD)):
        at = datetime.fromtimestamp(begin + number * every, UTC).isoformat()
        dag.api.trigger(dag.dag_id, f"load-{number}", run_after=at)
    steps: list[Step] = []
    for look in itertools.count():
        # Looks are at instants of their own, so that slow answers make none of them later.
        due = begin + (ALONE + look / LOOKS) * held
        if due > begin + LASTS * held:
            return steps
        time.sleep(max(0.0, due - time.time()))
        steps.append(steering.step())
    raise AssertionError


def _reversals(sizes: list[int]) -> int:
    """How often the sizes changed direction."""
    steps = [later - earlier for earlier, later in itertools.pairwise(sizes) if earlier != later]
    return sum(one * other < 0 for one, other in itertools.pairwise(steps))
