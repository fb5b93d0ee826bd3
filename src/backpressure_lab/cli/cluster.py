"""``./lab compose-env``: the secrets of the cluster."""

from __future__ import annotations

from rich.console import Console

from backpressure_lab.cluster import dotenv
from backpressure_lab.stack.layout import Layout


def compose_env() -> int:
    """Write ``.env``, unless it is there."""
    path = dotenv.write(Layout.of().root)
    console = Console(stderr=True)
    console.print(f"Wrote {path.name}, which only you can read.", highlight=False)
    console.print("  next      docker compose up --build --detach", highlight=False)
    console.print("  then      http://127.0.0.1:8080, user admin, ADMIN_PASSWORD of .env", highlight=False)
    return 0
