"""PostgreSQL grants a bulkhead's permits exactly as the pure transitions do."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from backpressure.bulkhead.operations import ACQUIRE, COUNT, RELEASE, RENEW
from backpressure.storage import MemoryStorage, PostgresStorage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from backpressure.storage import Operation

SECOND = 10**9
TENANTS = [b"", b"a", b"b"]
WEIGHTS = {b"": 1, b"a": 1, b"b": 3}

rounds = itertools.count()
tokens = st.sampled_from("abcdef")
commands = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), tokens, st.sampled_from(TENANTS), st.integers(1, 3), st.sampled_from([0, 1, 5])),
        st.tuples(st.just("acquire"), tokens, st.sampled_from(TENANTS), st.integers(1, 3), st.sampled_from([0, 1, 5])),
        st.tuples(st.just("release"), tokens),
        st.tuples(st.just("renew"), tokens),
        st.tuples(st.just("advance"), st.sampled_from([1, SECOND, 2 * SECOND, 7 * SECOND])),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(3, 5), commands=commands)
def test_both_storages_grant_alike(
    manual_postgres_storage: PostgresStorage, limit: int, commands: list[tuple[object, ...]]
) -> None:
    """Any sequence of asking, asking again, renewing, leaving and lapsing has the same results on both."""
    clock = manual_postgres_storage.clock
    storages = (MemoryStorage(clock), manual_postgres_storage)
    keys = (f"bulkhead {next(rounds)}",)
    arrivals: dict[object, int] = {}

    def both(operation: Operation, *arguments: Any) -> tuple[Any, ...]:
        memory, postgres = (tuple(storage.run(operation, keys, *arguments)) for storage in storages)
        assert postgres == memory, (operation.name, arguments)
        return memory

    for name, *rest in commands:
        if name == "acquire":
            token, tenant, cost, patience = rest
            arguments = (token, tenant, WEIGHTS[tenant], cost, limit, 3 * SECOND, patience * SECOND)
            _, arrivals[token], *_ = both(ACQUIRE, *arguments, arrivals.get(token, 0))
        elif name == "release":
            both(RELEASE, rest[0])
            arrivals.pop(rest[0], None)
        elif name == "renew":
            both(RENEW, rest[0], 3 * SECOND)
        else:
            clock.advance_ns(rest[0])
        in_use, _ = both(COUNT)
        assert in_use <= limit
