"""How an adaptive concurrency limit follows what is measured: pure functions of limit and measurements.

A limit is revised once per window of time, from what all processes measured in that window, so that a revision costs no
more the busier the system is and every process sees the same limit.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from backpressure.checks import check_number


@dataclass(frozen=True, slots=True)
class WindowSample:
    """What was measured in one window, over all processes.

    Attributes:
        calls: Calls that ended, dropped ones included.
        dropped: Calls that were refused, timed out or failed for overload.
        mean_latency: Mean duration in seconds of the calls that were not dropped; 0 when there were none.
        inflight: Most calls that were under way at once.
    """

    calls: int
    dropped: int
    mean_latency: float
    inflight: int


@dataclass(frozen=True, slots=True)
class LimitState:
    """An adaptive limit between two windows.

    Attributes:
        limit: Calls that may be under way at once; whole calls are its floor.
        baseline: Latency of an unloaded call in seconds, the gradient's reference; 0 before the first sample.
        windows: Windows with at least one measured call so far.
    """

    limit: float
    baseline: float = 0.0
    windows: int = 0


class LimitAlgorithm(Protocol):
    """A rule by which a limit follows the samples."""

    @property
    def initial(self) -> float:
        """The limit before anything was measured."""

    def allowed(self, state: LimitState) -> float:
        """Calls that may be under way at once in the window that is under way."""

    def update(self, state: LimitState, sample: WindowSample) -> LimitState:
        """The limit for the next window."""


@dataclass(frozen=True, slots=True)
class AIMD:
    """Additive increase, multiplicative decrease: as TCP does, after Chiu and Jain (1989).

    A window with a dropped call, or slower than `latency_limit`, cuts the limit by the factor `backoff`; one without,
    in which at least half of the limit was used, adds `increase`. An unused limit does not grow: nothing was learned.

    Attributes:
        initial: The limit to start from.
        minimum: Never below this; at least 1, so that the limit can be measured at all.
        maximum: Never above this.
        increase: Calls added per good window.
        backoff: Factor per bad window, from 0.1 to below 1.
        latency_limit: Mean latency in seconds above which a window is bad; None: latency does not matter.
    """

    initial: float = 10.0
    minimum: float = 1.0
    maximum: float = 1000.0
    increase: float = 1.0
    backoff: float = 0.7
    latency_limit: float | None = None

    def __post_init__(self) -> None:
        check_bounds(self.initial, self.minimum, self.maximum)
        check_number("increase", self.increase, 1e-6, self.maximum)
        check_number("backoff", self.backoff, 0.1, 0.999)
        if self.latency_limit is not None:
            check_number("latency_limit", self.latency_limit, 1e-6, 86400)

    def allowed(self, state: LimitState) -> float:
        """Calls that may be under way at once: the limit."""
        return state.limit

    def update(self, state: LimitState, sample: WindowSample) -> LimitState:
        """The limit for the next window."""
        if not sample.calls:
            return state
        slow = self.latency_limit is not None and sample.mean_latency > self.latency_limit
        limit = state.limit
        if sample.dropped or slow:
            limit *= self.backoff
        elif sample.inflight * 2 >= limit:
            limit += self.increase
        return replace(state, limit=_clamped(limit, self.minimum, self.maximum), windows=state.windows + 1)


@dataclass(frozen=True, slots=True)
class Gradient:
    """The limit follows the ratio of unloaded to present latency: after the gradient limits of Netflix and Envoy.

    While calls are as fast as unloaded ones the limit grows by `queue` a window, smoothed; when they get slower than
    `tolerance` times that, a queue has built up on the other side and the limit shrinks in proportion, by half at most.
    A window with dropped calls shrinks it as if latency had doubled, since a drop says what latency can't.

    What unloaded means is measured, not averaged over the past: every `probe_every` windows, the first one included,
    one window runs at a reduced limit. Netflix's Gradient2 compares with a long-term mean instead, which creeps up
    with every overload and takes the limit with it; the tests show both.

    Attributes:
        initial: The limit to start from.
        minimum: Never below this; at least 1.
        maximum: Never above this.
        queue: Calls that may queue on the other side without the limit shrinking.
        tolerance: Slow-down that is still good, as a factor on the unloaded latency; 1 to 10.
        smoothing: Weight of the newest window in the limit, above 0 to 1.
        probe_every: Windows from one measurement of the unloaded latency to the next, at least 10.
    """

    initial: float = 20.0
    minimum: float = 1.0
    maximum: float = 1000.0
    queue: float = 4.0
    tolerance: float = 1.5
    smoothing: float = 0.2
    probe_every: int = 100

    def __post_init__(self) -> None:
        check_bounds(self.initial, self.minimum, self.maximum)
        check_number("queue", self.queue, 1e-6, self.maximum)
        check_number("tolerance", self.tolerance, 1, 10)
        check_number("smoothing", self.smoothing, 1e-6, 1)
        check_number("probe_every", self.probe_every, 10, 1_000_000)

    def allowed(self, state: LimitState) -> float:
        """Calls that may be under way at once in the window that is under way."""
        return max(self.minimum, state.limit / (2 * self.tolerance)) if self._probing(state) else state.limit

    def update(self, state: LimitState, sample: WindowSample) -> LimitState:
        """The limit for the next window."""
        if not sample.calls:
            return state
        if sample.calls == sample.dropped:
            return replace(state, limit=_clamped(state.limit / 2, self.minimum, self.maximum))
        learned = replace(state, baseline=self._baseline(state, sample.mean_latency), windows=state.windows + 1)
        if self._probing(state) or (not sample.dropped and sample.inflight < state.limit / 2):
            return learned
        gradient = self.tolerance * learned.baseline / sample.mean_latency if sample.mean_latency else 1.0
        gradient = min(0.5 if sample.dropped else 1.0, max(0.5, gradient))
        target = state.limit * gradient + (0.0 if sample.dropped else self.queue)
        limit = state.limit + self.smoothing * (target - state.limit)
        return replace(learned, limit=_clamped(limit, self.minimum, self.maximum))

    def _probing(self, state: LimitState) -> bool:
        return state.windows % self.probe_every == 0

    def _baseline(self, state: LimitState, latency: float) -> float:
        if self._probing(state):
            return latency
        return state.baseline + self.smoothing * min(0.0, latency - state.baseline)


def check_bounds(initial: float, minimum: float, maximum: float) -> None:
    """Raise ValueError unless 1 ≤ minimum ≤ initial ≤ maximum ≤ a million."""
    check_number("maximum", maximum, 1, 1_000_000)
    check_number("minimum", minimum, 1, maximum)
    check_number("initial", initial, minimum, maximum)


def _clamped(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))
