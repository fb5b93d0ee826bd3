"""The retry budget: a storm stays within it, on both storages and among many threads."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from backpressure.clock import ManualClock
from backpressure.retry import RetryBudget
from backpressure.storage import MemoryStorage, PostgresStorage, Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

names = (f"budget {number}" for number in itertools.count())


def clock_of(storage: Storage) -> ManualClock:
    """The clock that the test moves."""
    assert isinstance(storage.clock, ManualClock)
    return storage.clock


def test_starts_full_and_runs_dry(storage: Storage) -> None:
    """As many retries as the capacity, then none; without refill only calls bring more."""
    budget = RetryBudget("b", storage, ratio=0.5, capacity=3)
    assert [bool(budget.try_spend()) for _ in range(4)] == [True, True, True, False]
    assert budget.try_spend().retry_after == math.inf
    budget.deposit()
    assert budget.try_spend() == (False, 0.5, math.inf)
    budget.deposit()
    assert budget.try_spend() == (True, 0.0, 0.0)


def test_refills_with_time_up_to_the_capacity(storage: Storage) -> None:
    """Tokens come back at the rate of the refill, and the refusal says when."""
    budget = RetryBudget("b", storage, capacity=2, refill=0.25)
    assert budget.try_spend()
    assert budget.try_spend()
    clock_of(storage).advance(1)
    assert budget.try_spend() == (False, 0.25, 3.0)
    clock_of(storage).advance(3)
    assert budget.try_spend()
    clock_of(storage).advance(3600)
    assert [bool(budget.try_spend()) for _ in range(3)] == [True, True, False]


def test_a_storm_is_no_larger_than_the_budget(storage: Storage) -> None:
    """A thousand calls that all fail and would all retry three times make 1 + capacity/1000 + ratio times the calls."""
    budget = RetryBudget("b", storage, ratio=0.1, capacity=10)
    retries = 0
    for _ in range(200):
        budget.deposit()
        retries += sum(bool(budget.try_spend()) for _ in range(3))
    assert 10 + 0.1 * 200 - 1 <= retries <= 10 + 0.1 * 200


def test_many_at_once_take_no_token_twice(postgres_storage: PostgresStorage) -> None:
    """Eight threads that spend and deposit at once never take more than there is."""
    budget = RetryBudget("b", postgres_storage, ratio=0.25, capacity=50)

    def work(_: int) -> int:
        spent = 0
        for _ in range(40):
            budget.deposit()
            spent += bool(budget.try_spend())
        return spent

    with ThreadPoolExecutor(8) as pool:
        spent = sum(pool.map(work, range(8)))
    # A deposit into a full bucket is lost, which is why it may be fewer.
    assert 0.25 * 320 <= spent <= 50 + 0.25 * 320
    while budget.try_spend():
        spent += 1
    assert spent <= 50 + 0.25 * 320


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.just("deposit"), st.just("spend"), st.sampled_from([0.1, 1.0, 7.3, 86400.0])),
        max_size=40,
    ),
    st.sampled_from([0.0, 0.1, 1 / 3]),
    st.sampled_from([1.0, 2.5]),
    st.sampled_from([0.0, 0.3]),
)
def test_both_storages_agree(
    manual_postgres_storage: PostgresStorage,
    steps: list[str | float],
    ratio: float,
    capacity: float,
    refill: float,
) -> None:
    """Whatever happens in whatever order, PostgreSQL answers as the transition does, to the last bit."""
    clock = clock_of(manual_postgres_storage)
    memory = MemoryStorage(ManualClock())
    clock_of(memory).advance_ns(clock.now_ns() - memory.clock.now_ns())
    name = next(names)
    one, other = (
        RetryBudget(name, each, ratio=ratio, capacity=capacity, refill=refill)
        for each in (memory, manual_postgres_storage)
    )
    for step in steps:
        if step == "deposit":
            one.deposit()
            other.deposit()
        elif step == "spend":
            assert one.try_spend() == other.try_spend()
        else:
            clock.advance(float(step))
            clock_of(memory).advance(float(step))


@pytest.mark.parametrize("capacity", [1, 10**6])
def test_bounds_are_allowed(capacity: int) -> None:
    """The smallest and the largest capacity work."""
    assert RetryBudget("b", MemoryStorage(), capacity=capacity).try_spend().tokens == capacity - 1
