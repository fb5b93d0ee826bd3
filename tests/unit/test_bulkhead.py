"""What a bulkhead promises, on every storage."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from backpressure import Bulkhead, BulkheadFullError
from backpressure.bulkhead import bulkhead as module
from backpressure.bulkhead.operations import ACQUIRE, FEATURE, RELEASE
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.events import LeaseLost, PermitGranted, PermitRefused, PermitReleased
from backpressure.storage import MemoryStorage, PostgresStorage
from support.processes import Crowd, workers

if TYPE_CHECKING:
    from backpressure.storage import Storage
    from support.postgres import PostgresServer

SECOND = 10**9


def _arrive(
    storage: Storage, token: str, tenant: bytes = b"", weight: int = 1, *, cost: int = 1, limit: int = 1
) -> bool:
    """Ask, or ask again, as a waiting caller does; True when the permit is granted."""
    arguments = (token, tenant, weight, cost, limit, 30 * SECOND, 5 * SECOND)
    return storage.run(ACQUIRE, ("b",), *arguments, 0)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "limit must be a whole number from 1 to 1000000, not 0"),
        ({"limit": 1.5}, "limit must be a whole number .* not 1.5"),
        ({"limit": True}, "limit must be a whole number .* not True"),
        ({"lease": 0}, "lease must be a number above 0 .* not 0"),
        ({"lease": float("nan")}, "lease must be a number above 0 .* not nan"),
        ({"name": ""}, "name must be text of 1 to 255 bytes in UTF-8, not ''"),
        ({"weights": {"a": 0}}, "weights must be whole numbers from 1 to 1000; that of tenant 'a' is 0"),
        ({"weights": {"": 2}}, "name must be text"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each bad argument is named with its value."""
    with pytest.raises(ValueError, match=message):
        Bulkhead(**({"name": "b", "limit": 1, "storage": MemoryStorage()} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": 0}, "cost must be a whole number from 1, not 0"),
        ({"cost": 3}, "cost must not exceed the limit 2, or it could never be granted; it is 3"),
        ({"timeout": -1}, "timeout must be a number of seconds from 0, or None, not -1"),
        ({"timeout": float("nan")}, "timeout must be .* not nan"),
        ({"tenant": "x" * 256}, "name must have at most 255 bytes"),
    ],
)
def test_bad_requests_are_refused(arguments: dict[str, Any], message: str) -> None:
    """A permit that could never come is an error at once."""
    with pytest.raises(ValueError, match=message):
        Bulkhead("b", 2, MemoryStorage(ManualClock())).acquire(**arguments)


def test_no_more_than_the_limit_at_once(storage: Storage) -> None:
    """As many permits as the limit, each back when it is released."""
    bulkhead = Bulkhead("b", 2, storage)
    first, second = bulkhead.try_acquire(), bulkhead.try_acquire()
    assert first is not None
    assert second is not None
    assert bulkhead.try_acquire() is None
    assert bulkhead.count() == (2, 0)
    assert first.release()
    assert bulkhead.try_acquire() is not None
    assert bulkhead.try_acquire() is None


def test_a_costly_call_takes_several_permits(storage: Storage) -> None:
    """Permits are counted by cost."""
    bulkhead = Bulkhead("b", 5, storage)
    assert bulkhead.try_acquire(cost=3) is not None
    assert bulkhead.try_acquire(cost=3) is None
    assert bulkhead.try_acquire(cost=2) is not None
    assert bulkhead.count() == (5, 0)


def test_a_full_bulkhead_says_when_the_first_lease_ends(storage: Storage) -> None:
    """The error names bulkhead, limit and time, and nobody is left in the queue."""
    bulkhead = Bulkhead("b", 1, storage, lease=20.0)
    bulkhead.acquire()
    storage.clock.advance(5.0)
    with pytest.raises(
        BulkheadFullError, match="'b' had no permit of cost 1 among 1 within 3 s; the first lease"
    ) as caught:
        bulkhead.acquire(timeout=3.0)
    assert caught.value.retry_after == pytest.approx(12.0)
    assert sum(storage.clock.slept) == pytest.approx(3.0)
    assert bulkhead.count() == (1, 0)


