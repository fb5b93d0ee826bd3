"""Rate limits that hold across every process: rates with burst, exact sliding windows, calendar quotas.

Each name is loaded when it is first used: a task that takes one permit pays for no more than that.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backpressure.limiter.decision import Decision, Permit
    from backpressure.limiter.limiter import RateLimiter
    from backpressure.limiter.rate import Quota, Rate, SlidingWindow
    from backpressure.limiter.several import Choice, KeyRotation, MultiLimiter, all_of

__all__ = [
    "Choice",
    "Decision",
    "KeyRotation",
    "MultiLimiter",
    "Permit",
    "Quota",
    "Rate",
    "RateLimiter",
    "SlidingWindow",
    "all_of",
]

_MODULE_OF = {
    "Choice": "several",
    "Decision": "decision",
    "KeyRotation": "several",
    "MultiLimiter": "several",
    "Permit": "decision",
    "Quota": "rate",
    "Rate": "rate",
    "RateLimiter": "limiter",
    "SlidingWindow": "rate",
    "all_of": "several",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
