"""Counting the inversions of a permutation from lower to higher groups of its elements.

The elements are parted by the bits of their value from the highest down, each part keeping its order, as in a wavelet
tree (R. Grossi, A. Gupta and J. S. Vitter, *High-order entropy-compressed text indexes*, SODA 2003); an inversion is
seen at the one parting that separates its two elements. The counts of several groups run side by side in the fields of
one integer. n log n steps on whole arrays, linear memory; a permutation that is nearly sorted costs much less, as only
what is out of place is moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Groups = NDArray[np.uint8]

__all__ = ["Counters", "group_inversions", "take"]

Number = TypeVar("Number", np.int32, np.int64)

_WORD = 63
_MOST_GROUPS = 8
_LEAF = 16  # leaves hold one to two times as many; their pairs are compared
_WIDE = 16384  # nodes of at least so many elements are parted one by one


def take(values: NDArray[Number], index: NDArray[Any]) -> NDArray[Number]:
    """``values[index]`` for indices that are known to be within: the check costs more than the look-up."""
    return values.take(index, mode="clip")


class Counters(NamedTuple):
    """Running counts of lower groups: field t of a word counts what is in the groups below t.

    ``entry`` is, for each group, the word that one of its elements adds; ``shift`` and ``mask`` find its own field.
    """

    entry: NDArray[np.int64]
    shift: NDArray[np.int64]
    mask: NDArray[np.int64]

    @staticmethod
    def fit(elements: int) -> int:
        """How many groups can be told apart among so many elements."""
        return min(_WORD // max(elements.bit_length(), 1) + 1, _MOST_GROUPS)

    @classmethod
    def of(cls, groups: int, elements: int) -> Counters:
        """Counters for so many groups, none of whose fields can overflow."""
        bits = elements.bit_length()
        fields = [0] + [1 << bits * (group - 1) for group in range(1, groups)]
        entry = [sum(fields[group + 1 :]) for group in range(groups)]
        shift = [max(bits * (group - 1), 0) for group in range(groups)]
        mask = [(1 << bits) - 1 if group else 0 for group in range(groups)]
        return cls(np.array(entry), np.array(shift), np.array(mask))

    def running(self, group: Groups) -> NDArray[np.int64]:
        """The counts before each element, and after the last."""
        words = np.empty(len(group) + 1, np.int64)
        words[0] = 0
        np.cumsum(take(self.entry, group), out=words[1:])
        return words

    def own(self, words: NDArray[np.int64], group: Groups) -> NDArray[np.int64]:
        """For each word, the count of what is in a lower group than the given one."""
        count = words >> take(self.shift, group)
        count &= take(self.mask, group)
        return count

    def total(self, words: NDArray[np.int64], group: Groups) -> int:
        """The sum of these counts."""
        return int(self.own(words, group).sum())


def group_inversions(values: NDArray[np.int32], group: Groups, groups: int) -> int:
    """How many pairs of elements stand larger before smaller, and lower group before higher group.

    Args:
        values: 0 to n - 1 in some order.
        group: of each element, 0 to ``groups`` - 1.
        groups: how many there are, at most ``Counters.fit(n)``.
    """
    levels = max((len(values) // _LEAF).bit_length() - 1, 0)
    leaf = -(-len(values) >> levels)
    counters = Counters.of(groups, len(values))
    bits = (groups - 1).bit_length()
    packed = np.empty(leaf << levels, np.int32)
    packed[: len(values)] = (values << bits) | group
    # The filling is above all and behind all, so it is in no pair.
    packed[len(values) :] = np.arange(len(values), len(packed), dtype=np.int32) << bits
    total = 0
    for level in range(levels, 0, -1):
        width = leaf << level
        if width >= _WIDE:
            total += sum(
                _part(packed[begin : begin + width], begin + width // 2, counters, bits)
                for begin in range(0, len(packed), width)
            )
        else:
            count, packed = _part_all(packed, width, counters, bits)
            total += count
    return total + _compare(packed, leaf, bits)


def _groups(packed: NDArray[np.int32], bits: int) -> Groups:
    return (packed & ((1 << bits) - 1)).astype(np.uint8)


def _part(node: NDArray[np.int32], half: int, counters: Counters, bits: int) -> int:
    """Part one wide node in place; what already stands in its half, from either end, is passed over."""
    upper = node >= half << bits
    first, last = int(upper.argmax()), len(node) - int((~upper[::-1]).argmax())
    if first >= last:
        return 0
    node, upper = node[first:last], upper[first:last]
    lower_at = np.flatnonzero(~upper)
    lower, higher = take(node, lower_at), take(node, np.flatnonzero(upper))
    lower_at -= np.arange(len(lower))
    total = counters.total(take(counters.running(_groups(higher, bits)), lower_at), _groups(lower, bits))
    node[: len(lower)], node[len(lower) :] = lower, higher
    return total


def _part_all(packed: NDArray[np.int32], width: int, counters: Counters, bits: int) -> tuple[int, NDArray[np.int32]]:
    """Part many narrow nodes at once: node k holds the values from k times the width on."""
    half, rows = width // 2, len(packed) // width
    parts = np.empty((rows, 2, half), np.int32)
    upper = packed.reshape(rows, width) >= ((np.arange(rows, dtype=np.int32) * width + half) << bits)[:, None]
    lower_at = np.flatnonzero(~upper)
    lower, higher = take(packed, lower_at), take(packed, np.flatnonzero(upper))
    lower_at -= np.arange(len(lower))
    running = counters.running(_groups(higher, bits))
    met = take(running, lower_at).reshape(rows, half)
    met -= running[:-1:half, None]
    total = counters.total(met.ravel(), _groups(lower, bits))
    parts[:, 0], parts[:, 1] = lower.reshape(rows, half), higher.reshape(rows, half)
    return total, parts.ravel()


def _compare(packed: NDArray[np.int32], leaf: int, bits: int) -> int:
    """Compare the pairs inside each leaf, all leaves at once for each distance."""
    places = np.ascontiguousarray(packed.reshape(-1, leaf).T)
    group = _groups(places, bits)
    return sum(
        int(np.count_nonzero((places[:-apart] > places[apart:]) & (group[:-apart] < group[apart:])))
        for apart in range(1, leaf)
    )
