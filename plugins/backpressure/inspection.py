"""What a queue looks like at one instant: who waits where, at what weight, for how many slots, and how long already.

Pure functions of records as Airflow's REST API lists task instances; the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Group", "breakdown", "name", "table", "waiting"]

Record = Mapping[str, Any]
Waiting = dict[str, Any]


def name(record: Record) -> str:
    """What people call a task instance: ``fetch[2]``, or ``fetch`` when it is not mapped."""
    index = record["map_index"]
    return str(record["task_id"]) if index is None or index < 0 else f"{record['task_id']}[{index}]"


def waiting(records: Iterable[Record], at: float) -> list[Waiting]:
    """What is kept of each listed task instance: ``name``, ``pool``, ``weight``, ``slots``, and ``age`` in seconds.

    Its age is the time since it became ready (``scheduled_when``) until ``at`` (epoch s).
    """
    return [
        {
            "name": name(record),
            "pool": record["pool"],
            "weight": record["priority_weight"],
            "slots": record["pool_slots"],
            "age": at - datetime.fromisoformat(record["scheduled_when"]).timestamp(),
        }
        for record in records
    ]


@dataclass(frozen=True)
class Group:
    """What waits for one pool at one weight: how many, for how many slots, and how long the oldest has waited (s)."""

    pool: str
    weight: int
    number: int
    slots: int
    oldest: float


def breakdown(found: Iterable[Waiting]) -> list[Group]:
    """A queue by pool and weight, the heaviest of each pool first."""
    groups: dict[tuple[str, int], list[Waiting]] = {}
    for one in found:
        groups.setdefault((one["pool"], one["weight"]), []).append(one)
    return [
        Group(pool, weight, len(those), sum(one["slots"] for one in those), max(one["age"] for one in those))
        for (pool, weight), those in sorted(groups.items(), key=lambda item: (item[0][0], -item[0][1]))
    ]


def table(found: Sequence[Waiting], pools: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as a Markdown table, with a line for each pool that nothing waits for.

    Args:
        found: what waits.
        pools: for each pool its ``slots`` and those ``open``.
    """
    lines = ["| Pool | Slots (open) | Weight | Waiting | For slots | Oldest |", "|---|---|---|---|---|---|"]
    groups = breakdown(found)
    for pool, size in pools.items():
        shown = [group for group in groups if group.pool == pool]
        lines += [
            f"| {pool} | {size['slots']} ({size['open']}) | {group.weight} | {group.number} | {group.slots} | "
            f"{group.oldest:.1f} s |"
            for group in shown
        ] or [f"| {pool} | {size['slots']} ({size['open']}) | - | 0 | 0 | - |"]
    return "\n".join(lines) + "\n"
