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

__all__ = ["cause", "damaged", "is_missing", "is_of_the_connection", "is_passing", "typed", "unavailable"]

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
_QUOTE = "in a password, a URI needs %25 for %, %40 for @, %2F for /; a connection string needs quotes around a space"
# A failed connection carries no SQLSTATE in libpq, only the server's message.
_ACCESS_MESSAGES = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "is not permitted to log in",
    "is not currently accepting connections",
    "pg_hba.conf rejects connection",
    # PgBouncer's words
    "no such database",
    "no such user",
    "auth failed",
    "login rejected",
)


def is_missing(error: psycopg2.Error) -> bool:
    """Whether the tables or functions are not there (yet)."""
    return error.pgcode in _MISSING


def is_passing(error: psycopg2.Error) -> bool:
    """Whether the same may work in a moment: the server restarts, is full, or the connection broke."""
    if error.pgcode is not None:
        return error.pgcode in _PASSING or error.pgcode[:2] in {"08", "57"}
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and not _is_refusal(error)


def is_of_the_connection(error: psycopg2.Error) -> bool:
    """Whether a passing failure leaves other connections of its time in doubt, too."""
    # 25006: the server that they reach is a standby, and connecting anew may find the primary.
    return error.pgcode in {None, "25006", "26000"} or error.pgcode[:3] == "57P" or error.pgcode[:2] == "08"


def typed(dsn: str, error: psycopg2.Error) -> Exception:
    """The error to raise for what will not pass by itself."""
    if error.pgcode in _ACCESS or (error.pgcode is None and _is_refusal(error)):
        return StorageAccessError(
            f"PostgreSQL refuses ({_target(dsn)}): {_text(dsn, error)}; check user, password and database; a role that "
            f"may not create the schema needs one that may to call PostgresStorage(...).install(...) once"
        )
    if _is_unreadable(error):
        return ValueError(
            f"dsn is not a PostgreSQL connection string or URI, such as host=... dbname=... user=... password='...' or "
            f"postgresql://user:password@host/dbname ({_QUOTE})"
        )
    return StorageError(f"PostgreSQL failed ({_target(dsn)}): {error.pgcode} {_text(dsn, error)}")


def cause(dsn: str, error: psycopg2.Error) -> psycopg2.Error | None:
    """What a traceback may show beside `typed`: what libpq says of a dsn that it can't read quotes passwords."""
    return None if _is_unreadable(error) or (error.pgcode is None and _is_misread(dsn)) else error


def unavailable(dsn: str, seconds: float, failure: psycopg2.Error | None) -> StorageUnavailableError:
    """The error to raise when the time is up."""
    reason = "no reply" if failure is None else _text(dsn, failure)
    return StorageUnavailableError(
        f"PostgreSQL gave no answer within {seconds:g} s ({_target(dsn)}): {reason}; check that it runs and is "
        f"reachable, or allow a longer timeout"
    )


def damaged(schema: str, operation: Operation, error: psycopg2.Error) -> SchemaDamagedError:
    """The error to raise when the schema has the right version and yet lacks what an operation needs."""
    return SchemaDamagedError(
        f"schema {schema!r} says version {operation.feature.version} of {operation.feature.name!r} and lacks what "
        f"{operation.name!r} needs: {_words(error)}; drop the schema (its limits start afresh) or use another"
    )


def _is_refusal(error: psycopg2.Error) -> bool:
    text = str(error)
    # PostgreSQL says FATAL of whatever ends a connection, older releases of PgBouncer say ERROR.
    said = "FATAL:" in text or "ERROR:" in text
    return "no password supplied" in text or (said and any(each in text for each in _ACCESS_MESSAGES))


def _is_unreadable(error: psycopg2.Error) -> bool:
    return error.pgcode is None and isinstance(error, psycopg2.ProgrammingError)


def _is_misread(dsn: str) -> bool:
    """Whether a URI has an @ where none belongs, so that libpq takes a part of its password for something else."""
    scheme, _, rest = dsn.partition("://")
    if scheme not in {"postgres", "postgresql"}:
        return False
    user, _, host = rest.partition("@")
    return "@" in (rest if "/" in user else host).partition("?")[0]


def _text(dsn: str, error: psycopg2.Error) -> str:
    return f"the dsn can't be read ({_QUOTE})" if error.pgcode is None and _is_misread(dsn) else _words(error)


def _words(error: psycopg2.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _target(dsn: str) -> str:
    if _is_misread(dsn):
        return "unreadable dsn"
    try:
        parts = parse_dsn(dsn)
    except psycopg2.Error:
        return "unreadable dsn"
    return (
        " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user") if name in parts) or "defaults"
    )
