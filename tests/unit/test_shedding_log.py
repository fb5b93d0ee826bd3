"""The record of what was shed: nothing is lost, nothing is done twice, on both storages and among processes."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.shedding import ShedItem, ShedLog
from backpressure.shedding.log_transitions import CLAIM, COUNT, LIST, RECORD, SETTLE
from backpressure.storage import MemoryStorage, PostgresStorage, Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.postgres import PostgresServer

names = (f"log {number}" for number in itertools.count())


def clock_of(storage: Storage) -> ManualClock:
    """The clock that the test moves."""
    assert isinstance(storage.clock, ManualClock)
    return storage.clock


def keys(items: list[ShedItem]) -> list[str]:
    """The names of items."""
    return [item.key for item in items]


def test_keeps_what_was_recorded(storage: Storage) -> None:
    """Payload, priority, wait and reason come back as they went in, with the instant and the state."""
    log = ShedLog("orders", storage)
    payload = {"id": 1, "text": "ü\0'\"\\", "list": [1.5, None, True]}
    assert log.record("a'\\ü", payload, priority=3, waited=12.5, reason="due at 10:00")
    (item,) = log.entries()
    assert item.payload == payload
    assert item[:4] == ("a'\\ü", 3, 12.5, "due at 10:00")
    assert item.shed_at == pytest.approx(clock_of(storage).now_ns() / 1e9)
    assert (item.tries, item.state) == (0, "waiting")


def test_records_a_key_once(storage: Storage) -> None:
    """A second record of a key changes nothing, also after it was replayed; after the keeping time it is new."""
    log = ShedLog("orders", storage, keep=3600)
    assert log.record("a", 1)
    assert not log.record("a", 2)
    assert log.replay(lambda item: item.payload) == 1
    assert not log.record("a", 3)
    assert log.count() == (0, 0, 1)
    clock_of(storage).advance(3600)
    assert log.count() == (0, 0, 0)
    assert log.record("a", 4)
    assert log.claim()[0].payload == 4


def test_replays_the_most_important_first_and_each_once(storage: Storage) -> None:
    """By priority, then age; a second replay finds nothing."""
    log, seen = ShedLog("orders", storage), []
    for number in range(6):
        log.record(f"item {number}", priority=number % 2)
        clock_of(storage).advance(1)
    assert log.replay(lambda item: seen.append(item.key)) == 6
    assert seen == [f"item {number}" for number in (1, 3, 5, 0, 2, 4)]
    assert log.replay(lambda item: seen.append(item.key)) == 0
    assert len(seen) == 6


def test_logs_do_not_mix(storage: Storage) -> None:
    """Items of one log are not seen in another."""
    ShedLog("orders", storage).record("a")
    assert ShedLog("invoices", storage).claim() == []


def test_a_claim_holds_until_its_lease_ends(storage: Storage) -> None:
    """Nobody else gets a claimed item until its lease ends; then the late confirmation of the first is refused."""
    log = ShedLog("orders", storage)
    log.record("a")
    (first,) = log.claim(lease=60)
    assert log.claim() == []
    assert log.count() == (0, 1, 0)
    clock_of(storage).advance(60)
    (second,) = log.claim(lease=60)
    assert (first.tries, second.tries) == (1, 2)
    assert not log.confirm(first)
    assert not log.release(first)
    assert log.confirm(second)
    assert log.claim() == []


def test_a_late_confirmation_counts_if_nobody_came_between(storage: Storage) -> None:
    """Work that took longer than its lease and was not claimed by anybody else is done."""
    log = ShedLog("orders", storage)
    log.record("a")
    (item,) = log.claim(lease=60)
    clock_of(storage).advance(600)
    assert log.confirm(item)
    assert log.confirm(item)
    assert log.claim() == []


def test_what_fails_is_released_and_left_alone_after_some_tries(storage: Storage) -> None:
    """The exception reaches the caller, the item is free at once, and after `max_tries` only `entries` shows it."""
    log = ShedLog("orders", storage)
    log.record("poison")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            log.replay(lambda _: 1 / 0, max_tries=3)
    assert log.replay(lambda _: None, max_tries=3) == 0
    assert [(item.key, item.tries, item.state) for item in log.entries()] == [("poison", 3, "waiting")]


def test_an_exception_is_not_hidden_by_a_storage_that_went_away(caplog: pytest.LogCaptureFixture) -> None:
    """If the item can't be released, the function's own exception reaches the caller, and the claim ends by itself."""

    class Away(MemoryStorage):
        away = False

        def run(self, *arguments: Any, **settings: Any) -> Any:
            if self.away:
                raise StorageUnavailableError("gone")
            return super().run(*arguments, **settings)

    storage = Away(ManualClock())
    log = ShedLog("orders", storage)
    log.record("a")

    def handle(_item: ShedItem) -> None:
        storage.away = True
        raise ZeroDivisionError

    async def handle_async(item: ShedItem) -> None:
        handle(item)

    with pytest.raises(ZeroDivisionError):
        log.replay(handle)
    storage.away = False
    clock_of(storage).advance(60)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(log.replay_async(handle_async))
    storage.away = False
    assert caplog.text.count("'orders': an item could not be released, its claim will end: gone") == 2
    clock_of(storage).advance(60)
    assert keys(log.claim()) == ["a"]


@pytest.mark.parametrize("most", [0, 1.5, True])
def test_rejects_impossible_numbers_of_items(most: Any) -> None:
    """So many at most is a whole number from 1."""
    log = ShedLog("orders", MemoryStorage())
    for ask in (log.claim, log.entries, lambda most: log.take(None, most)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="most must be a whole number from 1"):
            ask(most)


def test_replay_stops_at_its_bound(storage: Storage) -> None:
    """No more than `most` items are done at a time, so that a replay does not become the next overload."""
    log = ShedLog("orders", storage)
    for number in range(5):
        log.record(str(number))
    assert log.replay(lambda _: None, most=2) == 2
    assert log.count() == (3, 0, 2)


def test_coroutines_replay_alike(storage: Storage) -> None:
    """The asynchronous twin records, replays, and releases what fails."""

    async def main() -> list[str]:
        log, seen = ShedLog("orders", storage), []

        async def handle(item: ShedItem) -> None:
            seen.append(item.key)
            if len(seen) == 1:
                raise OSError

        assert await log.record_async("a")
        with pytest.raises(OSError):  # noqa: PT011 - it has no text
            await log.replay_async(handle)
        assert await log.replay_async(handle) == 1
        return seen

    assert asyncio.run(main()) == ["a", "a"]


def test_many_at_once_replay_each_item_once(postgres_storage: PostgresStorage) -> None:
    """Eight threads that record and replay at once do every item exactly once."""
    log, seen = ShedLog("orders", postgres_storage), []

    def work(number: int) -> None:
        for item in range(25):
            log.record(f"{number % 4}.{item}")
        log.replay(lambda item: seen.append(item.key))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log.replay(lambda item: seen.append(item.key))
    assert sorted(seen) == sorted(f"{number}.{item}" for number in range(4) for item in range(25))


KILLED = """
import sys, time
from backpressure.shedding import ShedLog
from backpressure.storage import PostgresStorage
log = ShedLog("orders", PostgresStorage(sys.argv[1], schema=sys.argv[2]))
def handle(item):
    print(item.key, flush=True)
    time.sleep(60)
