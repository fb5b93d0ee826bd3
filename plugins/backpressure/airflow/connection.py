"""The shared state behind an Airflow connection: named when a DAG file is parsed, looked up when it is used."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from backpressure.clock import Clock, SystemClock
from backpressure.errors import StorageAccessError, StorageError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Connection

    from backpressure.storage import Argument, Operation, Result, Storage

__all__ = ["CONNECTION_ID", "ConnectionStorage", "storage"]

CONNECTION_ID = "backpressure_db"
_TYPES = ("postgres", "postgresql")
_LIBPQ_EXTRAS = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
)
"""Of a connection's extras, those that are libpq's own; Airflow's hooks have others, which libpq would refuse."""


class ConnectionStorage:
    """A storage that finds its database by an Airflow connection, when it is first used.

    Making one does no I/O and looks nothing up, so that it may stand at the top level of a DAG file. Get one from
    `storage`, which makes one for each connection and process.

    Args:
        conn_id: of a PostgreSQL connection.
        schema: PostgreSQL schema that holds the tables.
        timeout: seconds within which an operation answers or raises, when the caller names none.
        max_connections: most connections that this process keeps open.
        clock: by which callers wait.
        opened: makes the storage behind a connection; for tests.
    """

    def __init__(
        self,
        conn_id: str = CONNECTION_ID,
        *,
        schema: str = "backpressure",
        timeout: float = 5.0,
        max_connections: int = 4,
        clock: Clock | None = None,
        opened: Callable[[], Storage] | None = None,
    ) -> None:
        if not conn_id or not isinstance(conn_id, str):
            raise ValueError(f"conn_id must be the id of an Airflow connection, not {conn_id!r}")
        self.conn_id = conn_id
        self.schema = schema
        self.clock: Clock = clock or SystemClock()
        self._options: dict[str, Any] = {"schema": schema, "timeout": timeout, "max_connections": max_connections}
        self._opened = opened
        self._storage: Storage | None = opened() if opened else None

    def __repr__(self) -> str:
        return f"storage({self.conn_id!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> ConnectionStorage:
        # Airflow copies tasks with all they hold; a copy would hold connections of its own.
        return self

    def __reduce__(self) -> tuple[Callable[..., ConnectionStorage], tuple[Any, ...]]:
        return _again, (self.conn_id, tuple(self._options.items()))

    def description(self) -> dict[str, Any]:
        """What `storage` needs to find the same state in another process; no secret is in it."""
        return {"conn_id": self.conn_id, **self._options}

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        storage = self._storage  # another thread may forget it meanwhile
        if storage is None:
            storage = self._storage = self._open(_looked_up(self.conn_id))
        try:
            return storage.run(operation, keys, *arguments, timeout=timeout)
        except StorageAccessError:
            self._forget()
            raise

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; see `Storage.run_async`."""
        storage = await self.look_up_async()
        try:
            return await storage.run_async(operation, keys, *arguments, timeout=timeout)
        except StorageAccessError:
            self._forget()
            raise

    async def look_up_async(self) -> Storage:
        """The storage behind the connection, which is looked up if need be; nothing is asked of it.

        Raises:
            StorageAccessError: there is no such connection, or it may not be read.
            StorageUnavailableError: Airflow could not say.
        """
        storage = self._storage
        if storage is None:
            connection = await _looked_up_async(self.conn_id)
            # Whoever else looked it up meanwhile may have been first.
            storage = self._storage = self._storage or self._open(connection)
        return storage

    def close(self) -> None:
        """Close the connections that are not in use; the next operation opens one again."""
        storage = self._storage
        if storage is not None:
            storage.close()

    def _open(self, connection: Connection) -> Storage:
        from backpressure.storage import PostgresStorage  # noqa: PLC0415 - a file that is only parsed needs no driver

        return PostgresStorage(dsn(connection), **self._options)

    def _forget(self) -> None:
        """Look the connection up again next time: its password may have been changed since."""
        self.close()
        self._storage = self._opened() if self._opened else None


def storage(
    conn_id: str = CONNECTION_ID, *, schema: str = "backpressure", timeout: float = 5.0, max_connections: int = 4
) -> ConnectionStorage:
    """The shared state behind an Airflow connection: the same object for the same arguments, in all DAG files.

        limiter = RateLimiter("partner_x", Rate(limit=10, period=1.0), storage())

    No I/O and no lookup happen before the first operation.

    Args:
        conn_id: of a PostgreSQL connection.
        schema: PostgreSQL schema that holds the tables.
        timeout: seconds within which an operation answers or raises, when the caller names none.
        max_connections: most connections that this process keeps open.

    Raises:
        ValueError: `conn_id` is no id.
    """
    return _made(conn_id, schema, timeout, max_connections)


@cache
def _made(conn_id: str, schema: str, timeout: float, max_connections: int) -> ConnectionStorage:
    return ConnectionStorage(conn_id, schema=schema, timeout=timeout, max_connections=max_connections)


def dsn(connection: Connection) -> str:
    """The libpq connection string of an Airflow connection.

    Raises:
        ValueError: it is not one to PostgreSQL.
    """
    from psycopg2.extensions import make_dsn  # noqa: PLC0415 - a file that is only parsed needs no driver

    if connection.conn_type not in _TYPES:
        raise ValueError(
            f"connection {connection.conn_id!r} must be of type 'postgres', not {connection.conn_type!r}: "
            f"limits are shared through PostgreSQL"
        )
    extras = {name: value for name, value in connection.extra_dejson.items() if name in _LIBPQ_EXTRAS}
    return make_dsn(
        host=connection.host or None,
        port=connection.port or None,
        dbname=connection.schema or None,
        user=connection.login or None,
        password=connection.password or None,
        **extras,
    )


def _looked_up(conn_id: str) -> Connection:
    from airflow.sdk import Connection  # noqa: PLC0415 - not while a DAG file is parsed

    try:
        found: Connection = Connection.get(conn_id)
    except Exception as error:  # whatever a secrets backend raises
        supervisor, answer = _supervisor(), None
        if supervisor is not None:
            try:
                answer = supervisor.send(_question(conn_id))
            except Exception as refusal:  # noqa: BLE001 - the same
                answer = getattr(refusal, "error", None)
        raise _failed(conn_id, error, answer, supervised=supervisor is not None) from error
    return found


async def _looked_up_async(conn_id: str) -> Connection:
    from airflow.sdk import Connection  # noqa: PLC0415 - not while a DAG file is parsed

    try:
        found: Connection = await Connection.async_get(conn_id)
    except Exception as error:  # the same
        supervisor, answer = _supervisor(), None
        if supervisor is not None:
            try:
                answer = await supervisor.asend(_question(conn_id))
            except Exception as refusal:  # noqa: BLE001 - the same
                answer = getattr(refusal, "error", None)
        raise _failed(conn_id, error, answer, supervised=supervisor is not None) from error
    return found


def _failed(conn_id: str, error: Exception, answer: object, *, supervised: bool) -> StorageError:
    """What a failed look-up means. Of the original only the type is named: its text may hold what is in a connection.

    Airflow says "not found" also when its server did not answer, since it then goes on to other places that have no
    such connection either; what the supervisor of the task or trigger was answered tells the two apart.
    """
    from airflow.sdk.exceptions import (  # noqa: PLC0415 - not while a DAG file is parsed
        AirflowNotFoundException,
        AirflowSecretsBackendAccessDenied,
        ErrorType,
    )

    if isinstance(error, AirflowSecretsBackendAccessDenied):
        return StorageAccessError(f"Airflow does not let this task or trigger read the connection {conn_id!r}")
    denied = not supervised or getattr(answer, "error", None) is ErrorType.CONNECTION_NOT_FOUND
    if isinstance(error, AirflowNotFoundException) and denied:
        return StorageAccessError(
            f"there is no Airflow connection {conn_id!r}: make it with airflow connections add {conn_id} "
            f"--conn-uri 'postgres://USER:PASSWORD@HOST/DATABASE'"
        )
    return StorageUnavailableError(
        f"Airflow could not look the connection {conn_id!r} up ({type(error).__name__}); check that its API server "
        f"and its secrets backends answer"
    )


def _supervisor() -> Any:
    """The way to the process that asks Airflow's server for a task or a trigger; None where there is none."""
    from airflow.sdk.execution_time import task_runner  # noqa: PLC0415 - not while a DAG file is parsed

    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def _question(conn_id: str) -> Any:
    from airflow.sdk.execution_time.comms import GetConnection  # noqa: PLC0415 - not while a DAG file is parsed

    return GetConnection(conn_id=conn_id)


def _again(conn_id: str, options: tuple[tuple[str, Any], ...]) -> ConnectionStorage:
    return storage(conn_id, **dict(options))
