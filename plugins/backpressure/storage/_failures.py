"""What psycopg2 raises, sorted into what passes, what is missing, what is refused, and what is wrong."""

import psycopg2
from psycopg2.extensions import parse_dsn

from backpressure.errors import (
    SchemaDamagedError,
    StorageAccessError,
    StorageError,
    StorageUnavailableError,
)
from backpressure.storage.protocol import Operation

__all__ = ["damaged", "is_missing", "is_passing", "typed", "unavailable"]

_MISSING = {"42883", "42P01", "3F000"}  # undefined_function, undefined_table, invalid_schema_name
_ACCESS = {"28000", "28P01", "3D000", "42501"}  # invalid authorization, password, catalog; insufficient_privilege
_PASSING = {
    "26000",  # invalid_sql_statement_name: a pooler took the session away
    "25006",  # read_only_sql_transaction: a standby that has not been promoted yet
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "53300",  # too_many_connections
    "55P03",  # lock_not_available
    "57014",  # query_canceled
}
# A failed connection carries no SQLSTATE in libpq, only the server's message.
_ACCESS_MESSAGES = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "is not permitted to log in",
    "is not currently accepting connections",
)


def is_missing(error: psycopg2.Error) -> bool:
    """Whether the tables or functions are not there (yet)."""
    return error.pgcode in _MISSING


def is_passing(error: psycopg2.Error) -> bool:
    """Whether the same may work in a moment: the server restarts, is full, or the connection broke."""
    if error.pgcode is not None:
        return error.pgcode in _PASSING or error.pgcode[:2] in {"08", "57"}
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and not _is_refusal(error)


def typed(dsn: str, error: psycopg2.Error) -> Exception:
    """The error to raise for what will not pass by itself."""
    if error.pgcode in _ACCESS or (error.pgcode is None and _is_refusal(error)):
        return StorageAccessError(
            f"PostgreSQL refuses ({_target(dsn)}): {_text(error)}; check user, password and database; a role that "
            f"may not create the schema needs one that may to call PostgresStorage(...).install(...) once"
        )
    if error.pgcode is None and isinstance(error, psycopg2.ProgrammingError):
        return ValueError(f"dsn is not a PostgreSQL connection string or URI: {_text(error)}")
    return StorageError(f"PostgreSQL failed ({_target(dsn)}): {error.pgcode} {_text(error)}")


def unavailable(dsn: str, seconds: float, failure: psycopg2.Error | None) -> StorageUnavailableError:
    """The error to raise when the time is up."""
    reason = "no reply" if failure is None else _text(failure)
    return StorageUnavailableError(
        f"PostgreSQL gave no answer within {seconds:g} s ({_target(dsn)}): {reason}; check that it runs and is "
        f"reachable, or allow a longer timeout"
    )


def damaged(schema: str, operation: Operation, error: psycopg2.Error) -> SchemaDamagedError:
    """The error to raise when the schema has the right version and yet lacks what an operation needs."""
    return SchemaDamagedError(
        f"schema {schema!r} says version {operation.feature.version} of {operation.feature.name!r} and lacks what "
        f"{operation.name!r} needs: {_text(error)}; drop the schema (its limits start afresh) or use another"
    )


def _is_refusal(error: psycopg2.Error) -> bool:
    text = str(error)
    return "no password supplied" in text or ("FATAL" in text and any(each in text for each in _ACCESS_MESSAGES))


def _text(error: psycopg2.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _target(dsn: str) -> str:
    try:
        parts = parse_dsn(dsn)
    except psycopg2.Error:
        return "unreadable dsn"
    return (
        " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user") if name in parts) or "defaults"
    )