log.replay(handle, lease=0.5)
"""


def test_a_killed_replayer_loses_nothing(postgres_storage: PostgresStorage, postgres: PostgresServer) -> None:
    """The item of a replayer killed in the middle is handed out again when its claim ends, the others at once."""
    log = ShedLog("orders", postgres_storage)
    for number in range(3):
        log.record(str(number), priority=-number)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", KILLED, postgres.dsn(), postgres_storage.schema]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        process.send_signal(signal.SIGKILL)
    seen: list[str] = []
    deadline = time.monotonic() + 10
    while log.count().replayed < 3:
        assert time.monotonic() < deadline
        log.replay(lambda item: seen.append(item.key))
        time.sleep(0.02)
    assert seen == ["1", "2", "0"]


def test_an_item_and_its_effect_are_committed_together(
    postgres_storage: PostgresStorage, postgres: PostgresServer
) -> None:
    """Taken in the caller's own transaction, an item stays if that rolls back and is gone if it commits."""
    log = ShedLog("orders", postgres_storage)
    log.record("a", {"n": 1}, priority=2)
    log.record("b")
    connection = psycopg2.connect(postgres.dsn())
    other = psycopg2.connect(postgres.dsn())
    try:
        with connection.cursor() as cursor, other.cursor() as elsewhere:
            cursor.execute("CREATE TEMPORARY TABLE done (key text PRIMARY KEY)")
            connection.commit()
            for end in (connection.rollback, connection.commit):
                (item,) = log.take(cursor)
                assert (item.key, item.payload, item.state) == ("a", {"n": 1}, "replayed")
                assert keys(log.take(elsewhere)) == ["b"]
                other.rollback()
                cursor.execute("INSERT INTO done VALUES (%s)", (item.key,))
                end()
            cursor.execute("SELECT key FROM done")
            assert cursor.fetchall() == [("a",)]
            assert keys(log.take(cursor, 5)) == ["b"]
            assert log.take(cursor, 5) == []
            connection.commit()
    finally:
        connection.close()
        other.close()
    assert log.count() == (0, 0, 2)


