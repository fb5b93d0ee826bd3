"""What the cases of a lesson share with the orders that come to them."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow import cases
from backpressure.airflow.database import WATCHING_DB


def test_addresses_are_looked_up_before_an_order_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow is asked at once for both of them; what is timed later asks it for nothing."""
    asked = []

    class FakeUpstream:
        def __init__(self, lane: str, timeout: float) -> None:
            assert timeout > 0
            self.lane = lane

        def time(self) -> float:
            asked.append(self.lane)
            return 0.0

    def dsn(conn_id: str) -> str:
        asked.append(conn_id)
        return "dbname=stock"

    def take(product: str, **how: Any) -> tuple[str, dict[str, Any]]:
        return product, how

    monkeypatch.setattr(cases, "Upstream", FakeUpstream)
    monkeypatch.setattr("backpressure.airflow.database.dsn", dsn)
    monkeypatch.setattr("backpressure.airflow.stock.take", take)
    _, taken = cases.ways("case a")
    assert asked == ["case a", WATCHING_DB]
    assert taken() == ("case a", {"patience": 6.0, "dsn": "dbname=stock"})
