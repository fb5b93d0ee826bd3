"""What can go wrong, as types.

    BackpressureError
    ├── RejectedError                 not now; `retry_after` says when
    │   ├── RateLimitedError
    │   ├── BulkheadFullError
    │   └── CircuitOpenError          in backpressure.breaker
    └── StorageError                  the shared state could not be read or changed
        ├── StorageUnavailableError   no answer within the caller's timeout
        ├── StorageAccessError        the server refuses this user, password, database or right
        ├── SchemaTooNewError         a newer release made the tables
        └── SchemaDamagedError        tables or functions are missing

A bad argument raises ValueError, naming the argument and its value.
"""

__all__ = [
    "BackpressureError",
    "BulkheadFullError",
    "RateLimitedError",
    "RejectedError",
    "SchemaDamagedError",
    "SchemaTooNewError",
    "StorageAccessError",
    "StorageError",
    "StorageUnavailableError",
]


class BackpressureError(Exception):
    """Base of every error this package raises, but for bad arguments (ValueError)."""


class RejectedError(BackpressureError):
    """A call was not let through.

    Args:
        message: what refused, and why.
        retry_after: seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after)
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class RateLimitedError(RejectedError):
    """The permit would come too late; after `retry_after` seconds it would be there."""


class BulkheadFullError(RejectedError):
    """No permit came free in time; `retry_after` is when the next lease ends at the latest, if it is not renewed."""


class StorageError(BackpressureError):
    """The shared state could not be read or changed."""


class StorageUnavailableError(StorageError):
    """The storage gave no answer within the caller's timeout. Whether the operation took place is not known."""


class StorageAccessError(StorageError):
    """The storage is there and refuses: wrong user or password, no such database, or a right that is missing."""


class SchemaTooNewError(StorageError):
    """The tables were made by a newer release of this package, which no longer serves this one."""


class SchemaDamagedError(StorageError):
    """The tables are of this release, but some table or function is missing or altered."""