def test_a_permit_comes_back_when_its_lease_ends(storage: Storage) -> None:
    """A holder that says nothing for a lease loses its permit, and is told so when it comes back."""
    bulkhead = Bulkhead("b", 1, storage, lease=10.0)
    lost = bulkhead.acquire()
    waited = bulkhead.acquire(timeout=60.0)
    assert 10.0 <= sum(storage.clock.slept) + 1e-6 <= 10.0 + module.LONGEST_POLL_IN_FRONT
    assert (lost.renew(), lost.lost) == (False, True)
    assert lost.release() is False
    assert waited.renew()
    assert bulkhead.count() == (1, 0)


def test_a_renewed_lease_lasts(storage: Storage) -> None:
    """Who renews in time holds its permit as long as it likes."""
    bulkhead = Bulkhead("b", 1, storage, lease=10.0)
    lease = bulkhead.acquire()
    for _ in range(5):
        storage.clock.advance(9.0)
        assert lease.renew()
        assert bulkhead.try_acquire() is None
    assert lease.lost is False


def test_callers_are_served_in_the_order_of_arrival(storage: Storage) -> None:
    """Nobody who came later is served before those who wait, whoever asks first."""
    assert _arrive(storage, "holder")
    assert not any(_arrive(storage, token) for token in "abc")
    storage.run(RELEASE, ("b",), "holder")
    assert not any(_arrive(storage, token) for token in ("c", "b", "late"))
    assert _arrive(storage, "a")
    storage.run(RELEASE, ("b",), "a")
    assert [token for token in ("late", "c", "b") if _arrive(storage, token)] == ["b"]


def test_a_costly_call_is_not_starved(storage: Storage) -> None:
    """Free permits wait for the costly call that is first, though a cheap one would fit."""
    assert _arrive(storage, "one", limit=3)
    assert not _arrive(storage, "costly", cost=3, limit=3)
    assert not _arrive(storage, "cheap", limit=3)
    storage.run(RELEASE, ("b",), "one")
    assert not _arrive(storage, "cheap", limit=3)
    assert _arrive(storage, "costly", cost=3, limit=3)


def test_a_waiter_that_died_holds_nobody_up_for_long(storage: Storage) -> None:
    """A place in the queue lapses when its holder no longer asks."""
    assert _arrive(storage, "holder")
    assert not _arrive(storage, "dead")
    storage.clock.advance(3.0)
    assert not _arrive(storage, "alive")
    storage.run(RELEASE, ("b",), "holder")
    assert not _arrive(storage, "alive")
    storage.clock.advance(2.0)
    assert _arrive(storage, "alive")


def test_a_place_survives_a_pause(storage: Storage) -> None:
    """A waiter whose place lapsed while the storage was away gets it back when it asks with its number."""
    assert _arrive(storage, "holder")
    number = storage.run(ACQUIRE, ("b",), "early", b"", 1, 1, 1, 30 * SECOND, 5 * SECOND, 0)[1]
    storage.clock.advance(6.0)
    assert not _arrive(storage, "late")
    storage.run(ACQUIRE, ("b",), "early", b"", 1, 1, 1, 30 * SECOND, 5 * SECOND, number)
    storage.run(RELEASE, ("b",), "holder")
    assert not _arrive(storage, "late")
    assert storage.run(ACQUIRE, ("b",), "early", b"", 1, 1, 1, 30 * SECOND, 5 * SECOND, number)[0]


def test_tenants_share_by_weight(storage: Storage) -> None:
    """With both tenants always waiting, one of weight 3 gets three permits for each one of the other."""
    served: list[bytes] = []
    numbers = {b"heavy": 0, b"light": 0}
    weights = {b"heavy": 3, b"light": 1}
    assert _arrive(storage, "holder", b"other")

    def ask(tenant: bytes) -> bool:
        return _arrive(storage, f"{tenant.decode()}{numbers[tenant]}", tenant, weights[tenant])

    holder = "holder"
    for _ in range(40):
        assert not any(ask(tenant) for tenant in weights), "both wait while the permit is held"
        storage.run(RELEASE, ("b",), holder)
        (winner,) = [tenant for tenant in weights if ask(tenant)]
        served.append(winner)
        holder = f"{winner.decode()}{numbers[winner]}"
        numbers[winner] += 1
    assert (served.count(b"heavy"), served.count(b"light")) == (30, 10)
    assert all(served[start : start + 4].count(b"light") >= 1 for start in range(0, 40, 4))


