"""The one file of this folder that Airflow loads as a plugin; the package beside it is listed in .airflowignore."""

from backpressure.airflow.plugin import BackpressurePlugin

__all__ = ["BackpressurePlugin"]
