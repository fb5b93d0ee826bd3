"""Airflow's own settings as limits to compare with."""

from __future__ import annotations

from airflow.sdk import conf

from backpressure.airflow import tape
from backpressure.measures import Measure
from backpressure.measures.samples import reading


def configured(section: str, name: str) -> Measure:
    """A setting that is a whole number, as this process's Airflow has it, or the one whose judge is played again."""
    value = tape.heard("configuration", [section, name], lambda: conf.getint(section, name))
    return reading(value, name, "configuration")
