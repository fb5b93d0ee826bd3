"""The leak that a Celery worker's process keeps for a while."""

from __future__ import annotations

import os
import time

from backpressure.airflow import machine
from backpressure.airflow.leaking import TASK

from backpressure_lab.stack import leak


def test_a_leak_is_real_and_is_given_back() -> None:
    """The process has the memory, and later it has not."""
    assert leak.leak.name == TASK
    before = machine.private_bytes(os.getpid()) or 0
    leak.leak(64, 0.5)
    assert (machine.private_bytes(os.getpid()) or 0) - before > 60 * leak.MEGABYTE
    deadline = time.monotonic() + 20
    while (machine.private_bytes(os.getpid()) or 0) - before > 30 * leak.MEGABYTE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
