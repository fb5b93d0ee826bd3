"""A connection id whose shared state is a storage in memory, found again by triggers as in a deployment."""

from __future__ import annotations

import pytest
from backpressure.airflow import admission
from backpressure.airflow.connection import ConnectionStorage
from backpressure.clock import ManualClock
from backpressure.storage import MemoryStorage


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> ConnectionStorage:
    """`storage()` under a clock that the test moves: `shared.clock.advance(seconds)`."""
    clock = ManualClock()
    memory = MemoryStorage(clock)
    found = ConnectionStorage("backpressure_db", clock=clock, opened=lambda: memory)

    def storage(**description: object) -> ConnectionStorage:
        assert description == found.description()
        return found

    monkeypatch.setattr(admission, "storage", storage)
    return found