def test_a_tenant_that_was_away_saves_nothing_up(storage: Storage) -> None:
    """Somebody who comes back after a while gets its share from then on, and not all at once."""
    assert _arrive(storage, "holder", b"busy")
    for number in range(20):
        assert not _arrive(storage, f"busy{number}", b"busy")
        storage.run(RELEASE, ("b",), "holder" if number == 0 else f"busy{number - 1}")
        assert _arrive(storage, f"busy{number}", b"busy")
    waiting = [(f"{tenant}{number}", tenant.encode()) for number in range(20, 26) for tenant in ("busy", "back")]
    assert not any(_arrive(storage, token, tenant) for token, tenant in waiting)
    order = []
    holder = "busy19"
    while len(order) < 6:
        storage.run(RELEASE, ("b",), holder)
        (holder,) = [token for token, tenant in waiting if token not in order and _arrive(storage, token, tenant)]
        order.append(holder)
    assert sum(token.startswith("back") for token in order) in {3, 4}


def test_a_block_holds_and_gives_back(storage: Storage) -> None:
    """A `with` block holds the permit to its end, also when it fails."""
    bulkhead = Bulkhead("b", 1, storage)
    with bulkhead.acquire():
        assert bulkhead.count() == (1, 0)
    assert bulkhead.count() == (0, 0)
    with pytest.raises(KeyError), bulkhead.acquire():
        raise KeyError
    assert bulkhead.count() == (0, 0)


