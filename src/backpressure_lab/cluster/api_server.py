"""The cluster's API server: ``python -m backpressure_lab.cluster.api_server``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from backpressure_lab.cluster import places
from backpressure_lab.files import write_json
from backpressure_lab.stack.settings import ADMIN


def main() -> None:
    """Write the file in which Airflow's simple auth manager looks up passwords, then be ``airflow api-server``."""
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_json(passwords, {ADMIN: places.secret("admin_password")}, mode=0o600)
    from airflow.__main__ import main as airflow  # noqa: PLC0415 - Airflow reads its settings at import

    sys.argv = ["airflow", "api-server"]
    airflow()  # type: ignore[no-untyped-call]  # as Airflow has it


if __name__ == "__main__":
    main()
