"""What lessons measure, and how a measure is compared with a limit.

A lesson reads ``finding(bullet, claim, peak(work, slots=True) == 3)``. The left side is a :class:`Measure`: a value,
its name, its source and the instant that decided it. Comparing it makes a :class:`Comparison`, which keeps all that
and says whether it holds: true, false, or None where either side has no value. ``&`` joins comparisons; ``and`` would
lose one of them and is refused.

The functions here measure timelines. What another source tells (an upstream's log, a database, a worker) becomes a
:class:`Measure` too (:mod:`backpressure.measures.samples` has some) and is compared in the same way.
"""

from backpressure.measures.measure import Comparison, Measure, Part, figure
from backpressure.measures.timelines import (
    busy,
    count,
    depth,
    duration,
    executor_wait,
    gate,
    growth,
    inversions,
    makespan,
    mean_depth,
    overtakes,
    peak,
    queue_order,
    start_order,
    start_rate,
    starts,
    utilisation,
    wait,
)

__all__ = [
    "Comparison",
    "Measure",
    "Part",
    "busy",
    "count",
    "depth",
    "duration",
    "executor_wait",
    "figure",
    "gate",
    "growth",
    "inversions",
    "makespan",
    "mean_depth",
    "overtakes",
    "peak",
    "queue_order",
    "start_order",
    "start_rate",
    "starts",
    "utilisation",
    "wait",
]