def test_coroutines_do_the_same(storage: Storage) -> None:
    """Each asynchronous method does what its twin does."""
    bulkhead = Bulkhead("b", 1, storage, lease=10.0)

    async def use() -> None:
        async with await bulkhead.acquire_async() as lease:
            assert await bulkhead.try_acquire_async() is None
            assert await bulkhead.count_async() == (1, 0)
            assert await lease.renew_async()
            with pytest.raises(BulkheadFullError):
                await bulkhead.acquire_async(timeout=1.0)
        lease = await bulkhead.acquire_async()
        assert await lease.release_async()
        assert await bulkhead.count_async() == (0, 0)

    asyncio.run(use())


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Who is cancelled while it waits holds nobody up."""
    storage = MemoryStorage()
    bulkhead = Bulkhead("b", 1, storage)

    async def cancel() -> None:
        await bulkhead.acquire_async()
        waiter = asyncio.create_task(bulkhead.acquire_async())
        while bulkhead.count() != (1, 1):  # noqa: ASYNC110 - the event is in the storage
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    asyncio.run(cancel())
    assert bulkhead.count() == (1, 0)


def test_everything_is_told() -> None:
    """Grants, refusals, releases and lost leases reach the listeners, and a listener that fails disturbs nothing."""
    clock = ManualClock()
    heard: list[Any] = []

    def fail(event: object) -> None:
        raise RuntimeError(event)

    bulkhead = Bulkhead("b", 1, MemoryStorage(clock), lease=5.0, listeners=[fail, heard.append])
    lease = bulkhead.acquire()
    assert bulkhead.try_acquire() is None
    clock.advance(2.0)
    lease.release()
    lease = bulkhead.acquire()
    clock.advance(6.0)
    lease.renew()
    assert heard == [
        PermitGranted("b", cost=1, delay=0.0),
        PermitRefused("b", cost=1, retry_after=5.0),
        PermitReleased("b", cost=1, held=2.0),
        PermitGranted("b", cost=1, delay=0.0),
        LeaseLost("b", cost=1),
    ]


def test_a_lease_that_ran_out_unnoticed_is_told(storage: Storage) -> None:
    """A holder that stalled beyond its lease and leaves before anything was renewed learns that it was lost, once."""
    heard: list[Any] = []
    bulkhead = Bulkhead("b", 1, storage, lease=5.0, listeners=[heard.append])
    with bulkhead.acquire() as lease:
        storage.clock.advance(6.0)  # type: ignore[attr-defined]
    assert lease.lost
    assert lease.release() is False
    assert [type(event) for event in heard] == [PermitGranted, LeaseLost]

    async def stall() -> None:
        async with await bulkhead.acquire_async() as lease:
            storage.clock.advance(6.0)  # type: ignore[attr-defined]
        assert lease.lost

    asyncio.run(stall())
    assert [type(event) for event in heard[2:]] == [PermitGranted, LeaseLost]


def test_a_lease_that_was_released_is_not_lost(storage: Storage) -> None:
    """Given back within its time it was not lost, however late anybody asks."""
    heard: list[Any] = []
    bulkhead = Bulkhead("b", 1, storage, lease=5.0, listeners=[heard.append])
    lease = bulkhead.acquire()
    assert lease.release() is True
    storage.clock.advance(6.0)  # type: ignore[attr-defined]
    assert lease.release() is False
    assert not lease.lost
    assert [type(event) for event in heard] == [PermitGranted, PermitReleased]


def test_a_block_outlives_a_storage_that_went_away() -> None:
    """If the storage can't be told that the block ended, the block's own result stands; the lease will end."""

    class Away(MemoryStorage):
        away = False

        def run(self, *arguments: Any, **settings: Any) -> Any:
            if self.away:
                raise StorageUnavailableError("away")
            return super().run(*arguments, **settings)

    storage = Away(ManualClock())
    bulkhead = Bulkhead("b", 1, storage, lease=5.0)
    with pytest.raises(KeyError), bulkhead.acquire():  # noqa: PT012 - the storage goes away inside the block
        storage.away = True
        raise KeyError
    storage.away = False
    assert bulkhead.try_acquire() is None
    storage.clock.advance(5.0)
    assert bulkhead.try_acquire() is not None


@pytest.mark.slow
def test_a_block_renews_its_lease(postgres_storage: PostgresStorage) -> None:
    """In a `with` block the lease outlasts its own length, in threads and in coroutines."""
    bulkhead = Bulkhead("b", 1, postgres_storage, lease=0.6)
    renewed = threading.Event()
    end = postgres_storage.clock.monotonic_ns() + int(1.5 * SECOND)
    with bulkhead.acquire() as lease:
        while postgres_storage.clock.monotonic_ns() < end:
            assert bulkhead.try_acquire() is None
            renewed.wait(0.05)
        assert lease.lost is False

    async def hold() -> None:
        end = postgres_storage.clock.monotonic_ns() + int(1.5 * SECOND)
        async with await bulkhead.acquire_async() as lease:
            while postgres_storage.clock.monotonic_ns() < end:
                assert await bulkhead.try_acquire_async() is None
                await asyncio.sleep(0.05)
            assert lease.lost is False

    asyncio.run(hold())
    assert bulkhead.count() == (0, 0)


def test_processes_never_hold_more_than_the_limit(
    crew: Crowd, postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Eight processes on three permits: all are served, never four at once."""
    postgres_storage.install(FEATURE)
    place = {"dsn": postgres.dsn(), "schema": postgres_storage.schema}
    reports = crew.run("hold_in_turn", limit=3, times=4, seconds=0.02, **place)
    held = [tuple(each) for report in reports for each in report]
    assert len(held) == 32
    assert max(sum(start <= at < end for start, end in held) for at, _ in held) <= 3
    assert Bulkhead("b", 3, postgres_storage).count() == (0, 0)


@pytest.mark.slow
def test_a_killed_holders_permit_comes_back(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """After SIGKILL nobody renews: the permit is there again when the lease ends, and not before."""
    postgres_storage.install(FEATURE)
    bulkhead = Bulkhead("b", 1, postgres_storage, lease=2.0)
    place = {"dsn": postgres.dsn(), "schema": postgres_storage.schema}
    with workers(1, "hold_for_ever", limit=1, lease=2.0, **place) as crowd:
        crowd.start()
        (worker,) = crowd.workers
        assert worker.hear() == "held"
        worker.kill()
    with pytest.raises(BulkheadFullError) as caught:
        bulkhead.acquire(timeout=0.0)
    assert 0 < caught.value.retry_after <= 2.0
    assert bulkhead.acquire(timeout=20.0).release()
