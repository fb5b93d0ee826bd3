"""Limiters, breakers and bulkheads as JSON and back: what a trigger needs to ask them in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backpressure.breaker import CircuitBreaker
from backpressure.bulkhead import Bulkhead
from backpressure.limiter import MultiLimiter, Quota, Rate, RateLimiter, SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from backpressure.storage import Storage

__all__ = ["described", "restored"]

_RATES = {kind.__name__: kind for kind in (Rate, SlidingWindow, Quota)}
Described = dict[str, Any]


def described(one: RateLimiter | MultiLimiter | CircuitBreaker | Bulkhead | None) -> Described | None:
    """As JSON; listeners, fallbacks and what tells failures from successes are left out."""
    if one is None:
        return None
    if isinstance(one, MultiLimiter):
        return {"type": "MultiLimiter", "limiters": [described(each) for each in one.limiters]}
    common = {"type": type(one).__name__, "name": one.name, "storage": one.storage.description()}  # type: ignore[attr-defined]
    if isinstance(one, RateLimiter):
        return {**common, "rate": [type(one.rate).__name__, *one.rate]}
    if isinstance(one, CircuitBreaker):
        return {**common, "settings": one.settings._asdict()}
    return {**common, "limit": one.limit, "lease": one.lease, "weights": dict(one.weights)}


def restored(given: Described | None, storage: Callable[..., Storage]) -> Any:
    """What was described; `storage` makes its storage of a storage's description."""
    if given is None:
        return None
    if given["type"] == "MultiLimiter":
        return MultiLimiter([restored(each, storage) for each in given["limiters"]])
    name, found = given["name"], storage(**given["storage"])
    if given["type"] == "RateLimiter":
        kind, *values = given["rate"]
        return RateLimiter(name, _RATES[kind](*values), found)
    if given["type"] == "CircuitBreaker":
        return CircuitBreaker(name, found, **given["settings"])
    return Bulkhead(name, given["limit"], found, lease=given["lease"], weights=given["weights"])
