"""What a right answer to exercise 106.3 does, whatever its text looks like.

The partner's log tells how often each message came and whether it was taken, that of the letters what was set aside.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

TRIES = 3
BLOCKED, FLAKY = 2, 3  # so many messages are refused for ever, or lose their first tries


def draw(source: random.Random) -> Load:
    """A queue whose first message is well, one soon after it is not, and others are not later on."""
    messages = drawn(source, source.randint(12, 14))
    blocked = [messages[source.randint(1, 3)], messages[source.randint(8, 10)]]
    flaky = source.sample([number for number in messages[1:] if number not in blocked], FLAKY)
    partner = {
        "service_time": 0.02,
        "drop_first": TRIES - 1,
        "fault_keys": [f"customer {number}" for number in flaky],
        "quotas": {f"customer {number}": {"limit": 0} for number in blocked},
    }
    return Load(lanes={"partner": partner, "letters": {"service_time": 0.02}}, items={"messages": [messages]}, asked={})


@dataclass(frozen=True)
class Fate:
    """What became of a message.

    Attributes:
        number: of the message.
        tries: when each of its tries came to the partner.
        taken: how many of them the partner took.
        letters: when each of its dead letters was written.
    """

    number: int
    tries: list[float]
    taken: int
    letters: list[float]

    @property
    def lost(self) -> bool:
        """Whether it is nowhere."""
        return not self.taken and not self.letters


def judge(seen: Seen) -> Iterator[Message]:
    """Every message ends in one place, once, after three tries at most."""
    fates = [_fate(seen, number) for number in seen.load.items["messages"][0]]
    for fate in fates:
        if message := _too_much(fate, _closed(seen, fate.number)):
            yield message
            return
    lost = [fate for fate in fates if fate.lost]
    if lost:
        yield _lost(fates, lost)


def _fate(seen: Seen, number: int) -> Fate:
    tries = seen.logs["partner"].select(request_id=f"deliver {number}")
    letters = seen.logs["letters"].select(request_id=f"letter {number}", status=200)
    return Fate(number, tries.arrival.tolist(), len(tries.select(status=200)), letters.arrival.tolist())


def _closed(seen: Seen, number: int) -> bool:
    """Whether the partner refuses the message, however often it comes."""
    return f"customer {number}" in seen.load.lanes["partner"]["quotas"]


def _too_much(fate: Fate, closed: bool) -> Message | None:  # noqa: FBT001 - of the message
    name, tries, letters = f"message {fate.number}", fate.tries, fate.letters
    if fate.taken > 1:
        text = f"{name} was delivered {fate.taken} times, the last time at {clock(tries[-1])}"
        return Message("repeated", text, "What is repeated when a task is, and what of it was done already?")
    if len(tries) > TRIES:
        text = f"{name} was tried {len(tries)} times, from {clock(tries[0])} to {clock(tries[-1])}; {TRIES} are allowed"
        return Message("tried_too_often", text, "The partner bears the load of every try, and says the same.")
    if len(letters) > 1:
        text = f"{name} is among the dead letters {len(letters)} times, first at {clock(letters[0])}"
        return Message("letter_repeated", text, "A letter is for a message that has failed for good, not for a try.")
    if letters and fate.taken:
        text = f"{name} was delivered, and is among the dead letters, too, since {clock(letters[0])}"
        return Message("delivered_and_set_aside", text, "Whoever reads that letter will deliver it again.")
    if letters and not closed and len(tries) < TRIES:
        text = (
            f"{name} was put among the dead letters at {clock(letters[0])} after {_times(tries)}; the partner takes it "
            f"at try {TRIES}"
        )
        return Message("given_up_too_early", text, "What passes by itself is worth another try.")
    return None


def _lost(fates: list[Fate], lost: list[Fate]) -> Message:
    """Some are nowhere: those that the queue did not come to, or those that failed."""
    behind = [fate for fate in lost if not fate.tries]
    if not behind:
        fate = lost[0]
        text = (
            f"message {fate.number} had {_times(fate.tries)}, the last at {clock(fate.tries[-1])}. It was not "
            f"delivered and is not among the dead letters; {len(lost)} of {len(fates)} messages are lost like it"
        )
        return Message("lost", text, "Who will ever know of them?")
    tried = [fate for fate in fates if fate.tries]
    if not tried:
        return Message("nothing_tried", f"none of the {len(fates)} messages came to the partner")
    last = max(tried, key=lambda fate: fate.tries[-1])
    text = (
        f"{len(behind)} of {len(fates)} messages were never tried. The last that came is {last.number}, at "
        f"{clock(last.tries[-1])}, with {_times(last.tries)} in all; {behind[0].number} is still in the queue"
    )
    return Message("blocked", text, "A message that fails is one message. What happens to the loop?")


def _times(tries: list[float]) -> str:
    return "one try" if len(tries) == 1 else f"{len(tries)} tries"
