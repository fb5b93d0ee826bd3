"""What a right answer to incident 1 does, whatever its text looks like.

One system has one fault.
``backpressure_lab.exercises.incidents`` judges what the systems were asked for, and what they answered.
"""

from __future__ import annotations

import random

from backpressure_lab.exercises.incidents import HEALING, SYSTEMS, Faults, Incident, read

__all__ = ["draw", "judge", "read"]


def pick(source: random.Random) -> Faults:
    """Any fault, of either system."""
    return {source.choice(list(SYSTEMS)): (source.choice(["slots", "capacity", *HEALING]),)}


_incident = Incident("incident.1", pick)
draw, judge = _incident.draw, _incident.judge
