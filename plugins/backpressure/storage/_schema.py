"""Making and upgrading the tables, safely while many processes start at once."""

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from backpressure.errors import SchemaTooNewError
from backpressure.storage._connection import LOCK_TIMEOUT, Session, Wait
from backpressure.storage._literals import literal, quote_identifier
from backpressure.storage.protocol import Feature

__all__ = ["install", "render", "script"]

CORE = Feature("core", version=1, folder=str(Path(__file__).parent), tables=())


def render(sql: str, schema: str) -> str:
    """Fill in a script's placeholders; see `backpressure.storage`."""
    bounded = f"set_config('lock_timeout', '{LOCK_TIMEOUT}', true)"
    relaxed = f"{bounded} || set_config('synchronous_commit', 'off', true)"
    # A session that is ours alone has both settings already (`Session.is_ours`), and reading is cheaper than setting.
    relaxed_already = f"CASE current_setting('lock_timeout') WHEN '{LOCK_TIMEOUT}' THEN '' ELSE {relaxed} END"
    return (
        sql.replace("{schema}", quote_identifier(schema))
        .replace("{relaxed}", relaxed_already)
        .replace("{durable}", f"{bounded} || set_config('synchronous_commit', 'on', true)")
    )


def script(feature: Feature, above: int, schema: str) -> str:
    """All scripts of a feature from the version after `above`."""
    return "\n".join(
        render((Path(feature.folder) / f"{feature.name}_{version}.sql").read_text("utf-8"), schema)
        for version in range(above + 1, feature.version + 1)
    )


def install(session: Session, schema: str, feature: Feature, deadline: float) -> Generator[Wait, None, None]:
    """Bring a feature's tables and functions to this release's version, whoever else is at it.

    Raises:
        SchemaTooNewError: the tables are of a later release.
    """

    def run(sql: str) -> Generator[Wait, None, list[tuple[Any, ...]]]:
        return session.execute(sql, deadline)

    quoted = quote_identifier(schema)
    try:
        # With a stricter isolation, whoever waited for the lock would not see what the one before made.
        yield from run("BEGIN ISOLATION LEVEL READ COMMITTED")
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
        session.close()
        raise


def _too_new(schema: str, feature: Feature, found: int) -> SchemaTooNewError:
    return SchemaTooNewError(
        f"schema {schema!r} holds version {found} of {feature.name!r}, and this release knows {feature.version}: "
        f"upgrade airflow-backpressure-lab here, or use another schema"
    )


def _lock_number(schema: str) -> int:
    digest = hashlib.blake2b(b"backpressure schema " + schema.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
