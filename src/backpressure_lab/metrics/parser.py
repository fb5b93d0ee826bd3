"""StatsD datagrams: the classic format, DogStatsD's tags and packed values, InfluxDB's tags in the name.

Formats: https://github.com/statsd/statsd/blob/master/docs/metric_types.md and
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/ (protocol 1.0 to 1.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "timer", "histogram", "distribution", "set"]
Tags = tuple[tuple[str, str], ...]

KINDS: dict[str, Kind] = {
    "c": "counter",
    "g": "gauge",
    "ms": "timer",
    "h": "histogram",
    "d": "distribution",
    "s": "set",
}
MAX_NAME_LENGTH = 500
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_EXTENSIONS = ("c:", "T", "e:", "card:")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric.

    Attributes:
        name: the metric, without tags.
        tags: its tags, sorted by name.
        kind: what the value means.
        value: the number; of a counter, already divided by the sample rate; 0 for a set.
        relative: whether it is to be added to a gauge's value.
        member: the member of a set.
    """

    name: str
    tags: Tags
    kind: Kind
    value: float
    relative: bool = False
    member: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a datagram held: its samples, and how many of its lines were not understood or are not kept here."""

    samples: list[Sample]
    malformed: int
    unsupported: int


def parse_packet(data: bytes) -> Packet:
    """Parse a datagram of one or more metrics, a line each. Lines that are no metric are counted, never raised."""
    samples: list[Sample] = []
    malformed = unsupported = 0
    for line in data.decode("utf-8", "replace").split("\n"):
        text = line.strip("\r\0 ")
        if not text:
            continue
        if text.startswith(("_e{", "_sc|")):
            unsupported += 1
            continue
        parsed = _parse_line(text)
        malformed += parsed is None
        samples += parsed or []
    return Packet(samples, malformed or int(not samples and not unsupported), unsupported)


def _parse_line(line: str) -> list[Sample] | None:
    head, *sections = line.split("|")
    # A tag in InfluxDB's form may hold colons, and then no values are packed.
    tagged = "," in head.partition(":")[0]
    name, colon, values = head.rpartition(":") if tagged else head.partition(":")
    kind = KINDS.get(sections[0]) if sections else None
    if not colon or kind is None:
        return None
    name, *influx_tags = name.split(",")
    tags = dict(tag.partition("=")[::2] for tag in influx_tags)
    rate = 1.0
    for section in sections[1:]:
        if section.startswith("@"):
            rate = float(section[1:]) if _NUMBER.fullmatch(section[1:]) else 0.0
        elif section.startswith("#"):
            tags |= dict(tag.partition(":")[::2] for tag in section[1:].split(",") if tag)
        elif not section.startswith(_EXTENSIONS):
            return None
    if not _usable(name) or not 0.0 < rate <= 1.0:
        return None
    sorted_tags = tuple(sorted(tags.items()))
    if kind == "set":
        return [Sample(name, sorted_tags, kind, 0.0, member=values)] if values else None
    numbers = values.split(":")
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        return None
    return [
        Sample(
            name,
            sorted_tags,
            kind,
            float(number) / (rate if kind == "counter" else 1.0),
            relative=kind == "gauge" and number[0] in "+-",
        )
        for number in numbers
    ]


def _usable(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable() and "\ufffd" not in name
