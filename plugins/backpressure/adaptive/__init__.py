"""Limits that follow what the other side can bear, learned by all processes together."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backpressure.adaptive.algorithms import AIMD, Gradient, LimitAlgorithm, LimitState, WindowSample
    from backpressure.adaptive.bulkhead import AdaptiveBulkhead
    from backpressure.adaptive.limit import AdaptiveLimit
    from backpressure.adaptive.pool_controller import ControllerSettings, ControllerState, PoolController, PoolSample
    from backpressure.adaptive.throttle import AcceptanceThrottle, ThrottledError, refusal_probability

_MODULE_OF = {
    "AIMD": "algorithms",
    "AcceptanceThrottle": "throttle",
    "AdaptiveBulkhead": "bulkhead",
    "AdaptiveLimit": "limit",
    "ControllerSettings": "pool_controller",
    "ControllerState": "pool_controller",
    "Gradient": "algorithms",
    "LimitAlgorithm": "algorithms",
    "LimitState": "algorithms",
    "PoolController": "pool_controller",
    "PoolSample": "pool_controller",
    "ThrottledError": "throttle",
    "WindowSample": "algorithms",
    "refusal_probability": "throttle",
}

__all__ = [
    "AIMD",
    "AcceptanceThrottle",
    "AdaptiveBulkhead",
    "AdaptiveLimit",
    "ControllerSettings",
    "ControllerState",
    "Gradient",
    "LimitAlgorithm",
    "LimitState",
    "PoolController",
    "PoolSample",
    "ThrottledError",
    "WindowSample",
    "refusal_probability",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The controller needs neither the throttle nor the limits, nor the other way round: each is loaded when it is used.
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
