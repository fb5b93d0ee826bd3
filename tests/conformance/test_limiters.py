"""Our limiters hold every property, on a real server, under eight processes.

What others hold is measured by the same functions and written down by `python tests/conformance/table.py`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from conformance.properties import NOT_KILLED, ONE_CLOCK, PROPERTIES, TOO_SHORT, Trial
from conformance.subjects import SUBJECTS, Place

if TYPE_CHECKING:
    from support.postgres import PostgresServer
    from support.processes import Crowd

OURS = [name for name in SUBJECTS if name.startswith("backpressure")]


@pytest.mark.parametrize("subject", OURS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_ours_hold(postgres: PostgresServer, crews: dict[str, Crowd], subject: str, name: str) -> None:
    """Each property holds, by counts and ratios of one run."""
    place = Place(postgres.dsn(), f"t_{secrets.token_hex(4)}", "")
    verdict = PROPERTIES[name](Trial(SUBJECTS[subject], place, crews[SUBJECTS[subject].store], seconds=1.2))
    postgres.psql(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {place.schema} CASCADE")
    assert verdict.holds or verdict in {NOT_KILLED, ONE_CLOCK, TOO_SHORT}, verdict.seen
