"""Counting pairs of task instances that were queued in the order of their priority, or against it.

Each instance is a weight and an interval of waiting, from when it was scheduled to when it was queued. A pair counts
only when both were waiting at one instant, and only when nothing about it is a tie.

* overtake: the heavier was scheduled later, yet queued earlier (its wait lies strictly inside the lighter's);
* inversion: the lighter was queued while the heavier was waiting too, and the heavier only after it.

There may be billions of pairs, so none is formed. The instances are parted by weight into a few groups, and each group
again. Between groups, prefix counts over the order of queueing say how many lighter instances each one met, and how
many of these were queued together with it or before it. Without inversions the rest is what it overtook; otherwise the
pairs are counted as inversions of a permutation (:mod:`backpressure.timeline.permutation`). Memory is linear.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backpressure.timeline.curve import ordered
from backpressure.timeline.permutation import Counters, group_inversions, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NEVER", "Count", "Pairs", "count_pairs"]

NEVER = int(np.iinfo(np.int32).max)
_SMALL = 128  # so few instances are compared pair by pair
_FIRST_LOOK = 4096  # how far to look at first for the first overtake
_DENSE = 1 << 20  # weights within so wide a range are ranked by a table, not by sorting
_KEY_BITS = 62


@dataclass(frozen=True)
class Pairs:
    """How many pairs, and the one that shows it first.

    Attributes:
        count: how many pairs.
        at: when the first such pair was decided, seconds since the epoch; None when there is none.
        heavier: the row of its heavier task instance in the timeline that was asked.
        lighter: the row of the lighter one.
        samples: how many task instances waited and so could have been in a pair.
        weights: how many different weights they had; no pair can be with fewer than two.
    """

    count: int
    at: float | None = None
    heavier: int | None = None
    lighter: int | None = None
    samples: int = 0
    weights: int = 0


class Count(NamedTuple):
    """How many overtakes and inversions, and the instant of the first of each (``NEVER`` when there is none).

    ``waited`` and ``weights`` say among how many instances, and of how many different weights.
    """

    overtakes: int = 0
    first_overtake: int = NEVER
    inversions: int = 0
    first_inversion: int = NEVER
    waited: int = 0
    weights: int = 0

    def plus(self, other: Count) -> Count:
        """Both counts together."""
        return Count(
            self.overtakes + other.overtakes,
            min(self.first_overtake, other.first_overtake),
            self.inversions + other.inversions,
            min(self.first_inversion, other.first_inversion),
            self.waited,
            self.weights,
        )


class _Waits(NamedTuple):
    """Waiting instances in the order of scheduling, the heaviest first among equals.

    ``turn`` numbers them in the order of queueing, equals in that of scheduling; ``tie`` is the lowest turn among
    those queued at the same instant; ``behind`` counts those queued by the time this one was scheduled; ``first_turn``
    is the turn among all instances, before any parting.
    """

    rank: NDArray[np.int32]
    turn: NDArray[np.int32]
    tie: NDArray[np.int32]
    behind: NDArray[np.int32]
    first_turn: NDArray[np.int32]

    def among(self, members: NDArray[np.bool_], lowest: int) -> _Waits:
        """The members alone, with ranks from ``lowest`` on, and with turns counted among them."""
        counted = _counted(self.turn, members)
        rows = np.flatnonzero(members)
        rank, turn, tie, behind, first_turn = (take(column, rows) for column in self)
        return _Waits(
            rank - np.int32(lowest), take(counted, turn), take(counted, tie), take(counted, behind), first_turn
        )


def count_pairs(weight: NDArray[np.int64], scheduled: NDArray[np.int64], queued: NDArray[np.int64]) -> Count:
    """Count overtakes and inversions.

    Args:
        weight: priority weights.
        scheduled: when each was scheduled, in whole ticks.
        queued: when each was queued, the same.
    """
    # One that did not wait overtook nobody who could have been taken instead, and was passed over by nobody.
    waited = np.flatnonzero(queued > scheduled)
    if not len(waited):
        return Count()
    rank, scheduled, queued = _ranked(weight[waited]), scheduled[waited], queued[waited]
    by_scheduled = _order(scheduled, rank.max() - rank)
    rank, scheduled, queued = rank[by_scheduled], scheduled[by_scheduled], queued[by_scheduled]
    by_queued = ordered(queued - queued.min())
    instants = queued[by_queued]
    turns = np.arange(len(rank), dtype=np.int32)
    turn, tie = np.empty_like(turns), np.empty_like(turns)
    turn[by_queued] = turns
    tie[by_queued] = np.maximum.accumulate(np.where(np.append(np.True_, instants[1:] != instants[:-1]), turns, 0))
    behind = np.searchsorted(instants, scheduled, side="right").astype(np.int32)
    sizes = np.bincount(rank)
    total = Count(waited=len(rank), weights=len(sizes))
    todo = [(_Waits(rank, turn, tie, behind, turn), sizes)]
    while todo:
        waits, sizes = todo.pop()
        if len(sizes) < 2:  # noqa: PLR2004 - one weight makes no pair
            continue
        if len(waits.rank) <= _SMALL:
            total = total.plus(_each_pair(waits))
            continue
        edges = _edges(sizes, Counters.fit(len(waits.rank)))
        group = np.repeat(np.arange(len(edges) - 1, dtype=np.uint8), np.diff(edges))[waits.rank]
        total = total.plus(_between(waits, group, len(edges) - 1))
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            if high - low > 1:
                todo.append((waits.among(group == number, low), sizes[low:high]))
    return total._replace(
        first_overtake=int(instants[total.first_overtake]) if total.overtakes else NEVER,
        first_inversion=int(instants[total.first_inversion]) if total.inversions else NEVER,
    )


def _ranked(weight: NDArray[np.int64]) -> NDArray[np.int32]:
    """Weights as 0, 1, 2 … in ascending order, equal ones alike."""
    if not len(weight):
        return np.empty(0, np.int32)
    above = weight - weight.min()
    if int(above.max()) > _DENSE:
        return np.unique(weight, return_inverse=True)[1].astype(np.int32)
    table: NDArray[np.int32] = np.cumsum(np.bincount(above) > 0, dtype=np.int32)
    return take(table, above) - np.int32(1)


def _order(instants: NDArray[np.int64], then: NDArray[np.int32]) -> NDArray[np.intp]:
    since = instants - instants.min()
    bits = int(then.max()).bit_length()
    if int(since.max()).bit_length() + bits > _KEY_BITS:
        return np.lexsort((then, since))
    return ordered((since << bits) | then)


def _edges(sizes: NDArray[np.intp], groups: int) -> list[int]:
    """Where to cut the ranks into at most so many groups, of like size."""
    if len(sizes) <= groups:
        return list(range(len(sizes) + 1))
    upto = np.cumsum(sizes)
    cuts = np.searchsorted(upto, upto[-1] * np.arange(1, groups) / groups) + 1
    inner = sorted({min(cut, len(sizes) - 1) for cut in cuts.tolist()})
    return [0, *inner, len(sizes)]


def _counted(turn: NDArray[np.int32], members: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each turn, and for one beyond the last, how many members have a lower one."""
    flags = np.zeros(len(turn) + 1, np.bool_)
    flags[1:][turn] = members
    return np.cumsum(flags, dtype=np.int32)


