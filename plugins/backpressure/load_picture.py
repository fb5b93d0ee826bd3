"""The picture of a load test: what was to be offered, and what the upstream saw of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backpressure.request_log import RequestLog

__all__ = ["load_picture"]


def load_picture(title: str, steps: Sequence[Mapping[str, Any]], log: RequestLog, capacity: int) -> str:
    """A load test as an SVG: what was to be offered and what came of it, and what the upstream had in service.

    Args:
        title: of the picture.
        steps: those of :func:`backpressure.load.ramp`, as dictionaries.
        log: the upstream's requests.
        capacity: how many requests the upstream serves at once.
    """
    from backpressure.dashboard import Panel, draw  # noqa: PLC0415 - not while a DAG file is parsed

    begin, finish = steps[0]["began"], float(log.arrival.max())
    serving = log.inflight("start")
    seconds = [begin + number for number in range(int(finish - begin) + 1)]
    return draw(
        [
            Panel("Rate to be offered", _steps(steps, "rate"), "calls/s"),
            Panel(
                "Arrivals",
                [(at, int(((log.arrival >= at) & (log.arrival < at + 1)).sum())) for at in seconds],
                "calls/s",
            ),
            Panel("In service", [(at, serving.mean(at, at + 1)) for at in seconds], "calls", limit=capacity),
            Panel("Refused", _steps(steps, "refused"), "of the calls"),
        ],
        title=title,
    )


def _steps(steps: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """A figure of each step from its beginning on, and of the last one at its end, too."""
    return [*((step["began"], step[key]) for step in steps), (steps[-1]["ended"], steps[-1][key])]
