"""The shared state behind an Airflow connection: looked up when it is used, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSecretsBackendAccessDenied, ErrorType
from airflow.sdk.execution_time import supervisor, task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
from backpressure import CircuitBreaker, Rate, RateLimiter
from backpressure.airflow import connection as subject
from backpressure.airflow import storage
from backpressure.airflow.connection import ConnectionStorage, dsn
from backpressure.errors import StorageAccessError, StorageError, StorageUnavailableError
from backpressure.storage import MemoryStorage
from psycopg2.extensions import parse_dsn
from support.bagging import parse
from support.postgres import PostgresServer

TAKES_EVERYTHING = """
from airflow.sdk import DAG, task
from backpressure import Bulkhead, CircuitBreaker, Rate, RateLimiter, all_of
from backpressure.airflow import Admission, BackoffRetryPolicy, LimitedOperator, limited, storage
from backpressure.retry import RetryBudget

shared = storage("no_such_connection")
partner = RateLimiter("partner", Rate(limit=1, period=1.0), shared)
everybody = RateLimiter("everybody", Rate(limit=10, period=1.0), shared)
breaker = CircuitBreaker("partner", shared)
bulkhead = Bulkhead("partner", 2, shared)
policy = BackoffRetryPolicy(budget=RetryBudget("partner", shared))

with DAG("everything", schedule=None):

    @limited(all_of(partner, everybody), breaker=breaker, bulkhead=bulkhead, retries=2, retry_policy=policy)
    def call(page):
        with breaker:
            partner.acquire(timeout=1)

    call.expand(page=[1, 2, 3])
    LimitedOperator(task_id="one", python_callable=print, admission=Admission(partner))
"""


def _runtime_error(kind: ErrorType) -> AirflowRuntimeError:
    """What Airflow raises for an error that its server or supervisor answered."""
    return AirflowRuntimeError(ErrorResponse(error=kind, detail={"message": "pa55word"}))


def _raising(error: Exception) -> Callable[..., Any]:
    def raising(*_: object) -> None:
        raise error

    return raising


def found(**fields: Any) -> Connection:
    """An Airflow connection to PostgreSQL."""
    return Connection(**({"conn_id": "c", "conn_type": "postgres", "host": "db.example", "schema": "state"} | fields))


def test_a_dag_file_with_all_of_it_touches_nothing_when_parsed(tmp_path: Path) -> None:
    """Limiter, breaker, bulkhead, budget and tasks at top level: no query, no connection looked up, no warning."""
    file = tmp_path / "everything.py"
    file.write_text(TAKES_EVERYTHING, encoding="utf-8")
    parsed = parse(file)
    assert parsed.errors == []
    assert parsed.dags["everything"].task_ids == ["call", "one"]
    assert (parsed.queries, parsed.lookups, parsed.warnings) == ([], [], [])


def test_the_first_operation_looks_the_connection_up_once(
    monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    """Made and named for free, asked for once, used for both ways of asking; the same object everywhere."""
    asked = []

    def get(_: type, conn_id: str) -> Connection:
        asked.append(conn_id)
        parts = parse_dsn(postgres.dsn())
        return found(host=parts["host"], schema=parts["dbname"], login=parts["user"], password=parts.get("password"))

    monkeypatch.setattr(Connection, "get", classmethod(get))
    subject._made.cache_clear()
    limiter = RateLimiter("partner", Rate(1, 60.0), storage(schema="connection_test"))
    assert asked == []
    assert limiter.try_acquire().allowed
    assert not asyncio.run(limiter.try_acquire_async()).allowed
    assert asked == ["backpressure_db"]
    assert storage("backpressure_db", schema="connection_test") is limiter.storage
    limiter.storage.close()


def test_an_event_loop_looks_it_up_without_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a triggerer the connection is got with await: the plain way would stop all triggers."""
    memory = MemoryStorage()

    async def get(_: type, conn_id: str) -> Connection:
        await asyncio.sleep(0)
        return found(conn_id=conn_id)

    monkeypatch.setattr(Connection, "async_get", classmethod(get))
    monkeypatch.setattr(ConnectionStorage, "_open", lambda *_: memory)
    limiter = RateLimiter("partner", Rate(1, 60.0), ConnectionStorage("c"))
    assert asyncio.run(limiter.try_acquire_async()).allowed
    assert len(memory) == 1


