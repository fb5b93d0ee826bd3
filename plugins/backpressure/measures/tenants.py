"""How fairly tenants share: what each held of the slots while all of them waited for more, and whose turn it was.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["contended", "fairness", "jain", "ranked"]


def jain(shares: list[float]) -> float | None:
    """Jain's index of fairness: 1 when all are equal, 1 / n when one has everything; None when nobody has anything."""
    squares = sum(one * one for one in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else None


def contended(tenants: Mapping[str, Timeline]) -> tuple[float, float] | None:
    """From when work of every tenant was there until the first tenant had none left that waited; None if never."""
    stamps = [(work.scheduled[work.scheduled > 0], work.queued[work.queued > 0]) for work in tenants.values()]
    if not stamps or any(not len(came) or not len(went) for came, went in stamps):
        return None
    since = max(float(came.min()) for came, _ in stamps)
    until = min(float(went.max()) for _, went in stamps)
    return (since, until) if since < until else None


def fairness(tenants: Mapping[str, Timeline], entitled: Mapping[str, float]) -> Measure:
    """Jain's index of the slots that tenants held, each for what it is entitled to, while all had work that waited.

    A slot is held from ``queued`` to the end. There is no value when they never all waited at the same time.

    Args:
        tenants: each tenant's work.
        entitled: each tenant's share, in any unit.
    """
    name, window = "Jain's index of slots held, for those entitled to", contended(tenants)
    if window is None:
        return Measure(None, name)
    held = {
        tenant: work.intervals("queued", "end").within(*window).slot_seconds() / (window[1] - window[0])
        for tenant, work in tenants.items()
    }
    detail = ", ".join(f"{tenant} held {mean:.1f} of {entitled[tenant]:g}" for tenant, mean in held.items())
    value = jain([mean / entitled[tenant] for tenant, mean in held.items()])
    return Measure(value, name, at=window[1], samples=sum(map(len, tenants.values())), detail=detail)


def ranked(tenants: Mapping[str, Timeline], ranks: Mapping[str, int]) -> Timeline:
    """All tenants' work together, with each tenant's rank for its weight: in whose order slots should have been given.

    Args:
        tenants: each tenant's work.
        ranks: by tenant; higher goes first.
    """
    import numpy as np  # noqa: PLC0415 - not while a DAG file is parsed

    parts = [replace(work, priority_weight=np.full(len(work), ranks[tenant])) for tenant, work in tenants.items()]
    return reduce(or_, parts)
