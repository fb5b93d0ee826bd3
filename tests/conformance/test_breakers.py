"""Our breakers and bulkheads hold every property, on a real server, under eight processes.

What others hold is measured by the same functions and written down by `python tests/conformance/table.py`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from conformance.breaker_properties import BREAKER_PROPERTIES, BreakerTrial
from conformance.breakers import BREAKERS
from conformance.bulkhead_properties import BULKHEAD_PROPERTIES, BulkheadTrial
from conformance.bulkheads import BULKHEADS
from conformance.properties import NOT_KILLED, ONE_CLOCK
from conformance.subjects import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer
    from support.processes import Crowd


@pytest.fixture
def place(postgres: PostgresServer) -> Iterator[Place]:
    """A schema of its own."""
    place = Place(postgres.dsn(), f"t_{secrets.token_hex(4)}", "")
    yield place
    postgres.psql(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {place.schema} CASCADE")


@pytest.mark.parametrize("subject", [name for name in BREAKERS if name.startswith("backpressure")])
@pytest.mark.parametrize("name", BREAKER_PROPERTIES)
def test_our_breakers_hold(crews: dict[str, Crowd], place: Place, subject: str, name: str) -> None:
    """Each property holds for each condition of ours."""
    verdict = BREAKER_PROPERTIES[name](BreakerTrial(BREAKERS[subject], place, crews[BREAKERS[subject].store]))
    assert verdict.holds or verdict in {NOT_KILLED, ONE_CLOCK}, verdict.seen


@pytest.mark.parametrize("subject", [name for name in BULKHEADS if name.startswith("backpressure")])
@pytest.mark.parametrize("name", BULKHEAD_PROPERTIES)
def test_our_bulkheads_hold(crews: dict[str, Crowd], place: Place, subject: str, name: str) -> None:
    """Each property holds."""
    verdict = BULKHEAD_PROPERTIES[name](BulkheadTrial(BULKHEADS[subject], place, crews[BULKHEADS[subject].store]))
    assert verdict.holds or verdict in {NOT_KILLED, ONE_CLOCK}, verdict.seen
