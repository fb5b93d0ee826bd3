"""The roles of the lab's databases, on a real server."""

from __future__ import annotations

from contextlib import closing

import psycopg2
from support.postgres import PostgresServer

from backpressure_lab.stack import postgres as lab_postgres

ROLE, PASSWORD = "made_by_the_lab", "a password of a role"


def test_no_password_is_sent_in_clear(postgres: PostgresServer) -> None:
    """Made or changed, the role gets a verifier: neither the server's log nor a watching session shows the password."""
    log = postgres.folder / "log"
    with closing(psycopg2.connect(postgres.dsn())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET log_min_duration_statement = 0")
            try:
                for _ in range(2):
                    lab_postgres._create_role(connection, ROLE, PASSWORD, 7)
                cursor.execute("SELECT rolpassword, rolconnlimit FROM pg_authid WHERE rolname = %s", (ROLE,))
                assert (found := cursor.fetchone())
            finally:
                cursor.execute(f"DROP ROLE IF EXISTS {ROLE}")
    assert found[0].startswith("SCRAM-SHA-256$")
    assert found[1] == 7
    said = log.read_text(encoding="utf-8", errors="replace")
    assert f'CREATE ROLE "{ROLE}"' in said
    assert f'ALTER ROLE "{ROLE}"' in said
    assert PASSWORD not in said
