"""Limits and breakers whose state is shared by every process and host that uses the same storage and name.

Importing this package imports none of its parts: each name below is loaded when it is first used.
"""

TYPE_CHECKING = False  # type checkers know it without the import of typing, a tenth of the budget of this package's
if TYPE_CHECKING:
    from backpressure.breaker import CircuitBreaker as CircuitBreaker
    from backpressure.breaker import CircuitOpenError as CircuitOpenError
    from backpressure.bulkhead import Bulkhead as Bulkhead
    from backpressure.errors import BackpressureError as BackpressureError
    from backpressure.errors import BulkheadFullError as BulkheadFullError
    from backpressure.errors import RateLimitedError as RateLimitedError
    from backpressure.errors import RejectedError as RejectedError
    from backpressure.errors import StorageError as StorageError
    from backpressure.limiter import Choice as Choice
    from backpressure.limiter import Decision as Decision
    from backpressure.limiter import KeyRotation as KeyRotation
    from backpressure.limiter import MultiLimiter as MultiLimiter
    from backpressure.limiter import Permit as Permit
    from backpressure.limiter import Quota as Quota
    from backpressure.limiter import Rate as Rate
    from backpressure.limiter import RateLimiter as RateLimiter
    from backpressure.limiter import SlidingWindow as SlidingWindow
    from backpressure.limiter import all_of as all_of

__version__ = "0.1.0"

_MODULE_OF = {
    "BackpressureError": "backpressure.errors",
    "Bulkhead": "backpressure.bulkhead",
    "BulkheadFullError": "backpressure.errors",
    "Choice": "backpressure.limiter",
    "CircuitBreaker": "backpressure.breaker",
    "CircuitOpenError": "backpressure.breaker",
    "Decision": "backpressure.limiter",
    "KeyRotation": "backpressure.limiter",
    "MultiLimiter": "backpressure.limiter",
    "Permit": "backpressure.limiter",
    "Quota": "backpressure.limiter",
    "Rate": "backpressure.limiter",
    "RateLimitedError": "backpressure.errors",
    "RateLimiter": "backpressure.limiter",
    "RejectedError": "backpressure.errors",
    "SlidingWindow": "backpressure.limiter",
    "StorageError": "backpressure.errors",
    "all_of": "backpressure.limiter",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - sorted() of a literal is a list of names


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - whoever only imports the package does not need it

    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
