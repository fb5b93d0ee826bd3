"""A controller that turns targets (utilisation, time in queue, error rate) into a number of pool slots.

Pure: `decide(state, sample)` returns the next state and the slots; who reads the samples and who resizes the pool is
the caller's business. Its stability is shown by simulation in the tests.

The rule, in order of precedence:

1. For `cool_down` seconds after a change samples are ignored: they still show the old size. After that `samples`
   samples are averaged for one decision.
2. Error rate above its target: the slots shrink to the share that succeeds, and that size becomes a ceiling. A ceiling
   is tried by one slot more, and only after `patience` decisions without an error too many; each try that goes well
   doubles the next one, so that a capacity that came back is found in a few tries.
3. Time in queue above its target by more than the dead band: the slots grow in proportion.
4. Otherwise the slots follow the slots in use divided by the utilisation wanted, unless the difference lies within the
   dead band.

Every change is bounded by `step`, and by `minimum` and `maximum`.
"""

import math
from dataclasses import dataclass, replace

from backpressure.checks import check_number


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Targets and bounds.

    Attributes:
        utilisation: Share of the slots that should be in use, above 0 to below 1.
        queue_time: Seconds that work may wait for a slot; None: not a target.
        error_rate: Share of failed calls that is still good, from 0 to below 1; None: not a target.
        minimum: Fewest slots, at least 1.
        maximum: Most slots.
        dead_band: Relative difference from the utilisation or the time in queue wanted that is left alone, from 0 to
            below `1 / utilisation - 1`, which is how far off a full pool looks.
        step: Largest relative change at once, above 0 to 1; one slot is always allowed.
        cool_down: Seconds for which a change is left to show its effect. Set it above the delay of the system, which is
            about the longest task's duration, because a smaller pool stops no running task.
        samples: Samples averaged for one decision. Let them span more than the longest task's duration: samples within
            one task's duration see the same tasks, and their mean is as uneven as a single one.
        patience: Decisions without too many errors before one slot is tried beyond a ceiling.
    """

    utilisation: float = 0.8
    queue_time: float | None = None
    error_rate: float | None = None
    minimum: int = 1
    maximum: int = 128
    dead_band: float = 0.15
    step: float = 0.5
    cool_down: float = 30.0
    samples: int = 3
    patience: int = 5

    def __post_init__(self) -> None:
        check_number("utilisation", self.utilisation, 0.01, 1)
        if self.queue_time is not None:
            check_number("queue_time", self.queue_time, 0.001, 86400)
        if self.error_rate is not None:
            check_number("error_rate", self.error_rate, 0, 0.99)
        check_number("minimum", self.minimum, 1, 100_000)
        check_number("maximum", self.maximum, self.minimum, 100_000)
        check_number("dead_band", self.dead_band, 0, 1)
        if self.utilisation * (1 + self.dead_band) >= 1:
            raise ValueError(
                f"dead_band must be below 1 / utilisation - 1, {1 / self.utilisation - 1:.3g}, or a full pool would "
                f"never grow, not {self.dead_band!r}"
            )
        check_number("step", self.step, 0.01, 1)
        check_number("cool_down", self.cool_down, 0, 86400)
        check_number("samples", self.samples, 1, 1000)
        check_number("patience", self.patience, 1, 1000)


@dataclass(frozen=True, slots=True)
class PoolSample:
    """The pool as measured at one instant or over one period that ends there.

    Attributes:
        at: The instant, in seconds on any clock that does not jump.
        slots: The pool's slots.
        busy: Slots in use (running and queued), on average over the period.
        queue_time: Seconds that work which got a slot in the period had waited, or the age of the oldest waiting.
        error_rate: Share of the calls of the period that failed.
    """

    at: float
    slots: int
    busy: float
    queue_time: float = 0.0
    error_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What the controller remembers between samples. JSON-able: numbers only.

    Attributes:
        changed_at: When the slots were last changed; minus infinity at first.
        taken: Samples taken for the next decision.
        busy: Their sum of slots in use.
        queue_time: Their sum of times in queue.
        error_rate: Their sum of error rates.
        ceiling: Size at which errors were last too many, after shrinking; 0 when there is none.
        quiet: Decisions in a row without too many errors.
        probe: Slots by which the ceiling is tried next.
    """

    changed_at: float = -math.inf
    taken: int = 0
    busy: float = 0.0
    queue_time: float = 0.0
    error_rate: float = 0.0
    ceiling: int = 0
    quiet: int = 0
    probe: int = 1


