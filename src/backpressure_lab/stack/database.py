"""Makes or upgrades the databases: ``python -m backpressure_lab.stack.database``, a part that runs once a start."""

from __future__ import annotations

import contextlib
import json
from importlib.metadata import version

from backpressure_lab.files import write_json
from backpressure_lab.stack import postgres
from backpressure_lab.stack.context import Context


def main() -> None:
    """Make roles and databases, whose rights may have changed; then Airflow's tables, unless this Airflow made them."""
    context = Context.load()
    with contextlib.closing(postgres.connect(context.layout, context.secrets)) as connection:
        postgres.create_databases(connection, context.secrets.roles())
    stamp = context.layout.database / "airflow-version.json"
    current = {"apache-airflow-core": version("apache-airflow-core")}
    if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == current:
        print("Airflow's tables are up to date")
    else:
        _make_tables()
        write_json(stamp, current)
    context.layout.database_ready.touch()


def _make_tables() -> None:
    print("making Airflow's tables")
    from airflow.utils import db  # noqa: PLC0415 - takes seconds, and most starts have no need of it

    db.initdb()


if __name__ == "__main__":
    main()
