"""Connections that are asked for again when they are refused, on a real PostgreSQL."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any

import pytest
from backpressure.airflow.database import TooManyConnectionsError, connect
from backpressure.airflow.patience import connect_within
from support.postgres import PostgresServer


def test_a_refused_connection_is_asked_for_again_until_the_time_is_up(postgres: PostgresServer) -> None:
    """Each refusal is told, and the last as such; one that is granted meanwhile is returned."""
    postgres.psql("CREATE ROLE single LOGIN CONNECTION LIMIT 1")
    dsn, told = postgres.dsn(user="single"), list[dict[str, Any]]()
    with ExitStack() as held:
        held.enter_context(closing(connect(dsn=dsn)))
        with pytest.raises(TooManyConnectionsError):
            connect_within(0.1, told.append, every=0.01, dsn=dsn)
        assert len(told) > 1
        assert [one["gives_up"] for one in told] == [False] * (len(told) - 1) + [True]
        assert {one["sqlstate"] for one in told} == {"53300"}

        def give_up_the_other(_: dict[str, Any]) -> None:
            held.close()

        connect_within(20, give_up_the_other, every=0.01, dsn=dsn).close()
