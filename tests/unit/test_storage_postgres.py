"""What PostgreSQL's storage promises beyond the contract: errors, poolers, rights, schema, growth."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import socketserver
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg2
import pytest
from backpressure import Bulkhead, CircuitBreaker, Rate, RateLimiter
from backpressure.bulkhead.bulkhead import LEAVE_WITHIN
from backpressure.bulkhead.operations import FEATURE as BULKHEAD
from backpressure.clock import ManualClock
from backpressure.errors import (
    SchemaDamagedError,
    SchemaTooNewError,
    StorageAccessError,
    StorageError,
    StorageUnavailableError,
)
from backpressure.limiter.operations import FEATURE, GCRA_TAKE
from backpressure.storage import MemoryStorage, PostgresStorage, _connection
from psycopg2.extensions import parse_dsn
from support.postgres import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.processes import Crowd

TAKE = (GCRA_TAKE, ("g:x",), 1, 3600 * 10**9, 1, 0)


@contextlib.contextmanager
def _raises_within(seconds: float, kind: type[Exception], match: str) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(kind, match=match):
        yield
    assert time.monotonic() - began < seconds + 2.0


def _sessions(server: PostgresServer, application: str) -> int:
    names = server.psql("SELECT application_name FROM pg_stat_activity").splitlines()
    return names.count(application)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dsn": ""}, "dsn must be a PostgreSQL connection string or URI, not ''"),
        ({"dsn": None}, "dsn must be .* not NoneType"),
        ({"dsn": b"password=geheim"}, "dsn must be .* not bytes"),
        ({"schema": ""}, "schema must be a name of 1 to 63 bytes, not ''"),
        ({"schema": "é" * 32}, "schema must be a name of 1 to 63 bytes"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, not 0"),
        ({"timeout": float("nan")}, "timeout must be a positive number of seconds, not nan"),
        ({"timeout": "5"}, "timeout must be a positive number of seconds, not '5'"),
        ({"max_connections": 2.5}, "max_connections must be a whole number of at least 1, not 2.5"),
        ({"timeout": float("inf")}, "timeout must be a positive number of seconds, not inf"),
        ({"max_connections": 0}, "max_connections must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    """Each bad argument is named with its value, before anything connects."""
    with pytest.raises(ValueError, match=message):
        PostgresStorage(**({"dsn": "dbname=x"} | arguments))


def test_an_unreadable_dsn_is_a_bad_argument() -> None:
    """What libpq cannot read is said to be a bad dsn, not a server that is down."""
    with pytest.raises(ValueError, match="dsn is not a PostgreSQL connection string or URI"):
        PostgresStorage("nonsense").run(*TAKE)


def test_making_a_storage_connects_to_nothing() -> None:
    """A storage and a limiter at the top of a DAG file do no I/O, however wrong their dsn is."""
    limiter = RateLimiter("x", Rate(1, 1.0), PostgresStorage("host=no.such.host.invalid"))
    assert "x" in repr(limiter)


@pytest.mark.parametrize("uri", [False, True])
def test_a_silent_host_leaves_time_for_the_next(
    postgres: PostgresServer, postgres_storage: PostgresStorage, *, uri: bool
) -> None:
    """Of several hosts each is tried for its share of the timeout: one that is switched off does not take it all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        folder = postgres.folder
        dsn = (
            f"postgresql://postgres@127.0.0.1:{port},{str(folder).replace('/', '%2F')}:5432/postgres?sslmode=disable"
            if uri
            else f"host=127.0.0.1,{folder} port={port},5432 user=postgres dbname=postgres gssencmode=disable"
        )
        postgres_storage.install(FEATURE)
        storage = PostgresStorage(dsn, schema=postgres_storage.schema, timeout=4.0)
        assert storage.run(*TAKE)[0] is True
        storage.close()
    gone = PostgresStorage(f"host=127.0.0.1,/no/such/folder port={port},1", timeout=0.4)
    with _raises_within(0.4, StorageUnavailableError, r"\(host=127.0.0.1,/no/such/folder port="):
        gone.run(*TAKE)


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("host=a", [("a", None)]),
        ("host=a password='x,y'", [("a", None)]),
        ("host=a,b", [("a", None), ("b", None)]),
        ("host=a,b port=1", [("a", "1"), ("b", "1")]),
        ("host=a,b port=1,2 password='x y'", [("a", "1"), ("b", "2")]),
        ("host=a,b port=1,2,3", [("a,b", "1,2,3")]),
        ("host=a,b hostaddr=10.0.0.1,10.0.0.2", [("a", None), ("b", None)]),
        ("host=a,b target_session_attrs=prefer-standby", [("a,b", None)]),
    ],
)
def test_hosts_are_told_apart(dsn: str, hosts: list[tuple[str, str | None]]) -> None:
    """Each host with its port and all the rest; what libpq has to judge is left to it."""
    parts = [parse_dsn(each) for each in _connection._targets(dsn)]
    assert [(each["host"], each.get("port")) for each in parts] == hosts
    assert {each.get("password") for each in parts} == {parse_dsn(dsn).get("password")}


