"""Limits and breakers whose state is shared by every process and host that uses the same storage and name.

Importing this package imports none of its parts: each name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backpressure.breaker import CircuitBreaker as CircuitBreaker
    from backpressure.breaker import CircuitOpenError as CircuitOpenError

__version__ = "0.1.0"

_MODULE_OF = {
    "BackpressureError": "backpressure.errors",
    "CircuitBreaker": "backpressure.breaker",
    "CircuitOpenError": "backpressure.breaker",
    "RateLimitedError": "backpressure.errors",
    "RejectedError": "backpressure.errors",
    "StorageError": "backpressure.errors",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - sorted() of a literal is a list of names


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
