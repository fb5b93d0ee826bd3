"""What older texts do to make a pool, and why it fails even where a database may be reached."""

from __future__ import annotations

import pytest
from airflow.models.pool import Pool
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session


def test_a_pool_without_include_deferred_is_refused_by_the_database() -> None:
    """The column has no default, so the form of older texts, which does not name it, breaks when it is written."""
    engine = create_engine("sqlite://")
    Pool.metadata.create_all(engine, tables=[Pool.metadata.tables["slot_pool"]])
    with Session(engine) as session:
        session.add(Pool(pool="named", slots=1, description="", include_deferred=False))
        session.flush()
        session.add(Pool(pool="database_connections", slots=10, description="Database connection limit"))
        with pytest.raises(IntegrityError, match="include_deferred"):
            session.flush()