def test_sqlalchemys_spelling_of_a_uri_is_understood(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """A URI that names a driver is read without it."""
    uri = f"postgresql+psycopg2://postgres@/postgres?host={postgres.folder}"
    assert PostgresStorage(uri, schema=postgres_storage.schema).run(*TAKE)[0] is True


def test_no_server_is_a_typed_error_within_the_timeout() -> None:
    """Nobody there: the error comes within the caller's timeout and names target and remedy."""
    storage = PostgresStorage("host=/no/such/folder dbname=d password=geheim", timeout=0.3)
    with _raises_within(
        0.3, StorageUnavailableError, r"within 0.3 s \(host=/no/such/folder dbname=d\).*reachable"
    ) as _:
        storage.run(*TAKE)


def test_errors_keep_passwords_to_themselves() -> None:
    """No message shows the password of the dsn."""
    storage = PostgresStorage("host=/no/such/folder password=geheim", timeout=0.1)
    with pytest.raises(StorageUnavailableError) as caught:
        storage.run(*TAKE)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:50%geheim@127.0.0.1:1/d",
        "postgresql://u:ge@heim@127.0.0.1:1/d",
        "postgresql://u:geheim/x@127.0.0.1:1/d",
        "postgresql://u:x/geheim@127.0.0.1:1/d",
        "postgresql://u:x@127.0.0.1:1/d?geheim",
        "host=127.0.0.1 port=1 password=my geheim dbname=d",
        "host=127.0.0.1 port=1 password=my geheim=x dbname=d",
        "password='geheim host=127.0.0.1",
        "geheim",
    ],
)
def test_a_malformed_dsn_keeps_its_password_to_itself(dsn: str) -> None:
    """Neither the error nor what a traceback shows with it repeats a dsn that libpq can't read, or reads amiss."""
    storage = PostgresStorage(dsn, timeout=0.1)
    for ask in (lambda: storage.run(*TAKE), lambda: storage.install(FEATURE, timeout=0.1)):
        with pytest.raises((ValueError, StorageError)) as caught:
            ask()
        shown = "".join(traceback.format_exception(caught.value))
        assert "heim" not in shown.replace(dsn, "")
        assert "%40 for @" in str(caught.value)


@pytest.mark.parametrize(("user", "dbname"), [("nobody_such", "postgres"), ("postgres", "no_such_db")])
def test_a_refusing_server_is_not_waited_for(postgres: PostgresServer, user: str, dbname: str) -> None:
    """An unknown user or database is refused at once, with the server's words and the remedy."""
    storage = PostgresStorage(postgres.dsn(user=user, dbname=dbname), timeout=20)
    with _raises_within(0.0, StorageAccessError, "does not exist; check user, password and database"):
        storage.run(*TAKE)


