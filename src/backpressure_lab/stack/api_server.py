"""Airflow's API server: ``python -m backpressure_lab.stack.api_server``.

Building the application takes longer than anything else in the lab's start and needs no database, which Airflow's own
command looks at first; so the application is built while the database is being made.
"""

from __future__ import annotations

import importlib
import sys
import time

from backpressure_lab.stack.context import Context


def main() -> None:
    """Build the application, wait for the database, and be ``airflow api-server``."""
    importlib.import_module("airflow.api_fastapi.main")
    ready = Context.load().layout.database_ready
    while not ready.exists():
        time.sleep(0.05)
    from airflow.__main__ import main as airflow  # noqa: PLC0415 - Airflow is imported in the application's own order

    sys.argv = ["airflow", "api-server"]
    airflow()  # type: ignore[no-untyped-call]  # as Airflow has it


if __name__ == "__main__":
    main()