def test_a_changed_password_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A triggerer lives for weeks: when the server refuses it, the connection is read anew at the next operation."""

    class Refusing(MemoryStorage):
        def run(self, *_: Any, **__: Any) -> Any:
            raise StorageAccessError("wrong password")

    opened = iter([Refusing(), MemoryStorage()])
    monkeypatch.setattr(Connection, "get", classmethod(lambda _, conn_id: found(conn_id=conn_id)))
    monkeypatch.setattr(ConnectionStorage, "_open", lambda *_: next(opened))
    limiter = RateLimiter("partner", Rate(1, 60.0), ConnectionStorage("c"))
    with pytest.raises(StorageAccessError, match="wrong password"):
        limiter.try_acquire()
    assert limiter.try_acquire().allowed


def test_becomes_what_libpq_takes() -> None:
    """Host, port, database, user, password and libpq's own extras; an Airflow hook's extras are left out."""
    connection = found(
        host="/tmp/a folder",  # noqa: S108 - a name only
        port=5433,
        login="us er",
        password="p'w\\",
        extra='{"sslmode": "require", "cursor": "dictcursor", "keepalives_idle": 30, "tcp_user_timeout": 9000}',
    )
    assert parse_dsn(dsn(connection)) == {
        "host": "/tmp/a folder",  # noqa: S108 - the same
        "port": "5433",
        "dbname": "state",
        "user": "us er",
        "password": "p'w\\",
        "sslmode": "require",
        "keepalives_idle": "30",
        "tcp_user_timeout": "9000",
    }


def test_a_connection_of_another_type_is_named() -> None:
    """MySQL keeps no limits of ours: ValueError says which connection and what it is."""
    with pytest.raises(ValueError, match="connection 'c' must be of type 'postgres', not 'mysql'"):
        dsn(found(conn_type="mysql"))


def test_a_missing_connection_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed error that names the id and the command, from a thread and from an event loop."""
    limiter = RateLimiter("partner", Rate(1, 60.0), ConnectionStorage("not_there"))
    monkeypatch.setattr(Connection, "get", classmethod(_not_found))
    monkeypatch.setattr(Connection, "async_get", classmethod(_not_found))
    for ask in (limiter.try_acquire, lambda: asyncio.run(limiter.try_acquire_async())):
        with pytest.raises(StorageAccessError, match="no Airflow connection 'not_there': make it with airflow connect"):
            ask()


@pytest.mark.parametrize(
    "away",
    [ConnectionError("postgres://u:pa55word@db"), _runtime_error(ErrorType.API_SERVER_ERROR)],
    ids=["any", "api"],
)
def test_a_look_up_that_fails_is_a_storage_that_is_away(monkeypatch: pytest.MonkeyPatch, away: Exception) -> None:
    """Fail-open limiters and breakers let calls through, others raise a StorageError that shows nothing of it."""
    monkeypatch.setattr(Connection, "get", classmethod(_raising(away)))
    monkeypatch.setattr(Connection, "async_get", classmethod(_raising(away)))
    there = ConnectionStorage("c")
    assert RateLimiter("partner", Rate(1, 60.0), there, fail_open=True).try_acquire().allowed
    assert CircuitBreaker("partner", there, fail_open=True).call(lambda: "done") == "done"
    limiter = RateLimiter("partner", Rate(1, 60.0), there)
    for ask in (limiter.try_acquire, lambda: asyncio.run(limiter.try_acquire_async())):
        with pytest.raises(StorageUnavailableError, match=f"connection 'c' up .{type(away).__name__}.") as caught:
            ask()
        assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND), StorageAccessError),
        (_runtime_error(ErrorType.CONNECTION_NOT_FOUND), StorageAccessError),
        (ErrorResponse(error=ErrorType.API_SERVER_ERROR), StorageUnavailableError),
        (_runtime_error(ErrorType.API_SERVER_ERROR), StorageUnavailableError),
        (OSError("the supervisor is gone"), StorageUnavailableError),
    ],
    ids=repr,
)
def test_not_found_is_believed_if_airflows_server_said_it(
    monkeypatch: pytest.MonkeyPatch, answer: object, expected: type[StorageError]
) -> None:
    """In a task and in a trigger Airflow's own look-up says "not found" of a server that did not answer, too."""

    class Supervisor:
        def send(self, question: GetConnection) -> object:
            assert question.conn_id == "c"
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def asend(self, question: GetConnection) -> object:
            return self.send(question)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [ExecutionAPISecretsBackend()])
    limiter = RateLimiter("partner", Rate(1, 60.0), ConnectionStorage("c"))
    for ask in (limiter.try_acquire, lambda: asyncio.run(limiter.try_acquire_async())):
        with pytest.raises(expected):
            ask()


def test_a_connection_that_may_not_be_read_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow refuses it to this task: nothing fails open for that."""
    monkeypatch.setattr(Connection, "get", classmethod(_raising(AirflowSecretsBackendAccessDenied("no"))))
    limiter = RateLimiter("partner", Rate(1, 60.0), ConnectionStorage("c"), fail_open=True)
    with pytest.raises(StorageAccessError, match="does not let this task or trigger read the connection 'c'"):
        limiter.try_acquire()


def test_a_storage_that_another_thread_forgets_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses one thread's question between another's look at the storage and its own question."""
    memory = MemoryStorage()
    shared = ConnectionStorage("c")

    class Forgotten:
        """What is stored, read once and gone at the next look."""

        def __init__(self) -> None:
            self.left: list[MemoryStorage | None] = [memory]

        def __get__(self, *_: object) -> MemoryStorage | None:
            return self.left.pop() if self.left else None

        def __set__(self, *_: object) -> None:
            """Nothing is kept."""

    monkeypatch.setattr(ConnectionStorage, "_storage", Forgotten(), raising=False)
    monkeypatch.setattr(Connection, "get", classmethod(_raising(AssertionError("looked up again"))))
    assert RateLimiter("partner", Rate(1, 60.0), shared).try_acquire().allowed


def test_shows_no_secret() -> None:
    """What is printed, serialized and sent to a trigger names the connection, never what is in it."""
    made = storage("c", timeout=2.0)
    assert repr(made) == "storage('c')"
    assert made.description() == {"conn_id": "c", "schema": "backpressure", "timeout": 2.0, "max_connections": 4}


def _not_found(_: type, conn_id: str) -> Connection:
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415 - as Airflow does

    raise AirflowNotFoundException(conn_id)
