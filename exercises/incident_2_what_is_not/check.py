"""What a right answer to incident 2 does, whatever its text looks like.

One system has one fault, and the other is slower than it was, within what was agreed.
``backpressure_lab.exercises.incidents`` judges what the systems were asked for, and what they answered.
"""

from __future__ import annotations

import random

from backpressure_lab.exercises.incidents import HEALING, SYSTEMS, Faults, Incident, read

__all__ = ["draw", "judge", "read"]


def pick(source: random.Random) -> Faults:
    """Any fault of one system; the other is slow."""
    faulty, slow = source.sample(list(SYSTEMS), 2)
    return {faulty: (source.choice(["slots", "capacity", *HEALING]),), slow: ("slow",)}


_incident = Incident("incident.2", pick)
draw, judge = _incident.draw, _incident.judge
