"""The shared state of adaptive limits and of the client-side throttle, as operations of the storage.

An adaptive limit's rule runs in the client: the storage only adds up the samples of a window, hands the sum to the
one caller whose sample ends it, and takes the revised limit from that caller, unless another revision came before.
"""

import os
from typing import Any, NamedTuple

from backpressure.clock import NANOSECONDS
from backpressure.storage.protocol import Feature, Operation, Outcome

SLICES = 20
"""Slices that the throttle's window is counted in."""
KEPT_NS = 7 * 86400 * NANOSECONDS
"""A limit that nobody used for a week starts afresh."""

_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is slow to import
LIMIT = Feature("adaptive", version=1, folder=_FOLDER, tables=("adaptive_limit",))
THROTTLE = Feature("throttle", version=1, folder=_FOLDER, tables=("throttle",))


class Learned(NamedTuple):
    """What is known of a limit, and the samples of the window under way.

    Attributes:
        limit: Calls at once; 0: nothing learned yet.
        baseline: See `LimitState`.
        windows: See `LimitState`.
        version: How often the limit was revised.
        began: When the window under way began, in nanoseconds; 0: with the next sample.
        calls: Calls that ended in it.
        dropped: Those of them that were dropped.
        latency: Nanoseconds that the others took in all.
        inflight: Most calls under way at once.
    """

    limit: float = 0.0
    baseline: float = 0.0
    windows: int = 0
    version: int = 0
    began: int = 0
    calls: int = 0
    dropped: int = 0
    latency: int = 0
    inflight: int = 0


class Slice(NamedTuple):
    """The requests and accepted requests of one slice of the throttle's window."""

    start: int
    requests: int
    accepts: int


def _sample(states: tuple[Learned | None], now: int, *arguments: Any) -> Outcome:
    latency, dropped, inflight, window, minimum = arguments
    before = states[0] or Learned()
    added = before._replace(
        began=before.began or now,
        calls=before.calls + 1,
        dropped=before.dropped + dropped,
        latency=before.latency + (0 if dropped else latency),
        inflight=max(before.inflight, inflight),
    )
    due = now - added.began >= window and added.calls >= minimum
    after = added._replace(began=0, calls=0, dropped=0, latency=0, inflight=0) if due else added
    known = (before.limit, before.baseline, before.windows, before.version)
    return Outcome((after,), (*known, due, added.calls, added.dropped, added.latency, added.inflight), KEPT_NS)


def _revise(states: tuple[Learned | None], _now: int, *arguments: Any) -> Outcome:
    version, limit, baseline, windows = arguments
    before = states[0]
    if before is None or before.version != version:
        return Outcome((before,), (False,), KEPT_NS)
    after = before._replace(limit=limit, baseline=baseline, windows=windows, version=version + 1)
    return Outcome((after,), (True,), KEPT_NS)


def _read(states: tuple[Learned | None], _now: int) -> Outcome:
    known = states[0] or Learned()
    return Outcome(states, (known.limit, known.baseline, known.windows), KEPT_NS)


def _count(states: tuple[tuple[Slice, ...] | None], now: int, request: int, accept: int, window: int) -> Outcome:
    recent = tuple(each for each in states[0] or () if each.start > now - window)
    requests, accepts = sum(each.requests for each in recent), sum(each.accepts for each in recent)
    start = now - now % max(1, window // SLICES)
    same = next((each for each in recent if each.start == start), Slice(start, 0, 0))
    others = tuple(each for each in recent if each.start != start)
    after = (*others, Slice(start, same.requests + request, same.accepts + accept))
    return Outcome((after,), (requests, accepts), window)


SAMPLE = Operation("adaptive_sample_1", LIMIT, _sample)
REVISE = Operation("adaptive_revise_1", LIMIT, _revise)
READ = Operation("adaptive_read_1", LIMIT, _read)
COUNT = Operation("throttle_count_1", THROTTLE, _count)
