"""What a right answer to incident 3 does, whatever its text looks like.

A pool that is too small hides that its system bears less than it did; the other system has a fault of its own.
``backpressure_lab.exercises.incidents`` judges what the systems were asked for, and what they answered.
"""

from __future__ import annotations

import random

from backpressure_lab.exercises.incidents import HEALING, SYSTEMS, Faults, Incident, read

__all__ = ["draw", "judge", "read"]


def pick(source: random.Random) -> Faults:
    """A fault of one system that hides another of the same; and one of the other."""
    hidden, other = source.sample(list(SYSTEMS), 2)
    return {hidden: ("slots", "capacity"), other: (source.choice(HEALING),)}


_incident = Incident("incident.3", pick)
draw, judge = _incident.draw, _incident.judge
