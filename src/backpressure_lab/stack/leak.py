"""A leak on purpose: a Celery task that takes memory in a worker's own process and does not give it back.

An Airflow task cannot do that: it runs in a fork of that process, and what it leaks ends with it. Lesson 106.9.4 sends
this and recycles the process. So that a learner's machine gets it back in any case, it is kept for a while only.
"""

from __future__ import annotations

import threading

from celery import shared_task

MEGABYTE = 2**20
_kept: list[bytes] = []


@shared_task(name="lab.leak", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
def leak(megabytes: int, seconds: float) -> None:
    """Keep so much memory for so long."""
    _kept.append(b"\x01" * (megabytes * MEGABYTE))  # written to, or it would take none
    forget = threading.Timer(seconds, _kept.clear)
    forget.daemon = True
    forget.start()
