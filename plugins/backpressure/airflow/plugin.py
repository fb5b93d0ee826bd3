"""What the package registers with Airflow."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from backpressure.airflow.priority import UrgentFirst


class BackpressurePlugin(AirflowPlugin):
    """Registers the package's priority strategies."""

    name = "backpressure"
    priority_weight_strategies = [UrgentFirst]  # noqa: RUF012 - Airflow's own interface