class PoolController:
    """Turns samples of a pool into slots.

    Args:
        settings: Targets and bounds.
    """

    def __init__(self, settings: ControllerSettings) -> None:
        self.settings = settings

    def decide(self, state: ControllerState, sample: PoolSample) -> tuple[ControllerState, int]:
        """The next state, and the slots the pool should have; the present slots when nothing is to be changed."""
        settings = self.settings
        if sample.at < state.changed_at + settings.cool_down:
            return state, sample.slots
        state = replace(
            state,
            taken=state.taken + 1,
            busy=state.busy + sample.busy,
            queue_time=state.queue_time + sample.queue_time,
            error_rate=state.error_rate + sample.error_rate,
        )
        if state.taken < settings.samples:
            return state, sample.slots
        mean = PoolSample(
            sample.at,
            sample.slots,
            state.busy / state.taken,
            state.queue_time / state.taken,
            state.error_rate / state.taken,
        )
        state = replace(state, taken=0, busy=0.0, queue_time=0.0, error_rate=0.0)
        state, wanted = self._wanted(state, mean)
        slots = self._bounded(mean.slots, wanted)
        return (state if slots == mean.slots else replace(state, changed_at=sample.at)), slots

    def _wanted(self, state: ControllerState, mean: PoolSample) -> tuple[ControllerState, float]:
        settings = self.settings
        if settings.error_rate is not None and mean.error_rate > settings.error_rate:
            wanted = mean.slots * (1 - mean.error_rate) / (1 - settings.error_rate)
            wanted = min(math.floor(wanted + 1e-9), mean.slots - 1)
            return replace(state, ceiling=self._bounded(mean.slots, wanted), quiet=0, probe=1), wanted
        state = replace(state, quiet=state.quiet + 1)
        wanted = self._outside_dead_band(mean)
        if settings.queue_time is not None and mean.queue_time > settings.queue_time * (1 + settings.dead_band):
            wanted = max(wanted, mean.slots * mean.queue_time / settings.queue_time, mean.slots + 1)
        if state.ceiling and wanted > max(state.ceiling, mean.slots):
            return self._beyond_ceiling(state, mean, wanted)
        return state, wanted

    def _outside_dead_band(self, mean: PoolSample) -> float:
        """The size that brings the utilisation wanted; the present one when it is near enough."""
        off = mean.busy / mean.slots / self.settings.utilisation - 1
        if abs(off) <= self.settings.dead_band:
            return mean.slots
        return math.ceil(mean.busy / self.settings.utilisation - 1e-9)

    def _beyond_ceiling(self, state: ControllerState, mean: PoolSample, wanted: float) -> tuple[ControllerState, float]:
        if mean.slots < state.ceiling:
            return state, state.ceiling
        if state.quiet <= self.settings.patience:
            return state, mean.slots
        slots = self._bounded(mean.slots, min(wanted, mean.slots + state.probe))
        return replace(state, ceiling=slots, quiet=0, probe=state.probe * 2), slots

    def _bounded(self, slots: int, wanted: float) -> int:
        largest = max(1, math.floor(slots * self.settings.step))
        near = min(slots + largest, max(slots - largest, wanted))
        return round(min(self.settings.maximum, max(self.settings.minimum, math.ceil(near - 1e-9))))