def test_a_role_without_rights_is_told_what_to_ask_for(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """A role that may not create the schema learns who must install it; installed and granted, it works."""
    schema, role = postgres_storage.schema, f"r_{postgres_storage.schema}"
    postgres.psql(f"CREATE ROLE {role} LOGIN")
    poor = PostgresStorage(postgres.dsn(user=role), schema=schema)
    try:
        with pytest.raises(StorageAccessError, match=r"permission denied.*PostgresStorage\(...\).install"):
            poor.run(*TAKE)
        postgres_storage.install(FEATURE)
        postgres.psql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        postgres.psql(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
        assert [poor.run(*TAKE)[0] for _ in range(3)] == [True, False, False]
    finally:
        poor.close()
        postgres.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_many_processes_make_the_tables_at_once(
    crew: Crowd, postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Eight processes that all find no tables make them once, and each gets its answer."""
    arguments = {"dsn": postgres.dsn(), "schema": postgres_storage.schema}
    limit = ["rate", {"limit": 1, "period": 3600.0, "burst": 5}]
    assert sorted(crew.run("take_once", limit=limit, **arguments)) == [False] * 3 + [True] * 5


def test_a_newer_schema_is_refused_with_the_remedy(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """A later release serves this one, or has dropped its functions: then the error says which version, what to do."""
    schema = postgres_storage.schema
    postgres_storage.install(FEATURE)
    newer = f"UPDATE {schema}.schema_version SET version = 99 WHERE feature = 'limiter'"  # noqa: S608 - made up here
    postgres.psql(newer)
    assert postgres_storage.run(*TAKE)[0] is True
    postgres.psql(f"DROP FUNCTION {schema}.gcra_take_1")
    with pytest.raises(SchemaTooNewError, match=r"version 99 of 'limiter'.*knows 1: upgrade"):
        postgres_storage.run(*TAKE)


def test_a_damaged_schema_is_said_to_be_so(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """A missing table of the right version is an error of its own, not an endless repair."""
    postgres_storage.run(*TAKE)
    postgres.psql(f"DROP TABLE {postgres_storage.schema}.limiter CASCADE")
    with pytest.raises(SchemaDamagedError, match=r"lacks what 'gcra_take_1' needs.*drop the schema"):
        postgres_storage.run(*TAKE)


def test_a_dropped_schema_is_made_again(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """Whoever drops the schema while processes run gets it back with the next operation, prepared statements or not."""
    for _ in range(4):
        postgres_storage.run(*TAKE)
    postgres.psql(f"DROP SCHEMA {postgres_storage.schema} CASCADE")
    assert [postgres_storage.run(*TAKE)[0] for _ in range(3)] == [True, False, False]


def test_features_install_side_by_side(postgres_storage: PostgresStorage) -> None:
    """Features are versioned apart, and installing twice changes nothing."""
    postgres_storage.install(FEATURE, BULKHEAD)
    postgres_storage.install(BULKHEAD, FEATURE)
    assert postgres_storage.run(*TAKE)[0] is True


def test_a_name_needs_no_unicode_database(postgres: PostgresServer) -> None:
    """Names hold any characters also where the database's encoding does not."""
    postgres.psql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    storage = PostgresStorage(postgres.dsn(dbname="latin"))
    try:
        assert RateLimiter("限流 🚦\0", Rate(1, 60.0), storage).try_acquire().allowed
        assert not RateLimiter("限流 🚦\0", Rate(1, 60.0), storage).try_acquire().allowed
    finally:
        storage.close()
        postgres.psql("DROP DATABASE latin")


def test_a_held_lock_is_not_waited_for_beyond_the_timeout(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Somebody who keeps a row locked by hand costs a caller its timeout, and no more."""
    postgres_storage.run(*TAKE)
    with psycopg2.connect(postgres.dsn()) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK {postgres_storage.schema}.limiter IN ACCESS EXCLUSIVE MODE")
        with _raises_within(0.5, StorageUnavailableError, "gave no answer within 0.5 s"):
            postgres_storage.run(*TAKE, timeout=0.5)
    holder.close()
    assert len(postgres_storage.run(*TAKE)) == 3


def test_threads_share_a_bounded_number_of_connections(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Sixteen threads get along with two connections, none is left out."""
    dsn = f"{postgres.dsn()} application_name=bounded"
    storage = PostgresStorage(dsn, schema=postgres_storage.schema, max_connections=2)
    answers: list[int] = []

    def work() -> None:
        answers.extend(len(storage.run(*TAKE)) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, _sessions(postgres, "bounded"))
    assert answers == [3] * 320
    assert most <= 2
    storage.close()


def test_who_finds_no_connection_in_time_is_told(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """Waiting for a connection counts towards the timeout, in threads and in coroutines."""
    storage = PostgresStorage(postgres.dsn(), schema=postgres_storage.schema, max_connections=1)
    storage.run(*TAKE)
    lent = _connection.drive(storage._pool.borrow(time.monotonic() + 10))
    with _raises_within(0.2, StorageUnavailableError, "within 0.2 s"):
        storage.run(*TAKE, timeout=0.2)
    with _raises_within(0.2, StorageUnavailableError, "within 0.2 s"):
        asyncio.run(storage.run_async(*TAKE, timeout=0.2))
    storage._pool.give_back(lent)
    assert len(storage.run(*TAKE)) == 3
    storage.close()


def test_a_cancelled_coroutine_leaves_no_connection_behind(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Cancelling a call that waits for a lock closes its connection, and its place is free for others."""
    storage = PostgresStorage(postgres.dsn(), schema=postgres_storage.schema, max_connections=1)
    storage.run(*TAKE)

    async def cancel() -> None:
        task = asyncio.create_task(storage.run_async(*TAKE))
        while not postgres.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with psycopg2.connect(postgres.dsn()) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK {postgres_storage.schema}.limiter IN ACCESS EXCLUSIVE MODE")
        asyncio.run(cancel())
    holder.close()
    assert len(storage.run(*TAKE)) == 3
    storage.close()


def test_nothing_stays_in_a_session_behind_a_pooler(
    postgres_storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process answers than the connection was told of, no setting and no prepared statement is left."""
    told = property(lambda session: session.connection.info.backend_pid + 1)
    monkeypatch.setattr(_connection.Session, "told_pid", told)
    for _ in range(5):
        postgres_storage.run(*TAKE)
    (session,) = postgres_storage._pool._idle
    rows = _connection.drive(
        session.execute(
            "SELECT current_setting('synchronous_commit'), current_setting('lock_timeout'), "
            "(SELECT count(*) FROM pg_prepared_statements)",
            time.monotonic() + 10,
        )
    )
    assert rows == [("on", "0", 0)]


def test_a_session_of_ours_is_prepared(postgres_storage: PostgresStorage) -> None:
    """Connected directly, the second call of an operation prepares it, and commits do not wait for the disk."""
    for _ in range(3):
        postgres_storage.run(*TAKE)
    (session,) = postgres_storage._pool._idle
    sql = "SELECT current_setting('synchronous_commit'), array_agg(name ORDER BY name) FROM pg_prepared_statements"
    rows = _connection.drive(session.execute(sql, time.monotonic() + 10))
    assert rows == [("off", ["gcra_take_1", "gcra_take_1_short_0"])]


def test_a_shortcut_answers_like_the_function(manual_postgres_storage: PostgresStorage) -> None:
    """Permits at once, permits for later and refusals are the same by either way, each asked for again and again."""
    memory = MemoryStorage(ManualClock(manual_postgres_storage.clock.now_ns() / 1e9))
    second = 10**9
    asked = [(5, second, 1, 0), (5, second, 2, 0), (5, second, 1, 3 * second), (5, second, 4, 10**18), (3, 7, 1, 0)]
    answers = set()
    for turn in range(12):
        for arguments in asked:
            for key in ("g:x", "g:y"):
                answer = manual_postgres_storage.run(GCRA_TAKE, (key,), *arguments)
                assert answer == memory.run(GCRA_TAKE, (key,), *arguments)
                answers.add((answer[0], answer[1] > 0))
        for storage in (memory, manual_postgres_storage):
            storage.clock.advance(0.3 * turn)
    assert answers == {(True, False), (True, True), (False, True)}
    (session,) = manual_postgres_storage._pool._idle
    assert len(session.shortcuts) == len(asked)


def test_a_session_prepares_only_so_many_shortcuts(
    postgres_storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more sets of arguments than that, and more keys than are remembered, every permit is given all the same."""
    monkeypatch.setattr(_connection.Session, "MOST_SHORTCUTS", 3)
    monkeypatch.setattr(_connection.Session, "MOST_SHORT", 4)
    for number in range(8):
        for _ in range(3):
            answer = postgres_storage.run(GCRA_TAKE, (f"g:{number}",), 3, 3600 * 10**9 + number, 1, 0)
        assert answer == (True, 0, 0)
    (session,) = postgres_storage._pool._idle
    assert len(session.shortcuts) == 3
    assert len(session.short) <= 4


def test_a_bad_timeout_costs_no_connection(postgres_storage: PostgresStorage) -> None:
    """A call that is refused for its timeout leaves the session to the next one."""
    for _ in range(3):
        postgres_storage.run(*TAKE)
    for _ in range(5):
        with pytest.raises(ValueError, match="timeout must be a positive number of seconds, not nan"):
            postgres_storage.run(*TAKE, timeout=float("nan"))
    assert len(postgres_storage._pool._idle) == 1
    assert len(postgres_storage.run(*TAKE)) == 3


def test_expired_rows_are_deleted_as_it_goes(
    manual_postgres_storage: PostgresStorage, postgres: PostgresServer
) -> None:
    """A table does not grow with the keys of the past: operations on one key delete the rows of the others."""
    storage = manual_postgres_storage
    for number in range(500):
        storage.run(GCRA_TAKE, (f"g:{number}",), 1, 1000, 1, 0)
    storage.clock.advance(3600)
    for session in storage._pool._idle:
        session.sweep_after = 1
    storage.run(*TAKE)
    left = postgres.psql(f"TABLE {storage.schema}.limiter").splitlines()
    assert len(left) <= 2


def test_a_forgotten_storage_closes_its_connections(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """A storage that nobody holds any more is gone at once, its connections too, whatever errors it got over."""
    dsn = f"{postgres.dsn()} application_name=forgotten"
    gc.disable()
    try:
        for number in range(3):
            storage = PostgresStorage(dsn, schema=f"{postgres_storage.schema}_{number}")
            storage.run(*TAKE)
            asyncio.run(storage.run_async(*TAKE))
            postgres.psql(f"SET client_min_messages = warning; DROP SCHEMA {storage.schema} CASCADE")
            storage.run(*TAKE)
            postgres.psql(f"SET client_min_messages = warning; DROP SCHEMA {storage.schema} CASCADE")
            del storage
        deadline = time.monotonic() + 10
        while _sessions(postgres, "forgotten"):
            assert time.monotonic() < deadline, "they are closed without a collection of garbage"
    finally:
        gc.enable()


def test_every_few_hundred_calls_sweep(postgres_storage: PostgresStorage) -> None:
    """A session sweeps once in 512 calls, and a fresh one after a number of calls left to chance."""
    for _ in range(3):
        postgres_storage.run(*TAKE)
    (session,) = postgres_storage._pool._idle
    session.sweep_after = 1
    postgres_storage.run(*TAKE)
    assert session.sweep_after == session.SWEEP_EVERY
    postgres_storage.run(*TAKE)
    assert session.sweep_after == session.SWEEP_EVERY - 1


def test_postgresql_16_will_do() -> None:
    """Nothing depends on the newest release of PostgreSQL."""
    with postgres_server(version=16) as server:
        storage = PostgresStorage(server.dsn())
        limiter = RateLimiter("x", Rate(1, 3600.0, burst=2), storage)
        assert [limiter.try_acquire().allowed for _ in range(4)] == [True, True, False, False]
        storage.install(BULKHEAD)
        storage.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that no other module needs, whose data survive; every test leaves it running."""
    with postgres_server(durable=True) as own:
        yield own


def test_a_restart_is_ridden_out_within_the_timeout(server: PostgresServer) -> None:
    """A clean restart loses nothing, and neither a thread nor a coroutine needs a new process."""
    storage = PostgresStorage(server.dsn(), timeout=20)
    limiter = RateLimiter("restarted", Rate(1, 3600.0, burst=4), storage)
    bulkhead = Bulkhead("restarted", 2, storage, lease=600.0)
    breaker = CircuitBreaker("restarted", storage, failure_threshold=1, open_for=3600.0)
    assert [limiter.try_acquire().remaining for _ in range(2)] == [3, 2]
    lease = bulkhead.acquire()
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: 1 // 0)
    server.stop()
    starter = threading.Thread(target=server.start)
    starter.start()
    assert limiter.try_acquire() == (True, 0.0, 1)
    starter.join()
    server.stop()
    starter = threading.Thread(target=server.start)
    starter.start()
    assert asyncio.run(limiter.try_acquire_async()) == (True, 0.0, 0)
    starter.join()
    assert not limiter.try_acquire()
    assert bulkhead.count() == (1, 0)
    assert lease.renew()
    assert breaker.state == "open"
    storage.close()


@pytest.mark.slow
def test_a_crash_loses_the_last_moments_only(server: PostgresServer) -> None:
    """Of permits that are taken without a pause, a crash forgets none that was given a second before it."""
    storage = PostgresStorage(server.dsn(), timeout=20)
    # A permit takes 120 us on idle cores, and 21 beside a busy process, which spares the cores their waking up.
    burst = 1_000_000
    limiter = RateLimiter("last moments", Rate(1000, 86400.0, burst=burst), storage)
    given = []
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert limiter.try_acquire()
        given.append(time.monotonic())
    server.crash()
    server.start()
    remembered = burst - limiter.try_acquire().remaining - 1
    lost = given[remembered:]
    assert all(at > end - 1.0 for at in lost), (
        f"lost {len(lost)} of {len(given)}, {end - lost[0]:.2f} s before the crash"
    )
    storage.close()


def test_a_crash_loses_nothing_that_reached_the_disk(server: PostgresServer) -> None:
    """Commits are relaxed, so that a crash may lose the last moments; what was written by then is there afterwards."""
    storage = PostgresStorage(server.dsn(), timeout=20)
    limiter = RateLimiter("crashed", Rate(1, 3600.0, burst=4), storage)
    assert [limiter.try_acquire().remaining for _ in range(3)] == [3, 2, 1]
    deadline = time.monotonic() + 20
    while server.psql("SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()") == "t":
        assert time.monotonic() < deadline, "the background writer writes within a second"
    server.crash()
    server.start()
    assert [limiter.try_acquire().allowed for _ in range(2)] == [True, False]
    storage.close()


def test_a_server_that_stays_away_is_a_typed_error(server: PostgresServer) -> None:
    """While the server is down, callers get their error in time; when it is back, so are their permits."""
    storage = PostgresStorage(server.dsn(), timeout=0.5)
    limiter = RateLimiter("away", Rate(1, 3600.0, burst=2), storage)
    assert limiter.try_acquire()
    server.stop()
    with _raises_within(0.5, StorageUnavailableError, "within 0.5 s"):
        limiter.try_acquire()
    with _raises_within(0.5, StorageUnavailableError, "within 0.5 s"):
        asyncio.run(limiter.try_acquire_async())
    server.start()
    assert limiter.try_acquire(), "the second permit is still there"
    storage.close()


@pytest.mark.slow
def test_without_a_server_every_part_answers_in_time(server: PostgresServer) -> None:
    """Limiter, bulkhead and breaker fail closed by a typed error within the timeout, or open if they are told to."""
    storage = PostgresStorage(server.dsn(), timeout=0.5)
    rate = Rate(1, 1.0)
    limiter, open_limiter = (RateLimiter("x", rate, storage, fail_open=choice) for choice in (False, True))
    breaker, open_breaker = (CircuitBreaker("x", storage, fail_open=choice) for choice in (False, True))
    bulkhead = Bulkhead("x", 1, storage, lease=0.9)
    lease = bulkhead.acquire()
    server.stop()
    try:
        for ask in (limiter.try_acquire, lambda: limiter.acquire(timeout=0.5), lambda: breaker.call(int)):
            with _raises_within(0.5, StorageUnavailableError, "within 0.5 s"):
                ask()
        with _raises_within(0.5 + LEAVE_WITHIN, StorageUnavailableError, "within 0.5 s"):
            bulkhead.acquire(timeout=0.5)
        assert open_limiter.try_acquire()
        assert open_breaker.call(lambda: 7) == 7
        with pytest.raises(StorageUnavailableError):
            lease.renew()
        assert lease.lost, "its time is over, though the storage can't say so"
    finally:
        server.start()
    storage.close()


@pytest.mark.slow
def test_a_frozen_server_is_a_typed_error(server: PostgresServer) -> None:
    """A server that accepts connections and says nothing is given up in time, connected before or not."""
    storage = PostgresStorage(server.dsn(), timeout=20)
    storage.run(*TAKE)
    server.freeze()
    try:
        for _ in range(2):
            with _raises_within(0.5, StorageUnavailableError, "within 0.5 s"):
                storage.run(*TAKE, timeout=0.5)
        with _raises_within(0.5, StorageUnavailableError, "within 0.5 s"):
            asyncio.run(storage.run_async(*TAKE, timeout=0.5))
    finally:
        server.thaw()
    assert len(storage.run(*TAKE)) == 3
    storage.close()


def test_a_wrong_password_is_said_to_be_wrong(server: PostgresServer) -> None:
    """A wrong or missing password is not waited for, and the message does not repeat it."""
    server.psql("CREATE ROLE locked LOGIN PASSWORD 'right'; GRANT CREATE ON DATABASE postgres TO locked")
    rules = server.folder / "data" / "pg_hba.conf"
    rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
    server.psql("SELECT pg_reload_conf()")
    dsn = server.dsn(user="locked")
    with _raises_within(0.0, StorageAccessError, "password authentication failed"):
        PostgresStorage(f"{dsn} password=falsch", timeout=20).run(*TAKE)
    with _raises_within(0.0, StorageAccessError, "no password supplied"):
        PostgresStorage(dsn, timeout=20).run(*TAKE)
    good = PostgresStorage(f"{dsn} password=right", schema="locked", timeout=20)
    assert good.run(*TAKE)[0] is True
    good.close()


@contextlib.contextmanager
def _says_at_the_start(severity: str, code: str, message: str) -> Iterator[str]:
    """Connection string of a server that answers every start with an error."""
    fields = b"".join(
        letter + text.encode() + b"\0" for letter, text in ((b"S", severity), (b"C", code), (b"M", message))
    )
    answer = b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"

    class Refuses(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            size = int.from_bytes(self.request.recv(4, socket.MSG_WAITALL), "big")
            self.request.recv(size - 4, socket.MSG_WAITALL)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuses) as fake:
        thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"host=127.0.0.1 port={fake.server_address[1]} user=u dbname=d sslmode=disable gssencmode=disable"
        finally:
            fake.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("severity", "code", "message"),
    [
        ("FATAL", "28000", 'pg_hba.conf rejects connection for host "10.0.0.1", user "u", database "d", no encryption'),
        ("FATAL", "08P01", "no such database: d"),
        ("ERROR", "08P01", "no such database: d"),
        ("ERROR", "08P01", "no such user: u"),
        ("ERROR", "08P01", "auth failed"),
        ("FATAL", "08P01", "login rejected"),
    ],
)
def test_a_refusal_is_no_outage(severity: str, code: str, message: str) -> None:
    """What rules or a pooler refuse at the start is not waited for, and no limiter fails open for it."""
    with _says_at_the_start(severity, code, message) as dsn:
        limiter = RateLimiter("x", Rate(1, 1.0), PostgresStorage(dsn, timeout=20), fail_open=True)
        with _raises_within(0.0, StorageAccessError, re.escape(message)):
            limiter.try_acquire()


@pytest.mark.parametrize("message", ["the database system is starting up", "sorry, too many clients already"])
def test_what_passes_is_no_refusal(message: str) -> None:
    """A server that starts or is full is waited for, to the end of the time."""
    with (
        _says_at_the_start("FATAL", "57P03", message) as dsn,
        _raises_within(0.3, StorageUnavailableError, message),
    ):
        PostgresStorage(dsn, timeout=0.3).run(*TAKE)


def test_only_failures_of_connections_close_the_others(
    postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """A cancelled statement is tried again on the sessions that there are; an ended session ends the others."""
    dsn = f"{postgres.dsn()} application_name=kept"
    storage = PostgresStorage(dsn, schema=postgres_storage.schema, timeout=20, max_connections=3)
    storage.run(*TAKE)
    deadline = time.monotonic() + 20
    lent = [_connection.drive(storage._pool.borrow(deadline)) for _ in range(3)]
    for session in lent:
        storage._pool.give_back(session)
    waiting = "application_name = 'kept' AND wait_event_type = 'Lock'"
    cancel = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {waiting}"  # noqa: S608 - made up here
    with psycopg2.connect(postgres.dsn()) as holder, holder.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute(f"LOCK {storage.schema}.limiter IN ACCESS EXCLUSIVE MODE")
        asked = pool.submit(storage.run, *TAKE)
        while postgres.psql(cancel) != "t":
            assert time.monotonic() < deadline, "the operation waits for the lock"
        holder.rollback()
        assert len(asked.result(20)) == 3
    holder.close()
    assert sorted(map(id, storage._pool._idle)) == sorted(map(id, lent))
    postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kept'")
    assert len(storage.run(*TAKE)) == 3
    assert not {*map(id, storage._pool._idle)} & {*map(id, lent)}
    storage.close()


@pytest.mark.parametrize("warm", [False, True])
def test_a_statement_without_an_answer_closes_the_others(
    postgres: PostgresServer, postgres_storage: PostgresStorage, *, warm: bool
) -> None:
    """One caller waits in vain on a session that went silent; the others of its time are not tried after it."""
    storage = PostgresStorage(postgres.dsn(), schema=postgres_storage.schema, max_connections=2)
    for _ in range(3 if warm else 1):
        storage.run(*TAKE)
    deadline = time.monotonic() + 10
    for session in [_connection.drive(storage._pool.borrow(deadline)) for _ in range(2)][::-1]:
        storage._pool.give_back(session)
    with psycopg2.connect(postgres.dsn()) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK {storage.schema}.limiter IN ACCESS EXCLUSIVE MODE")
        with _raises_within(0.2, StorageUnavailableError, "within 0.2 s"):
            storage.run(*TAKE, timeout=0.2)
        assert storage._pool._idle == []
    holder.close()
    assert len(storage.run(*TAKE)) == 3
    storage.close()


def test_too_many_connections_pass(server: PostgresServer) -> None:
    """A full server is waited for, and a typed error at the timeout."""
    crowd = []
    with contextlib.suppress(psycopg2.OperationalError):
        while True:
            crowd.append(psycopg2.connect(server.dsn()))
    storage = PostgresStorage(server.dsn(), timeout=0.4)
    with _raises_within(0.4, StorageUnavailableError, "too many clients"):
        storage.run(*TAKE)
    for connection in crowd:
        connection.close()
    assert len(storage.run(*TAKE, timeout=10)) == 3
    storage.close()


def test_every_storage_error_is_one_kind() -> None:
    """Whoever catches StorageError catches them all."""
    kinds = [StorageUnavailableError, StorageAccessError, SchemaTooNewError, SchemaDamagedError]
    assert all(issubclass(kind, StorageError) for kind in kinds)
