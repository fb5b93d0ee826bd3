"""Runs as people see them: in the terminal, and as SVG for the documentation."""

from backpressure_lab.render.gantt import Gantt
from backpressure_lab.render.picture import Limit, Load, Picture
from backpressure_lab.render.run import lesson_picture, run_view
from backpressure_lab.render.svg import svg
from backpressure_lab.render.verdicts import FindingsTable, VerdictLine

__all__ = ["FindingsTable", "Gantt", "Limit", "Load", "Picture", "VerdictLine", "lesson_picture", "run_view", "svg"]
