"""The pool controller on a simulated pool: it settles within stated periods, and then stays within stated bounds.

The pool is a fluid queue: work arrives, is done by the slots in effect, and what is left waits. A change of the slots
takes effect some periods later, as running tasks are not stopped.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from backpressure.adaptive import ControllerSettings, ControllerState, PoolController, PoolSample
from backpressure.retry import seeded
from hypothesis import given
from hypothesis import strategies as st

PERIOD = 10.0
"""Seconds between samples."""


@dataclass
class Pool:
    """A simulated pool under control.

    Attributes:
        settings: The controller's.
        load: Slots' worth of work that arrives in each period.
        capacity: Slots' worth of work that the other side bears; what is more fails.
        delay: Periods until a change takes effect.
        noise: Relative noise of the load, uniform.
    """

    settings: ControllerSettings
    load: Callable[[int], float]
    slots: int = 4
    capacity: Callable[[int], float] = lambda _: math.inf
    delay: int = 1
    noise: float = 0.0
    waits: list[float] = field(default_factory=list)

    def run(self, periods: int, seed: int = 0) -> list[int]:
        """The slots after each period."""
        controller, state = PoolController(self.settings), ControllerState()
        source, backlog, slots = seeded(seed), 0.0, [self.slots] * (self.delay + 1)
        for period in range(periods):
            effective = slots[-1 - self.delay]
            work = backlog + self.load(period) * PERIOD * (1 + source.uniform(-self.noise, self.noise))
            busy = min(work / PERIOD, effective)
            backlog = work - busy * PERIOD
            failed = max(0.0, 1 - self.capacity(period) / busy) if busy else 0.0
            self.waits.append(backlog / effective)
            sample = PoolSample(period * PERIOD, slots[-1], busy, backlog / effective, failed)
            state, wanted = controller.decide(state, sample)
            slots.append(wanted)
        return slots[self.delay + 1 :]


def settled_at(slots: list[int], least: float, most: float) -> int:
    """The period from which on the slots stay within the bounds; one more than the last when they never do."""
    outside = [period for period, value in enumerate(slots) if not least <= value <= most]
    return outside[-1] + 1 if outside else 0


def reversals(slots: list[int]) -> int:
    """How often the slots changed direction."""
    steps = [b - a for a, b in itertools.pairwise(slots) if a != b]
    return sum(1 for a, b in itertools.pairwise(steps) if a * b < 0)


def periods_to_grow(settings: ControllerSettings, ratio: float) -> int:
    """The stated bound: so many changes by `step`, each with its cool-down and samples, and one more to find rest."""
    changes = math.ceil(math.log(ratio) / math.log(1 + settings.step * 0.8)) + 1
    return changes * (math.ceil(settings.cool_down / PERIOD) + settings.samples)


FAST = ControllerSettings(cool_down=20, samples=2)


@pytest.mark.parametrize(("before", "after"), [(4, 16), (16, 4), (2, 60), (60, 2)])
def test_follows_a_step_without_oscillating(before: int, after: int) -> None:
    """After a step of the load it settles at load / utilisation within the stated periods, and never changes again."""
    pool = Pool(FAST, lambda period: before if period < 50 else after, slots=before)
    slots = pool.run(250)
    wanted = math.ceil(after / 0.8)
    band = max(1.0, FAST.dead_band * wanted)
    bound = 50 + 2 * periods_to_grow(FAST, max(before, after) / min(before, after))
    assert settled_at(slots, wanted - band, wanted + 2 * band) <= bound
    assert len(set(slots[bound:])) == 1


def test_a_queue_time_target_drains_the_backlog_with_one_overshoot() -> None:
    """Work that piled up meanwhile is drained by more slots than the load needs: up once, down once, then rest."""
    settings = ControllerSettings(cool_down=20, samples=2, queue_time=5)
    pool = Pool(settings, lambda period: 4 if period < 50 else 16)
    slots = pool.run(200)
    assert reversals(slots) <= 2
    assert settled_at(slots, 18, 23) <= 50 + 2 * periods_to_grow(settings, 4)
    assert max(pool.waits[120:]) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_noise_moves_it_little(seed: int) -> None:
    """With a third of noise on the load the slots stay within a quarter of the size wanted, once settled."""
    settings = ControllerSettings(cool_down=20, samples=6)
    slots = Pool(settings, lambda _: 16, noise=0.33).run(400, seed)[100:]
    assert min(slots) >= 20 * 0.75
    assert max(slots) <= 20 * 1.25


@pytest.mark.parametrize("delay", [1, 2, 4, 8])
def test_a_delay_shorter_than_the_cool_down_does_not_make_it_swing(delay: int) -> None:
    """However late a change takes effect, as long as the cool-down is longer the size is reached and kept."""
    settings = ControllerSettings(cool_down=(delay + 1) * PERIOD, samples=2)
    slots = Pool(settings, lambda period: 4 if period < 50 else 16, delay=delay).run(600)
    bound = 50 + 2 * periods_to_grow(settings, 4)
    assert settled_at(slots, 17, 26) <= bound
    assert len(set(slots[bound:])) == 1


def test_errors_bring_it_to_the_capacity_and_hold_it_there() -> None:
    """With more load than the other side bears it settles at the capacity, then tries one slot more now and then."""
    settings = ControllerSettings(cool_down=20, samples=2, error_rate=0.02)
    slots = Pool(settings, lambda _: 30, capacity=lambda period: 12 if period < 150 else 6).run(300)
    assert settled_at(slots[:150], 12, 13) <= 40
    assert settled_at(slots[150:], 6, 7) <= 15
    tried = [value for value in slots[60:150] if value == 13]
    assert 0 < len(tried) <= 0.3 * 90


def test_a_capacity_that_comes_back_is_found() -> None:
    """Each try that goes well doubles the next: from 6 to 24 in a few patient steps, not in eighteen."""
    settings = ControllerSettings(cool_down=20, samples=2, error_rate=0.02)
    slots = Pool(settings, lambda _: 40, capacity=lambda period: 6 if period < 60 else 24).run(300)
    reached = next(period for period, value in enumerate(slots) if value >= 24)
    assert reached <= 60 + 6 * (settings.patience + 1) * settings.samples + 6 * 2
    assert max(slots[reached + 20 :]) <= 24 + 1


def test_every_change_keeps_to_step_and_cool_down() -> None:
    """No two changes are closer than the cool-down, and none is larger than the step allows."""
    settings = ControllerSettings(cool_down=50, samples=1, step=0.25)
    slots = [8, *Pool(settings, lambda period: 60 if period < 100 else 3, slots=8).run(200)]
    changes = [period for period in range(1, 201) if slots[period] != slots[period - 1]]
    assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(changes))
    assert all(abs(slots[p] - slots[p - 1]) <= max(1, slots[p - 1] * 0.25) for p in changes)
    assert len(changes) > 10


pool_samples = st.builds(
    PoolSample,
    at=st.just(0.0),
    slots=st.integers(1, 200),
    busy=st.floats(0, 300),
    queue_time=st.floats(0, 1e6),
    error_rate=st.floats(0, 1),
)


@given(st.lists(pool_samples, max_size=50), st.integers(1, 5), st.integers(5, 150))
def test_never_leaves_its_bounds(measured: list[PoolSample], minimum: int, maximum: int) -> None:
    """Whatever is measured, and whatever size somebody set by hand, the slots wanted lie within minimum and maximum."""
    settings = ControllerSettings(
        minimum=minimum, maximum=maximum, queue_time=5, error_rate=0.05, samples=1, cool_down=0
    )
    controller, state = PoolController(settings), ControllerState()
    for sample in measured:
        state, slots = controller.decide(state, sample)
        assert slots == sample.slots or minimum <= slots <= maximum


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("utilisation", {"utilisation": 0}),
        ("utilisation", {"utilisation": math.nan}),
        ("dead_band", {"utilisation": 0.9, "dead_band": 0.2}),
        ("dead_band", {"utilisation": 1}),
        ("queue_time", {"queue_time": 0}),
        ("error_rate", {"error_rate": 1}),
        ("minimum", {"minimum": 0}),
        ("maximum", {"minimum": 5, "maximum": 4}),
        ("dead_band", {"dead_band": -0.1}),
        ("step", {"step": 0}),
        ("cool_down", {"cool_down": -1}),
        ("samples", {"samples": 0}),
        ("patience", {"patience": 0}),
    ],
)
def test_rejects_impossible_settings(name: str, settings: dict[str, float]) -> None:
    """A bad setting raises ValueError naming it and its value."""
    with pytest.raises(ValueError, match=f"{name} must"):
        ControllerSettings(**settings)  # type: ignore[arg-type]
