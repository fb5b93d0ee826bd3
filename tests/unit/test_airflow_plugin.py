"""What the package registers with Airflow, and that it does so once."""

from __future__ import annotations

from airflow import plugins_manager
from airflow.triggers.base import BaseTrigger
from backpressure.airflow.plugin import BackpressurePlugin
from backpressure.airflow.priority import UrgentFirst
from backpressure.airflow.trigger import TurnTrigger


def test_the_plugin_is_registered_once() -> None:
    """By the shim in a clone, by the wheel's entry point elsewhere: never by both, or not at all."""
    names = [info["name"] for info in plugins_manager.get_plugin_info(["name"])]
    assert plugins_manager.get_import_errors() == {}
    assert names.count(BackpressurePlugin.name) == 1


def test_what_it_registers_is_what_airflow_asks_for() -> None:
    """A priority strategy must be listed, and is; a trigger is found by its path and needs no listing."""
    assert BackpressurePlugin.priority_weight_strategies == [UrgentFirst]
    assert issubclass(TurnTrigger, BaseTrigger)
    assert TurnTrigger({}, [0.0], 0.0).serialize()[0] == "backpressure.airflow.trigger.TurnTrigger"
