"""Baselines of tests, kept in the application database from run to run, so that a run is compared with those before."""

from __future__ import annotations

from contextlib import closing

from backpressure.airflow.database import connect

__all__ = ["Baselines"]

_TABLE = """CREATE TABLE IF NOT EXISTS test_baselines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL, run_id text NOT NULL, figure double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), UNIQUE (name, run_id))"""
_WRITE = """INSERT INTO test_baselines (name, run_id, figure) VALUES (%(name)s, %(run_id)s, %(figure)s)
    ON CONFLICT (name, run_id) DO UPDATE SET figure = EXCLUDED.figure"""
_READ = "SELECT figure FROM test_baselines WHERE name = %(name)s ORDER BY id DESC LIMIT %(most)s"


class Baselines:
    """The figures of one test, a figure for each run that kept one.

    Args:
        name: of the test.
        dsn: a libpq connection string instead of the application database's Airflow connection.
    """

    def __init__(self, name: str, *, dsn: str | None = None) -> None:
        self._name = name
        self._dsn = dsn

    def keep(self, run_id: str, figure: float) -> None:
        """Keep a run's figure, replacing one that a task of this run which was cut off has kept."""
        self._run(_WRITE, run_id=run_id, figure=figure)

    def last(self, most: int) -> list[float]:
        """The figures kept last, so many at most, the newest first."""
        return [float(figure) for (figure,) in self._run(_READ, most=most)]

    def _run(self, statement: str, **values: object) -> list[tuple[float, ...]]:
        with closing(connect(dsn=self._dsn)) as database, database.cursor() as cursor:
            cursor.execute(_TABLE)
            cursor.execute(statement, {"name": self._name, **values})
            return list(cursor.fetchall()) if cursor.description else []
