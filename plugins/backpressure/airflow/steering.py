"""A live pool under the pool controller: measure it, decide, resize it.

steering = PoolSteering(AirflowClient.from_connection(), "partner_x", PoolController(ControllerSettings(queue_time=30)))
while True:
    print(steering.step())
    time.sleep(10)
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from backpressure import pools
from backpressure.adaptive import ControllerState, PoolSample
from backpressure.clock import NANOSECONDS, Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from backpressure.adaptive import PoolController

__all__ = ["PoolSteering", "Step", "sample"]


class Api(pools.Api, Protocol):
    """What this module needs of a client."""

    def task_instances(self, dag_id: str = "~", run_id: str = "~", **params: Any) -> list[dict[str, Any]]:
        """Task instances of all runs."""


class Step(NamedTuple):
    """One look at a pool.

    Attributes:
        sample: what was measured.
        slots: the pool's slots from now on.
    """

    sample: PoolSample
    slots: int

    @property
    def changed(self) -> bool:
        """Whether the pool was resized."""
        return self.slots != self.sample.slots


def sample(api: Api, pool: str, now: float, error_rate: float = 0.0) -> PoolSample:
    """Measure a pool: its slots in use, and how long the oldest task that waits for a slot has waited.

    Args:
        api: Airflow.
        pool: the pool's name.
        now: seconds since 1970.
        error_rate: share of the calls lately that failed, as the caller knows it.

    Raises:
        LookupError: there is no such pool.
    """
    found = pools.status(api, pool)
    if found is None:
        raise LookupError(f"there is no pool {pool!r}: create it with pools.ensure(api, PoolSpec({pool!r}, ...))")
    waiting = api.task_instances(pool=pool, state="scheduled") if found.scheduled else []
    since = [datetime.fromisoformat(one["scheduled_when"]).timestamp() for one in waiting if one["scheduled_when"]]
    return PoolSample(now, found.slots, float(found.occupied), max(0.0, now - min(since, default=now)), error_rate)


class PoolSteering:
    """Resizes a pool as its controller decides, one step at a time.

    Args:
        api: Airflow, as a user who may edit pools.
        pool: the pool's name. Only one steering should resize it.
        controller: decides.
        state: where a former steering left off; None begins afresh. It is JSON-able, to be kept between runs of a DAG.
        error_rate: asked at each step for the share of calls that failed lately.
        clock: tells the time.
    """

    def __init__(
        self,
        api: Api,
        pool: str,
        controller: PoolController,
        *,
        state: ControllerState | None = None,
        error_rate: Callable[[], float] = lambda: 0.0,
        clock: Clock | None = None,
    ) -> None:
        self.state = state or ControllerState()
        self._api = api
        self._pool = pool
        self._controller = controller
        self._error_rate = error_rate
        self._clock = clock or SystemClock()

    def step(self) -> Step:
        """Measure, decide, and resize the pool if need be."""
        # The time of day, since the next step may be another process's, on another host. It may be set back, and then
        # the last change would lie in the future, and its cool-down last until then.
        now = self._clock.now_ns() / NANOSECONDS
        self.state = replace(self.state, changed_at=min(self.state.changed_at, now))
        measured = sample(self._api, self._pool, now, self._error_rate())
        self.state, slots = self._controller.decide(self.state, measured)
        if slots != measured.slots:
            pools.resize(self._api, self._pool, slots)
        return Step(measured, slots)
