"""Making and upgrading the tables, safely while many processes start at once."""

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backpressure.errors import SchemaTooNewError
from backpressure.storage._connection import Wait, execute
from backpressure.storage._literals import literal
from backpressure.storage.protocol import Feature

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["install", "quote_identifier", "render", "script"]

LOCK_TIMEOUT = "5s"
"""How long a function waits for a record that somebody else holds, which takes microseconds unless that is a person."""

CORE = Feature("core", version=1, folder=str(Path(__file__).parent), tables=())


def quote_identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def render(sql: str, schema: str) -> str:
    """Fill in a script's placeholders; see `backpressure.storage`."""
    bounded = f"set_config('lock_timeout', '{LOCK_TIMEOUT}', true)"
    return (
        sql.replace("{schema}", quote_identifier(schema))
        .replace("{relaxed}", f"{bounded} || set_config('synchronous_commit', 'off', true)")
        .replace("{durable}", f"{bounded} || set_config('synchronous_commit', 'on', true)")
    )


def script(feature: Feature, above: int, schema: str) -> str:
    """All scripts of a feature from the version after `above`."""
    return "\n".join(
        render((Path(feature.folder) / f"{feature.name}_{version}.sql").read_text("utf-8"), schema)
        for version in range(above + 1, feature.version + 1)
    )


def install(connection: "Connection", schema: str, feature: Feature, deadline: float) -> Generator[Wait, None, None]:
    """Bring a feature's tables and functions to this release's version, whoever else is at it.

    Raises:
        SchemaTooNewError: the tables are of a later release.
    """

    def run(sql: str) -> Generator[Wait, None, list[tuple[Any, ...]]]:
        return execute(connection, sql, deadline)

    quoted = quote_identifier(schema)
    try:
        yield from run("BEGIN")
        yield from run(f"SELECT pg_advisory_xact_lock({_lock_number(schema)})")
        if not (yield from run(f"SELECT to_regclass({literal(quoted + '.schema_version')}) IS NOT NULL"))[0][0]:
            yield from run(
                f"CREATE SCHEMA IF NOT EXISTS {quoted};"
                f"CREATE TABLE {quoted}.schema_version (feature text PRIMARY KEY, version int NOT NULL)"
            )
        for each in (CORE, feature):
            rows = yield from run(
                f"SELECT version FROM {quoted}.schema_version WHERE feature = '{each.name}'"  # noqa: S608 - an identifier
            )
            found = rows[0][0] if rows else 0
            if found > each.version:
                raise _too_new(schema, each, found)  # noqa: TRY301 - inside, so that the transaction is given up
            if found < each.version:
                yield from run(script(each, found, schema))
                yield from run(
                    f"INSERT INTO {quoted}.schema_version VALUES ('{each.name}', {each.version}) "  # noqa: S608 - the same
                    f"ON CONFLICT (feature) DO UPDATE SET version = excluded.version"
                )
        yield from run("COMMIT")
    except BaseException:
        connection.close()
        raise


def _too_new(schema: str, feature: Feature, found: int) -> SchemaTooNewError:
    return SchemaTooNewError(
        f"schema {schema!r} holds version {found} of {feature.name!r}, and this release knows {feature.version}: "
        f"upgrade airflow-backpressure-lab here, or use another schema"
    )


def _lock_number(schema: str) -> int:
    digest = hashlib.blake2b(b"backpressure schema " + schema.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
