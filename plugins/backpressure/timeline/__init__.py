"""What the scheduler really did, rebuilt from the timestamps of task instances.

A :class:`Timeline` holds one row per task instance (or DAG run) in columns, and answers in vectorised form: how many
overlapped, how deep the queue was, who waited for how long, who overtook whom. Everything here is a pure function of
the records; numpy is needed, Airflow is not.
"""

from backpressure.timeline.curve import Curve
from backpressure.timeline.labels import Labels
from backpressure.timeline.overlap import STAMPS, Intervals, Peak, Stamp
from backpressure.timeline.priority import Pairs
from backpressure.timeline.table import LittlesLaw, Spread, Timeline
from backpressure.timeline.trend import Slope, quantiles, theil_sen

__all__ = [
    "STAMPS",
    "Curve",
    "Intervals",
    "Labels",
    "LittlesLaw",
    "Pairs",
    "Peak",
    "Slope",
    "Spread",
    "Stamp",
    "Timeline",
    "quantiles",
    "theil_sen",
]
