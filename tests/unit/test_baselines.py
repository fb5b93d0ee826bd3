"""Baselines that stay from run to run, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from backpressure.airflow.baselines import Baselines
from support.postgres import PostgresServer


@pytest.fixture
def kept(postgres: PostgresServer) -> Baselines:
    """A test without a baseline; the table may be there already."""
    found = Baselines("speed", dsn=postgres.dsn())
    found.last(1)
    postgres.psql("DELETE FROM test_baselines")
    return found


def test_the_newest_comes_first(kept: Baselines) -> None:
    """Figures stay in their order, and no more are told than asked for."""
    for number, figure in enumerate((1.0, 2.0, 3.0)):
        kept.keep(f"run-{number}", figure)
    assert (kept.last(2), kept.last(9)) == ([3.0, 2.0], [3.0, 2.0, 1.0])


def test_a_run_keeps_one_figure(kept: Baselines) -> None:
    """A task that runs again replaces what it kept before it was cut off."""
    kept.keep("run-1", 1.0)
    kept.keep("run-1", 2.0)
    assert kept.last(9) == [2.0]


def test_tests_do_not_see_each_others(kept: Baselines, postgres: PostgresServer) -> None:
    """Another name is another test."""
    kept.keep("run-1", 1.0)
    assert Baselines("size", dsn=postgres.dsn()).last(9) == []
