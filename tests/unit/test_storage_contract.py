"""What every storage promises, shown on a counter."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backpressure.storage import Feature, Operation, Outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from backpressure.storage import Storage

KEEP = 1_000_000_000
COUNTER = Feature("counter", version=1, folder=str(Path(__file__).parent.parent / "support"), tables=("counter",))


def _add(states: tuple[Any, ...], now_ns: int, by: int) -> Outcome:
    totals = tuple((state or 0) + by for state in states)
    return Outcome(totals, (sum(totals), now_ns), KEEP)


def _echo(states: tuple[Any, ...], _now_ns: int, *values: Any) -> Outcome:
    return Outcome(states, values, KEEP)


ADD = Operation("counter_add_1", COUNTER, _add)
ADD_ALL = Operation("counter_add_all_1", COUNTER, _add, many=True)
ECHO = Operation("counter_echo_1", COUNTER, _echo)

# No database text can hold the character NUL; names can, for they travel as bytes.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False)


def test_operations_on_one_key_add_up(storage: Storage) -> None:
    """Each operation sees what the one before it left."""
    assert [storage.run(ADD, ("a",), by)[0] for by in (1, 2, 3)] == [1, 3, 6]


def test_keys_are_apart(storage: Storage) -> None:
    """What happens to one key changes no other."""
    storage.run(ADD, ("a",), 1)
    assert storage.run(ADD, ("b",), 5)[0] == 5


def test_an_operation_takes_several_keys_at_once(storage: Storage) -> None:
    """All keys of an operation change together."""
    storage.run(ADD, ("b",), 10)
    assert storage.run(ADD_ALL, ("c", "a", "b"), 1)[0] == 13


def test_an_expired_record_means_the_same_as_none(storage: Storage) -> None:
    """A record lives as long as its operation said, and not one nanosecond longer."""
    storage.run(ADD, ("a",), 1)
    storage.clock.advance_ns(KEEP - 1000)
    assert storage.run(ADD, ("a",), 1)[0] == 2
    storage.clock.advance_ns(KEEP)
    assert storage.run(ADD, ("a",), 1)[0] == 1


def test_a_records_time_never_goes_backwards(storage: Storage) -> None:
    """After the storage's clock was set back, a record's time stands still until the clock has caught up."""
    _, first = storage.run(ADD, ("a",), 1)
    storage.clock.step(-0.5)
    assert storage.run(ADD, ("a",), 1) == (2, first)
    storage.clock.advance(0.75)
    assert storage.run(ADD, ("a",), 1) == (3, first + 250_000_000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=names,
    arguments=st.tuples(
        st.none() | integers,
        st.none() | numbers,
        st.none() | texts,
        st.none() | st.booleans(),
        st.none() | integers,
        st.lists(integers, max_size=4),
        st.lists(numbers, max_size=4),
        st.lists(texts, max_size=4),
    ),
)
def test_arguments_arrive_as_they_were_given(storage: Storage, name: str, arguments: tuple[Any, ...]) -> None:
    """Numbers, texts and lists of them reach the operation unchanged, whatever characters they hold."""
    assert tuple(storage.run(ECHO, (name,), *arguments)) == arguments


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=names, second=names)
def test_names_that_differ_are_different_keys(storage: Storage, first: str, second: str) -> None:
    """No two names fall together, and none is changed on its way."""
    before = storage.run(ADD, (first,), 0)[0]
    storage.run(ADD, (second,), 1)
    assert storage.run(ADD, (first,), 0)[0] == before + (first == second)


def test_threads_share_one_storage(storage: Storage) -> None:
    """No operation of eight threads is lost."""

    def work() -> None:
        for _ in range(50):
            storage.run(ADD, ("a",), 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.run(ADD, ("a",), 0)[0] == 400


def test_coroutines_share_one_storage(storage: Storage) -> None:
    """No operation of a hundred coroutines is lost, and a second event loop goes on where the first ended."""

    async def work() -> list[Any]:
        return await asyncio.gather(*(storage.run_async(ADD, ("a",), 1) for _ in range(100)))

    assert sorted(row[0] for row in asyncio.run(work())) == list(range(1, 101))
    assert sorted(row[0] for row in asyncio.run(work())) == list(range(101, 201))


def test_a_storage_is_usable_after_it_was_closed(storage: Storage) -> None:
    """Closing releases connections; the state stays."""
    storage.run(ADD, ("a",), 1)
    storage.close()
    assert storage.run(ADD, ("a",), 1)[0] == 2


def test_a_forked_child_goes_on_with_the_storage(storage: Storage) -> None:
    """Child and parent both work on after a fork, and neither disturbs the other."""
    storage.run(ADD, ("a",), 1)
    storage.run(ADD, ("a",), 1)
    child = os.fork()
    if child == 0:
        try:
            ended_well = all(storage.run(ADD, ("child",), 1)[0] == turn for turn in range(1, 6))
        except BaseException:  # noqa: BLE001 - a child of a test must not return into pytest
            ended_well = False
        os._exit(0 if ended_well else 1)
    assert [storage.run(ADD, ("a",), 1)[0] for _ in range(5)] == [3, 4, 5, 6, 7]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
