"""What a right answer to exercise 14.2 does, whatever its text looks like.

Who got a slot before whom, among those that waited at the same time, is what counts; not the figures of the weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

SERVES = 2
RANKS = {"backfill": 1, "order": 2, "alert": 3}
KINDS = {"backfill": "backfills", "order": "orders", "alert": "alerts"}


def draw(source: random.Random) -> Load:
    """More of each kind than the shop serves while the next kind comes, however late that is.

    Of equal weights the scheduler serves the lowest map index first: that shows only if an order waits whose index is
    above that of a backfill which is still to be served, so there are nearly as many orders as backfills.
    """
    counts = {"backfill": source.randint(13, 14), "order": source.randint(9, 10), "alert": 2}
    return Load(
        lanes={"shop": {"service_time": 1.0, "capacity": None}},
        items={KINDS[task]: [drawn(source, count)] for task, count in counts.items()},
        asked={KINDS[task]: ("shop", task) for task in RANKS},
    )


def judge(seen: Seen) -> Iterator[Message]:
    """The shop serves two at once, and whoever waits is served by rank."""
    yield from _pool(seen)
    for light, heavy in (("backfill", "order"), ("order", "alert"), ("backfill", "alert")):
        if message := _ranked(seen, light, heavy):
            yield message
            return


def _pool(seen: Seen) -> Iterator[Message]:
    peak = seen.peak("shop", dict.fromkeys(RANKS, 1))
    if peak is None or peak.value <= SERVES:
        return
    outside = [task for task in RANKS if (facts := seen.facts.dag.task(task)) and facts.pool == "default_pool"]
    if outside:
        why = f"{', '.join(outside)} did not wait in the pool"
        yield Message("out_of_pool", f"shop: {peak}; it serves {SERVES}. {why}", "Weights order who waits in a pool.")
    else:
        slots = {pool.name: pool.slots for pool in seen.facts.pools}
        text = f"shop: {peak}; it serves {SERVES}. The pools have other slots than they should: {slots}"
        yield Message("pool_changed", text, "With room for everybody, weights decide nothing.")


def _ranked(seen: Seen, light: str, heavy: str) -> Message | None:
    """What is wrong between two kinds: the lighter is served first while the heavier waits."""
    work = seen.ranked({light: 1, heavy: 2})
    wrong = work.inversions()
    if not wrong.count or wrong.at is None:
        return None
    first, waited = work.labelled([wrong.lighter or 0, wrong.heavier or 0])
    weights = {name: _weights(seen, name) for name in (light, heavy)}
    said = (
        f"{first} got a slot at {clock(wrong.at)} while {waited} waited, the first of {wrong.count} such pairs. The "
        f"scheduler's weights were {weights[light]} for {light} and {weights[heavy]} for {heavy}"
    )
    asked = {name: facts.priority_weight for name in (light, heavy) if (facts := seen.facts.dag.task(name))}
    if asked[light] < asked[heavy] and weights[light] >= weights[heavy]:
        return Message(
            "inherited",
            f"{said}; the file says {asked[light]} and {asked[heavy]}",
            "What does the weight rule of a task add to its weight, unless it is told otherwise?",
        )
    if asked[light] > asked[heavy]:
        return Message("upside_down", said, "The scheduler serves the highest weight first.")
    if len(set(_all_weights(seen))) == 1:
        return Message("equal_weights", said, "Who goes first among equals is not for you to say.")
    return Message(f"{heavy}s_equal_{light}s", said, f"Nothing puts {heavy}s before {light}s.")


def _weights(seen: Seen, task: str) -> int:
    return max(int(one["priority_weight"]) for one in seen.records if one["task_id"] == task)


def _all_weights(seen: Seen) -> list[int]:
    return [facts.priority_weight for task in RANKS if (facts := seen.facts.dag.task(task))]
