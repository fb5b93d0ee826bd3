"""What a runbook's steps do on Airflow: watch a pool's queue, resize pools, page people and wait for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from backpressure.airflow.run import Run
from backpressure.airflow.upstream import Upstream
from backpressure.postmortem import oldest
from backpressure.runbook import Action, Then

__all__ = ["actions", "answer", "on_call", "pages", "resizes", "sizes", "waiting"]


def waiting(run: Run, pool: str) -> int:
    """How many tasks wait for the pool, or for a worker with a slot of it."""
    found = run.pool(pool)
    return found.scheduled + found.queued


def actions(run: Run, pool: str, line: Upstream) -> dict[str, Action]:
    """The verbs of a runbook for a pool; all arguments are words, as the file has them.

    ``watch N S``: stop unless N tasks wait within S seconds. ``size POOL N``: give a pool N slots. ``page WHOM``: send
    a message. ``settled N S``: the phase is over if at most N wait within S seconds, else it goes on. ``acknowledged
    WHOM S`` and ``recovered N S``: stop unless the one answers, or at most N wait, within S seconds.

    Args:
        run: the run that resizes are undone with.
        pool: whose queue is watched.
        line: the upstream whose ``/notify`` takes the pages and the answers.
    """

    def within(seconds: str, condition: Callable[[], Any]) -> bool:
        try:
            return bool(run.wait_for(lambda: condition() or None, float(seconds)))
        except TimeoutError:
            return False

    def watch(number: str, seconds: str) -> Then:
        return Then.NEXT if within(seconds, lambda: waiting(run, pool) >= int(number)) else Then.STOP

    def size(name: str, slots: str) -> Then:
        run.resize_pool(name, int(slots))
        return Then.NEXT

    def page(whom: str) -> Then:
        line.notify({"page": whom})
        return Then.NEXT

    def settled(number: str, seconds: str) -> Then:
        return Then.NEXT_PHASE if within(seconds, lambda: waiting(run, pool) <= int(number)) else Then.NEXT

    def acknowledged(whom: str, seconds: str) -> Then:
        answered = within(seconds, lambda: {"acknowledged": whom} in _bodies(line))
        return Then.NEXT if answered else Then.STOP

    def recovered(number: str, seconds: str) -> Then:
        return Then.NEXT if within(seconds, lambda: waiting(run, pool) <= int(number)) else Then.STOP

    known: tuple[Action, ...] = (watch, size, page, settled, acknowledged, recovered)
    return {action.__name__: action for action in known}


def answer(run: Run, line: Upstream, whom: str, until: Callable[[], Any], seconds: float) -> bool:
    """Be somebody who acknowledges when paged, until something is so, or for ``seconds``; whether there was a page."""
    page = {"page": whom}
    paged = bool(run.wait_for(lambda: [page] if page in _bodies(line) else until() and [None], seconds) == [page])
    if paged:
        line.notify({"acknowledged": whom})
    return paged


def on_call(
    run: Run, helpers: Sequence[str], label: str, alarm: float, *, line: Upstream, mend: Callable[[], object]
) -> list[float]:
    """Be paged once a task of some helper runs is so old, look for a second, and mend; returns both instants (epoch s).

    Then wait until all runs of these helpers are over.

    Args:
        run: whose helper runs.
        helpers: their DAGs.
        label: of the runs.
        alarm: seconds since the oldest unfinished task instance became ready.
        line: the upstream whose ``/notify`` takes the page.
        mend: what is done.
    """
    run.wait_for(lambda: oldest(run.helper_records(*helpers, label=label), time.time()) > alarm, seconds=60)
    line.notify({"page": "on-call"})
    paged = time.time()
    time.sleep(1.0)
    mend()
    mended = time.time()
    run.wait_for(lambda: run.helper_runs_over(*helpers), seconds=60)
    return [paged, mended]


def _bodies(line: Upstream) -> list[Any]:
    return [note["body"] for note in line.notifications()]


def pages(line: Upstream) -> list[tuple[float, str]]:
    """When (seconds since the epoch) who was paged, as the server that delivers pages has it."""
    return [(note["at"], note["body"]["page"]) for note in line.notifications() if "page" in note["body"]]


def sizes(run: Run, pool: str, since: float) -> list[tuple[float, int]]:
    """Since when (epoch s) a pool was to have how many slots, from an instant on, as Airflow's audit log has it."""
    after = datetime.fromtimestamp(since, UTC).isoformat()
    entries = run.api.pages("/eventLogs", "event_logs", event="patch_pool", after=after)
    found = [(datetime.fromisoformat(one["when"]).timestamp(), json.loads(one["extra"] or "{}")) for one in entries]
    return sorted(
        (when, extra["slots"])
        for when, extra in found
        if pool in (extra.get("pool"), extra.get("pool_name")) and extra.get("slots") is not None
    )


def resizes(run: Run, pool: str, slots: int, since: float) -> list[float]:
    """When, from an instant on (epoch s), Airflow's audit log says that a pool was given so many slots."""
    return [when for when, size in sizes(run, pool, since) if size == slots]
