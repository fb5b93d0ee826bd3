"""Phases of a task in its log, for people and for programs: what it did, from when on, and for how long.

``with phase("fetch", id="7"):`` prints one line of JSON when the block is left, also by an error. :func:`phases` finds
these lines again in a log as Airflow's REST API gives it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Phase", "phase", "phases"]

Phase = dict[str, Any]
"""``phase`` (its name), ``began`` (epoch s), ``seconds``, ``ok`` (false when an error ended it), and what was added."""


@contextmanager
def phase(name: str, **about: Any) -> Iterator[None]:
    """Print how long a block took, and what else is known of it.

    Args:
        name: what is done.
        about: what else the line shall say, as JSON can say it: the id of a request, a number of rows.

    Raises:
        TypeError: JSON can't say it; at once, since at the end it would hide what the block raised.
    """
    json.dumps(about)
    began, clock, ok = time.time(), time.monotonic(), False
    try:
        yield
        ok = True
    finally:
        line = {"phase": name, "began": began, "seconds": time.monotonic() - clock, "ok": ok} | about
        print(json.dumps(line), flush=True)  # noqa: T201 - a task's print is its log


def phases(events: Iterable[Mapping[str, Any]]) -> list[Phase]:
    """The phases among a log's events, in their order; other lines are passed over."""
    found = []
    for event in events:
        text = str(event.get("event", ""))
        if text.startswith('{"phase": '):
            try:
                found.append(json.loads(text))
            except ValueError:
                continue  # a line that was cut off
    return found
