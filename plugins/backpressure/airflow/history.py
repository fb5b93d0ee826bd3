"""A history of a queue's depth in the application database: written by a monitor, read by whoever compares.

Samples stay for a day, so that a run can be compared with those before it, whatever was restarted in between.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from backpressure.airflow.database import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE = """CREATE TABLE IF NOT EXISTS queue_history (
    run_id text NOT NULL, at double precision NOT NULL, depth integer NOT NULL)"""
_FORGET = "DELETE FROM queue_history WHERE at < %(at)s - 86400"
_WRITE = "INSERT INTO queue_history (run_id, at, depth) VALUES (%(run_id)s, %(at)s, %(depth)s)"
_PERCENTILE = """SELECT percentile_disc(%(share)s) WITHIN GROUP (ORDER BY depth) FROM queue_history
    WHERE run_id = %(run_id)s AND at BETWEEN %(since)s AND %(until)s"""


class DepthHistory:
    """The samples of one run; made for one process, and used by several.

    Args:
        run_id: whose samples.
        dsn: a libpq connection string instead of the application database's Airflow connection.
    """

    def __init__(self, run_id: str, *, dsn: str | None = None) -> None:
        self._run_id = run_id
        self._dsn = dsn

    def write(self, sample: Mapping[str, float]) -> None:
        """Keep a sample: its instant ``at`` (epoch s) and its ``depth``."""
        with closing(connect(dsn=self._dsn)) as database, database.cursor() as cursor:
            cursor.execute(_TABLE)
            cursor.execute(_FORGET, {"at": sample["at"]})
            cursor.execute(_WRITE, {"run_id": self._run_id, "at": sample["at"], "depth": sample["depth"]})

    def percentile(self, share: float, since: float, until: float) -> int | None:
        """The depth that this share of the samples between two instants did not exceed; None without samples."""
        values = {"share": share, "run_id": self._run_id, "since": since, "until": until}
        with closing(connect(dsn=self._dsn)) as database, database.cursor() as cursor:
            cursor.execute(_TABLE)
            cursor.execute(_PERCENTILE, values)
            ((found,),) = cursor.fetchall()
        return None if found is None else int(found)