def test_a_lapsed_claim_on_what_was_taken_is_not_confirmed(
    manual_postgres_storage: PostgresStorage, postgres: PostgresServer
) -> None:
    """Whoever claimed an item that somebody else took after the lease is told so, and does not count it as done."""
    log = ShedLog("orders", manual_postgres_storage)
    log.record("a")

    def outlive_the_lease(item: ShedItem) -> None:
        clock_of(manual_postgres_storage).advance(60)
        with psycopg2.connect(postgres.dsn()) as connection, connection.cursor() as cursor:
            assert keys(log.take(cursor)) == [item.key]
        connection.close()

    assert log.replay(outlive_the_lease, lease=60) == 0
    assert log.count() == (0, 0, 1)


def test_only_a_database_has_transactions() -> None:
    """Memory has none to take an item in."""
    with pytest.raises(ValueError, match="storage must be a PostgresStorage"):
        ShedLog("orders", MemoryStorage()).take(None)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("record"), st.sampled_from("abcdef"), st.integers(0, 2), st.sampled_from([5, 60])),
            st.tuples(st.just("claim"), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 10])),
            st.tuples(st.just("settle"), st.sampled_from("abcdef"), st.integers(0, 4), st.booleans()),
            st.tuples(st.just("tick"), st.sampled_from([0.0, 0.5, 1.0, 4.0, 20.0])),
        ),
        min_size=10,
        max_size=60,
    )
)
def test_both_storages_agree(manual_postgres_storage: PostgresStorage, steps: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order, PostgreSQL answers and holds what the transitions say."""
    clock = clock_of(manual_postgres_storage)
    memory = MemoryStorage(ManualClock())
    clock_of(memory).advance_ns(clock.now_ns() - memory.clock.now_ns())
    key = (next(names),)
    for what, *details in steps:
        if what == "tick":
            clock.advance(*details)
            clock_of(memory).advance(*details)
            continue
        if what == "record":
            item, priority, keep = details
            asked: tuple[Any, ...] = (RECORD, key, item, priority, 1.5, "why", "{}", keep * 10**9)
        elif what == "claim":
            claim, most, lease = details
            asked = (CLAIM, key, claim, most, lease * 10**9, 2)
        else:
            asked = (SETTLE, key, *details)
        assert memory.run(*asked) == manual_postgres_storage.run(*asked)
        assert memory.run(LIST, key, 100) == manual_postgres_storage.run(LIST, key, 100)
        assert memory.run(COUNT, key) == manual_postgres_storage.run(COUNT, key)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("key", {"key": ""}),
        ("key", {"key": "x" * 256}),
        ("key", {"key": "a\0b"}),
        ("key", {"key": "\udc80"}),
        ("reason", {"reason": "x" * 1001}),
        ("waited", {"waited": -1}),
        ("priority", {"priority": 2**40}),
        ("priority", {"priority": 1.5}),
        ("priority", {"priority": True}),
        ("payload", {"payload": "x" * 1_000_001}),
    ],
)
def test_rejects_impossible_items(name: str, arguments: dict[str, Any]) -> None:
    """A bad argument raises ValueError naming it."""
    with pytest.raises(ValueError, match=f"{name} must"):
        ShedLog("orders", MemoryStorage()).record(**({"key": "a"} | arguments))


@pytest.mark.parametrize(("name", "value"), [("most", 0), ("lease", 0), ("max_tries", 0)])
def test_rejects_impossible_claims(name: str, value: int) -> None:
    """A bad bound raises ValueError naming it."""
    with pytest.raises(ValueError, match=f"{name} must"):
        ShedLog("orders", MemoryStorage()).claim(**{name: value})  # type: ignore[arg-type]
