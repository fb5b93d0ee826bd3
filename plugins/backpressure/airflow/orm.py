"""What older texts do in a task and Airflow 3 refuses: reach for its database through its own models.

Lesson 14.01 tries it. In a script with access to the database it fails as well, since ``include_deferred`` has no
default; use ``backpressure.pools`` over REST.
"""

from __future__ import annotations

from collections.abc import Iterable

from backpressure.pools import PoolSpec

__all__ = ["make_pools"]


def make_pools(specs: Iterable[PoolSpec]) -> None:
    """Write pools into Airflow's database."""
    from airflow.models.pool import Pool  # noqa: PLC0415 - not while a DAG file is parsed
    from airflow.utils.session import create_session  # noqa: PLC0415 - the same

    # [orm]
    with create_session() as session:
        for spec in specs:
            session.add(Pool(pool=spec.name, slots=spec.slots, description=spec.description))
    # [/orm]
