"""PostgreSQL decides exactly as the pure transitions do, whatever is asked in whatever order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from backpressure import Quota, Rate, RateLimitedError, RateLimiter, SlidingWindow
from backpressure.limiter.operations import ADOPT, GCRA_TAKE, RESET, TAKE
from backpressure.limiter.rate import GCRA, QUOTA, WINDOW, Spec
from backpressure.storage import MemoryStorage, Operation, PostgresStorage, Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 10**9
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Pacific/Apia"]
HOUR = 3600 * SECOND

rounds = itertools.count()

specs = st.one_of(
    st.tuples(st.just(GCRA), st.integers(1, 4), st.sampled_from([1000, SECOND // 3 + 1, SECOND]), st.just("UTC")),
    st.tuples(st.just(WINDOW), st.integers(1, 4), st.sampled_from([SECOND // 2, SECOND, 3 * SECOND]), st.just("UTC")),
    st.tuples(st.just(QUOTA), st.integers(1, 4), st.integers(0, 1), st.sampled_from(ZONES)),
)
waits = st.sampled_from([0, 0, SECOND // 2, 2 * SECOND, 10**17])
advances = st.tuples(st.just("advance"), st.sampled_from([1, 1000, SECOND // 3, SECOND, 11 * HOUR, 20 * 24 * HOUR]))
takes = st.tuples(
    st.just("take"),
    st.lists(specs, min_size=1, max_size=3),
    st.integers(0, 1),
    st.integers(1, 3),
    st.integers(1, 4),
    waits,
)
gcra_takes = st.tuples(st.just("gcra"), st.integers(1, 4), st.integers(1, 4), waits)
adoptions = st.tuples(
    st.just("adopt"),
    st.integers(0, 3),
    st.sampled_from([0, SECOND, 5 * SECOND]),
    st.one_of(st.none(), st.integers(0, 4)),
    st.sampled_from([0, SECOND, 5 * SECOND]),
)
resets = st.tuples(st.just("reset"), st.integers(0, 3))


class Both:
    """Runs every operation on memory and on PostgreSQL, under one clock, and holds the results against each other."""

    def __init__(self, postgres: PostgresStorage) -> None:
        self.clock = postgres.clock
        self.storages = (MemoryStorage(postgres.clock), postgres)
        self.round = next(rounds)

    def run(self, operation: Operation, names: Sequence[str], *arguments: object) -> None:
        """Apply an operation to both."""
        keys = tuple(f"{name}{self.round}" for name in names)
        memory, postgres = (storage.run(operation, keys, *arguments) for storage in self.storages)
        assert tuple(postgres) == tuple(memory), (operation.name, keys, arguments)


YEAR = 366 * 86400 * SECOND


@pytest.mark.parametrize("count", [1, 11, 12, 300, 3000])
@pytest.mark.parametrize(
    "limits",
    [
        [(0, 1, YEAR, "UTC")],
        [(1, 1, YEAR, "UTC")],
        [(2, 1, 1, "Europe/Berlin")],
        [(0, 1, YEAR, "UTC"), (1, 2, YEAR, "UTC")],
    ],
    ids=["rate", "window", "month", "two"],
)
@pytest.mark.parametrize("any_of", [0, 1])
def test_both_storages_see_the_same_horizon(
    manual_postgres_storage: PostgresStorage, limits: list[tuple[int, int, int, str]], any_of: int, count: int
) -> None:
    """A batch that would end in hundreds of years is refused by both, however many bits its end would take."""
    both = Both(manual_postgres_storage)
    columns = [list(column) for column in zip(*limits, strict=True)]
    names = [f"{Spec(*limit).letter}:{index}:" for index, limit in enumerate(limits)]
    for wait in (10**18, SECOND):
        both.run(TAKE, names, *columns, any_of, count, 1, wait)
        both.run(TAKE, names, *columns, any_of, 1, 1, 0)


def test_a_batch_beyond_the_horizon_is_refused(storage: Storage) -> None:
    """It is told as any other that comes too late, and takes nothing."""
    for limit in (Rate(1, 366 * 86400.0), SlidingWindow(1, 366 * 86400.0), Quota(1, "month")):
        limiter = RateLimiter("x", limit, storage)
        with pytest.raises(RateLimitedError, match="no permit within ten years"):
            limiter.reserve(3000)
        assert limiter.try_acquire()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(st.one_of(takes, takes, gcra_takes, advances, adoptions, resets), min_size=1, max_size=15))
def test_both_storages_decide_alike(manual_postgres_storage: PostgresStorage, commands: list[tuple]) -> None:
    """Any sequence of takes, reservations, adoptions and resets, over any limits, has the same results on both."""
    both = Both(manual_postgres_storage)
    for name, *rest in commands:
        if name == "advance":
            both.clock.advance_ns(rest[0])
        elif name == "take":
            limits, any_of, count, cost, wait = rest
            cost = min(cost, *(limit[1] for limit in limits))
            kinds, sizes, periods, zones = (list(column) for column in zip(*limits, strict=True))
            names = [f"{Spec(*limit).letter}:{index}:" for index, limit in enumerate(limits)]
            both.run(TAKE, names, kinds, sizes, periods, zones, any_of, count, cost, wait)
        elif name == "gcra":
            burst, cost, wait = rest
            both.run(GCRA_TAKE, ["g:0:"], burst, SECOND // 3 + 1, min(cost, burst), wait)
        elif name == "adopt":
            both.run(ADOPT, ["gwdm"[rest[0]] + ":0:"], *rest[1:])
        else:
            both.run(RESET, ["gwdm"[rest[0]] + ":0:"])
