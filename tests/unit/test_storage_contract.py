"""What every storage promises, shown on a counter."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backpressure.storage import Feature, Operation, Outcome, Storage

COUNTER = Feature("counter", version=1, folder=str(Path(__file__).parent.parent / "support"), tables=("counter",))


def _add(states, now_ns, by):
    totals = tuple((state or 0) + by for state in states)
    return Outcome(totals, (sum(totals), now_ns), keep_ns=1_000_000_000)


def _echo(states, _now_ns, *values):
    return Outcome(states, values, keep_ns=1_000_000_000)


ADD = Operation("counter_add_1", COUNTER, _add)
ADD_ALL = Operation("counter_add_all_1", COUNTER, _add, many=True)
ECHO = Operation("counter_echo_1", COUNTER, _echo)


def test_operations_on_one_key_add_up(storage: Storage) -> None:
    """Each operation sees what the one before it left."""
    totals = [storage.run(ADD, ("a",), by)[0] for by in (1, 2, 3)]
    assert totals == [1, 3, 6]
