"""Load shedding: give up what can't be done in time, least important first, and keep a record to do it later."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backpressure.shedding.log import ShedCounts, ShedItem, ShedLog
    from backpressure.shedding.priority import PriorityThresholds, Verdict, WaitingItem, plan_shedding
    from backpressure.shedding.shedder import CoDelShedder

_MODULE_OF = {
    "CoDelShedder": "shedder",
    "PriorityThresholds": "priority",
    "ShedCounts": "log",
    "ShedItem": "log",
    "ShedLog": "log",
    "Verdict": "priority",
    "WaitingItem": "priority",
    "plan_shedding": "priority",
}

__all__ = [
    "CoDelShedder",
    "PriorityThresholds",
    "ShedCounts",
    "ShedItem",
    "ShedLog",
    "Verdict",
    "WaitingItem",
    "plan_shedding",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The planner, CoDel and the log have nothing in common at run time: each is loaded when it is used.
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
