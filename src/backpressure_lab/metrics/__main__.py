"""Runs the StatsD receiver."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from backpressure_lab.metrics.forward import Forwarder
from backpressure_lab.metrics.server import Receiver
from backpressure_lab.upstream.service import HeldClock, arguments, read_token, run, serve

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code."""
    options = arguments("metrics", argv, udp=True)

    async def listen() -> None:
        forward = Forwarder(*options.forward) if options.forward else None
        receiver = Receiver(HeldClock(), forward=forward)

        async def ready(port: int) -> str:
            udp_port = await receiver.listen(options.host, port if options.udp_port is None else options.udp_port)
            return f"metrics ready on http://{options.host}:{port}, StatsD on udp://{options.host}:{udp_port}"

        await serve(receiver.application(read_token(options.token_file)), options.host, options.port, ready)

    return run("metrics", listen)


if __name__ == "__main__":
    sys.exit(main())
