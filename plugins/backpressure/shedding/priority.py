"""Shedding by priority: which classes to refuse at a given load, and which waiting items can't be done in time."""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriorityThresholds:
    """Refuses classes of work one after the other as the load rises, the least important first.

    Attributes:
        limits: For each class the load at which it is refused; load is whatever the caller measures relative to
            capacity (in-flight calls over the limit, queue time over its target), 1 meaning full. A class with an
            infinite limit is never refused.
        band: A refused class is let in again when the load is this far below its limit, so that it does not flap.

    Raises:
        ValueError: No class, a limit that is not above 0, or a band that is not smaller than every limit.
    """

    limits: Mapping[str, float]
    band: float = 0.1

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError(
                f"limits must name at least one class with the load at which it is refused, not {self.limits!r}"
            )
        for name, limit in self.limits.items():
            if not isinstance(limit, int | float) or isinstance(limit, bool) or math.isnan(limit) or limit <= 0:
                raise ValueError(f"limits[{name!r}] must be a load above 0, not {limit!r}")
        if not 0 <= self.band < min(self.limits.values()):
            raise ValueError(f"band must be at least 0 and smaller than every limit, not {self.band!r}")

    def refused(self, load: float, refused_before: frozenset[str] = frozenset()) -> frozenset[str]:
        """The classes to refuse at this load, given those refused so far."""
        return frozenset(
            name
            for name, limit in self.limits.items()
            if load >= limit or (name in refused_before and load > limit - self.band)
        )


@dataclass(frozen=True, slots=True)
class WaitingItem:
    """An item that waits to be served.

    Attributes:
        key: Its name.
        priority: Higher is served first, as Airflow's priority weight.
        enqueued: When it came, in seconds; among equals the older is served first.
        due: When its result must be there, in seconds; infinite when it does not matter.
    """

    key: str
    priority: int
    enqueued: float
    due: float = math.inf


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a waiting item.

    Attributes:
        item: The item.
        keep: False when it should be shed.
        finish: When it would be done, in seconds, if all kept items before it are done first.
    """

    item: WaitingItem
    keep: bool
    finish: float


def plan_shedding(
    items: Iterable[WaitingItem], now: float, free_at: Sequence[float], service_time: float
) -> list[Verdict]:
    """Decide which waiting items to shed because they would be done too late, in the order of service.

    Items are served by priority, then age. Each takes the server that is free first; one that would be done after its
    due time is shed, which brings all behind it forward. So an item is shed only for being late itself, and the less
    important ones, being served last, are the ones that are late.

    Args:
        items: What waits.
        now: The present instant, in seconds.
        free_at: For each server (pool slot) the instant at which it is free; a past instant means now.
        service_time: Seconds that one item takes, measured.

    Raises:
        ValueError: No server, or a service time that is not above 0.
    """
    if not free_at:
        raise ValueError(f"free_at must hold the instant at which each server is free, not {free_at!r}")
    if not service_time > 0 or not math.isfinite(service_time):
        raise ValueError(f"service_time must be a number of seconds above 0, not {service_time!r}")
    servers = [max(now, instant) for instant in free_at]
    heapq.heapify(servers)
    verdicts = []
    for item in sorted(items, key=lambda item: (-item.priority, item.enqueued, item.key)):
        finish = servers[0] + service_time
        keep = finish <= item.due
        if keep:
            heapq.heapreplace(servers, finish)
        verdicts.append(Verdict(item, keep=keep, finish=finish))
    return verdicts
