"""The only part of the package that imports Airflow.

Each name below is loaded when it is first used, so that a DAG file pays for no more than it takes.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backpressure.airflow.admission import Admission
    from backpressure.airflow.connection import storage
    from backpressure.airflow.deferring import LimitedMixin, LimitedOperator, limited
    from backpressure.airflow.events import LISTENERS
    from backpressure.airflow.retry_policy import BackoffRetryPolicy

__all__ = ["LISTENERS", "Admission", "BackoffRetryPolicy", "LimitedMixin", "LimitedOperator", "limited", "storage"]

_MODULE_OF = {
    "LISTENERS": "events",
    "Admission": "admission",
    "BackoffRetryPolicy": "retry_policy",
    "LimitedMixin": "deferring",
    "LimitedOperator": "deferring",
    "limited": "deferring",
    "storage": "connection",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
