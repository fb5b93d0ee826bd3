"""What a right answer to exercise 106.6 does, whatever its text looks like.

The partner's log says in which order requests were made, and which were in progress together; whose they are the check
knows. How soon is judged by what came before what, so that it hardly matters when a caller began.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping

from backpressure.request_log import RequestLog

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

CALLERS, OTHERS, PLACES = 2, 4, 1  # callers; requests of each tenant that is not the flood; places of each tenant
LEFT = 0.25  # of the flood, after the others' last request


def draw(source: random.Random) -> Load:
    """A flood, and behind it two requests of one tenant, two of another, and so on, so that each caller gets some."""
    flood, first, second = source.sample(range(10, 100), 3)
    tenants = [flood] * source.randint(30, 33) + [first, first, second, second] * (OTHERS // 2)
    return Load(
        lanes={"partner": {"service_time": 0.4, "capacity": None}},
        items={"requests": [drawn(source, len(tenants))], "tenants": [tenants]},
        asked={"requests": ("partner", "request")},
    )


def judge(seen: Seen) -> Iterator[Message]:
    """Each tenant has its place, no more, and no less."""
    log = seen.logs["partner"].select(path="request")
    (numbers,), (tenants,) = seen.load.items["requests"], seen.load.items["tenants"]
    owners = {f"request {number}": tenant for number, tenant in zip(numbers, tenants, strict=True)}
    if over := _over(log, owners):
        yield over
    elif owners.keys() <= set(log.request_id.tolist()):
        yield from _order(log, owners)


def _over(log: RequestLog, owners: Mapping[str, int]) -> Message | None:
    """The tenant that had the most calls at once, if that is too many."""
    peaks = {
        tenant: log.select(request_id=[one for one in owners if owners[one] == tenant]).inflight().peak()
        for tenant in set(owners.values())
    }
    tenant, peak = max(peaks.items(), key=lambda entry: entry[1].value)
    if peak.value <= PLACES or peak.at is None:
        return None
    began = log.select(request_id=[one for one in owners if owners[one] == tenant], until=peak.at + 1e-6)
    names = " and ".join(began.request_id.tolist()[-int(peak.value) :])
    text = (
        f"tenant {tenant} had {peak.value:g} calls at once at {clock(peak.at)}: {names} overlapped. It has "
        f"{PLACES} place, and {CALLERS} callers"
    )
    return Message("over_share", text, "How does one caller know what the other one does?")


def _order(log: RequestLog, owners: Mapping[str, int]) -> Iterator[Message]:
    """Nobody waits behind the flood, or behind anybody else's call."""
    flood, total = Counter(owners.values()).most_common(1)[0]
    of_flood = log.select(request_id=[one for one in owners if owners[one] == flood])
    others = log.select(request_id=[one for one in owners if owners[one] != flood])
    last = float(others.arrival[-1])
    before = len(of_flood.select(until=last))
    name = str(others.request_id[-1])
    said = f"{name}, the last of the other tenants', of tenant {owners[name]}, was made at {clock(last)}"
    if total - before < LEFT * total:
        text = f"{said}, after {before} of the {total} of tenant {flood}, which flooded the list"
        yield Message("head_of_line", text, "What does a caller do while the flood's place is taken?")
    elif (most := log.inflight().peak()).value <= PLACES:
        text = (
            f"never more than {most.value:g} call was in progress, though {len(set(owners.values()))} tenants, with a "
            f"place each, had {CALLERS} callers"
        )
        yield Message("one_at_a_time", text, "Whose place is it that a call takes?")
