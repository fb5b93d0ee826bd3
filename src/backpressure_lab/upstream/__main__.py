"""Runs the upstream simulator."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from backpressure_lab.upstream.server import Simulator
from backpressure_lab.upstream.service import HeldClock, arguments, read_token, run, serve

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code."""
    options = arguments("upstream", argv)

    async def listen() -> None:
        app = Simulator(HeldClock()).application(read_token(options.token_file))

        async def ready(port: int) -> str:
            return f"upstream ready on http://{options.host}:{port}"

        await serve(app, options.host, options.port, ready)

    return run("upstream", listen)


if __name__ == "__main__":
    sys.exit(main())
