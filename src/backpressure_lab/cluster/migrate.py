"""Makes or upgrades the cluster's databases: a job that runs once a start, before anything of Airflow."""

from __future__ import annotations

import sys

import psycopg2

from backpressure_lab.cluster import places
from backpressure_lab.stack import postgres


def main() -> None:
    """Make roles and databases, then be ``airflow db migrate``."""
    host, port = places.address("LAB_POSTGRES")
    connection = psycopg2.connect(
        host=host,
        port=port,
        dbname="postgres",
        user="postgres",
        password=places.secret("postgres_password"),
        connect_timeout=10,
        application_name="lab migrate",
    )
    connection.autocommit = True
    try:
        postgres.create_databases(connection, {role: places.secret(f"{role}_password") for role in postgres.ROLES})
    finally:
        connection.close()
    from airflow.__main__ import main as airflow  # noqa: PLC0415 - Airflow reads its settings at import

    sys.argv = ["airflow", "db", "migrate"]
    airflow()  # type: ignore[no-untyped-call]  # as Airflow has it


if __name__ == "__main__":
    main()
