"""Airflow's own settings as limits to compare with."""

from __future__ import annotations

from airflow.sdk import conf

from backpressure.measures import Measure
from backpressure.measures.samples import reading


def configured(section: str, name: str) -> Measure:
    """A setting that is a whole number, as this process's Airflow has it."""
    return reading(conf.getint(section, name), name, "configuration")
