"""Sessions as PostgreSQL tells them, and refusals, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg2
import pytest
from backpressure.airflow.database import Sessions, TooManyConnectionsError, connect
from support.postgres import PostgresServer

ROLE, WATCHER = "few", "looks_on"


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The session's server with a role of three connections, and one that may see what others do."""
    postgres.psql(
        f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 3; CREATE ROLE {WATCHER} LOGIN; GRANT pg_monitor TO {WATCHER}"
    )
    yield postgres
    postgres.psql(f"DROP ROLE {ROLE}; DROP ROLE {WATCHER}")


@pytest.fixture
def few(server: PostgresServer) -> str:
    """How the role of three connections connects, once no session of an earlier test is left."""
    deadline = time.monotonic() + 20
    while ROLE in server.psql("SELECT usename FROM pg_stat_activity").splitlines():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server.dsn(user=ROLE)


@pytest.fixture
def sessions(server: PostgresServer) -> Iterator[Sessions]:
    """The one who looks on."""
    with Sessions(dsn=server.dsn(user=WATCHER)) as found:
        yield found


def test_a_connection_beyond_the_limit_is_refused_as_such(few: str, sessions: Sessions) -> None:
    """As many are granted as the role may hold; the next is told apart from a server that is down."""
    with ExitStack() as stack:
        for _ in range(sessions.limit(ROLE)):
            stack.enter_context(closing(connect(dsn=few)))
        with pytest.raises(TooManyConnectionsError, match=f'too many connections for role "{ROLE}"') as refused:
            connect(dsn=few)
        assert refused.value.sqlstate == "53300"
        assert sessions.sample(role=ROLE)["total"] == sessions.limit(ROLE) == 3
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        connect(dsn=few.replace(ROLE, "nobody_of_that_name"))


def test_a_session_is_seen_with_its_name_state_and_age(few: str, sessions: Sessions) -> None:
    """One that is idle in a transaction shows as that, and its age is between when it was opened and the reading."""
    before = sessions.now()
    with closing(connect(dsn=few, application="report")) as opened:
        opened.autocommit = False
        opened.cursor().execute("SELECT 1")
        (found,) = sessions.all(application="report")
        after = sessions.now()
        assert (found["role"], found["database"], found["state"]) == (ROLE, "postgres", "idle in transaction")
        assert 0 < found["transaction_age"] <= found["age"] <= after - before
        assert before <= found["at"] <= after
        assert not found["waits_for_lock"]


def test_sessions_that_were_closed_are_waited_for(few: str, sessions: Sessions) -> None:
    """It returns when the server has ended them, and says so when it has not in time."""
    with closing(connect(dsn=few, application="stays")), pytest.raises(TimeoutError, match="1 sessions of 'stays'"):
        sessions.wait_until_gone("stays", seconds=0.1)
    sessions.wait_until_gone("stays")
    assert sessions.all(application="stays") == []


def test_a_sample_counts_what_fits(few: str, sessions: Sessions) -> None:
    """Sessions are counted by state, and only those of the role, database and application asked for."""
    with closing(connect(dsn=few, application="one")) as one, closing(connect(dsn=few, application="two")):
        one.autocommit = False
        one.cursor().execute("SELECT 1")
        sample = sessions.sample(role=ROLE)
        assert (sample["total"], sample["idle"], sample["in_transaction"], sample["active"]) == (2, 1, 1, 0)
        assert sample["oldest"] >= sample["longest_transaction"] > 0
        assert sessions.sample(role=ROLE, application="two")["total"] == 1
        assert sessions.sample(role=ROLE, database="elsewhere")["total"] == 0


def test_waiting_for_a_lock_is_seen(few: str, sessions: Sessions) -> None:
    """A session that another one holds up is active and waiting."""
    with closing(connect(dsn=few)) as holder, closing(psycopg2.connect(few, async_=True)) as waiter:
        holder.cursor().execute("SELECT pg_advisory_lock(1)")
        _poll(waiter)
        waiter.cursor().execute("SELECT pg_advisory_lock(1)")
        deadline = time.monotonic() + 20
        while not (sample := sessions.sample(role=ROLE))["waiting"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (sample["waiting"], sample["active"]) == (1, 1)


def _poll(asynchronous: psycopg2.extensions.connection) -> None:
    deadline = time.monotonic() + 20
    while asynchronous.poll() != psycopg2.extensions.POLL_OK:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_looks_on_is_not_counted_and_changes_nothing(server: PostgresServer, sessions: Sessions) -> None:
    """The watching session leaves itself out, and may only read."""
    assert sessions.sample(role=WATCHER)["total"] == 0
    assert server.psql("SELECT usename FROM pg_stat_activity").splitlines().count(WATCHER) == 1
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), sessions._cursor() as cursor:
        cursor.execute("CREATE TABLE made (x int)")


def test_limits_are_the_servers_own(server: PostgresServer, sessions: Sessions) -> None:
    """A role without a limit says -1, one that is not there is an error, and the server has a limit of its own."""
    assert sessions.limit(WATCHER) == -1
    assert sessions.server_limit() == int(server.psql("SHOW max_connections"))
    with pytest.raises(LookupError, match="no role 'unheard_of'"):
        sessions.limit("unheard_of")
