"""Errors that a user can do something about; the CLI prints their message and exits with their code."""

from __future__ import annotations

from pathlib import Path

NOT_AS_EXPECTED = 1
WRONG_USAGE = 2
NOT_RUNNING = 3
NOT_MEASURED = 4


class LabError(Exception):
    """What went wrong, why, and the next command; shown without a traceback."""

    code = WRONG_USAGE


class NotRunningError(LabError):
    """The lab is not running and could not be started."""

    code = NOT_RUNNING


class WentDownError(NotRunningError):
    """The lab was there, and ended in the middle of something.

    Args:
        during: what was cut off, as in "the check".
        again: what to do once the lab is up, as in "check again".
    """

    def __init__(self, during: str, again: str) -> None:
        super().__init__(f"The lab went down during {during}.\nStart it with ./lab up and {again}.")


class NoAnswerError(NotRunningError):
    """The lab is there, but its Airflow does not answer."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(f"Airflow does not answer: {reason}.\nLook at: ./lab status")


class DamagedLabError(NotRunningError):
    """A file under ``.lab/`` is not what the lab wrote."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}.\nStart afresh with: ./lab reset --all")