def _each_pair(waits: _Waits) -> Count:
    """Count among a few instances, pair by pair: rows are the lighter, columns the heavier."""
    lighter = waits.rank[:, None] < waits.rank[None, :]
    overtaken = np.triu(lighter & (waits.turn[:, None] > waits.turn[None, :]))
    passed = lighter & (waits.turn[:, None] >= waits.behind[None, :]) & (waits.turn[:, None] < waits.tie[None, :])
    return Count(
        int(np.count_nonzero(overtaken)),
        int(waits.first_turn[overtaken.any(axis=0)].min(initial=NEVER)),
        int(np.count_nonzero(passed)),
        int(waits.first_turn[passed.any(axis=1)].min(initial=NEVER)),
    )


def _between(waits: _Waits, group: NDArray[np.uint8], groups: int) -> Count:
    """Count the pairs of two instances from different groups."""
    counters = Counters.of(groups, len(group))
    in_turn = np.empty_like(group)
    in_turn[waits.turn] = group
    by_turn = counters.running(in_turn)
    # How many lighter ones had been queued when this one was scheduled, and how many more before it was queued.
    gone = counters.own(take(by_turn, waits.behind), group)
    before = counters.own(take(by_turn, waits.tie), group)
    passed = before - gone
    inversions = int(passed.sum())
    first_inversion = _first_passed(waits, group, gone, passed > 0) if inversions else NEVER
    met = counters.own(counters.running(group)[:-1], group)
    met -= gone
    if inversions and ((passed > 0) & (met > 0)).any():
        overtakes = group_inversions(waits.turn, group, groups)
    else:
        together = counters.own(take(by_turn, waits.turn), group) - before
        overtakes = int(met.sum()) - int(together.sum())
    first_overtake = _first_overtaker(waits, group, groups) if overtakes else NEVER
    return Count(overtakes, first_overtake, inversions, first_inversion)


def _first_passed(waits: _Waits, group: NDArray[np.uint8], gone: NDArray[np.int64], passed: NDArray[np.bool_]) -> int:
    """The lowest turn of a lighter one that was queued while a heavier one went on waiting."""
    lowest = NEVER
    for number in range(1, int(group.max()) + 1):
        earliest = gone[passed & (group == number)].min(initial=NEVER)
        if earliest < NEVER:
            turns = waits.first_turn[group < number]
            lowest = min(lowest, int(np.partition(turns, earliest)[earliest]))
    return lowest


def _first_overtaker(waits: _Waits, group: NDArray[np.uint8], groups: int) -> int:
    """The lowest turn of one that was queued while a lighter one, scheduled before it, still waited."""
    look, reach = 0, _FIRST_LOOK
    lowest, found = NEVER, NEVER
    while look < min(reach, len(group)):
        look = min(max(reach, 2 * look), len(group))
        some, turn = group[:look], waits.turn[:look]
        for number in range(1, groups):
            latest = np.maximum.accumulate(np.where(some < number, turn, -1))
            overtakers = np.flatnonzero((some == number) & (latest > turn))
            if len(overtakers):
                first = overtakers[turn[overtakers].argmin()]
                lowest, found = min((lowest, found), (int(turn[first]), int(waits.first_turn[first])))
        # Whoever was scheduled after so many had been queued comes no earlier than they did.
        reach = int(np.searchsorted(waits.behind, lowest, side="right"))
    return found
