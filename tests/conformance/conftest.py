"""Crowds for the conformance tests: processes for what they share, threads for what only threads do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.processes import Crowd, ThreadWorker, crowd_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def crews(crew: Crowd) -> Iterator[dict[str, Crowd]]:
    """Who tries a subject, by its store."""
    with crowd_of(len(crew.workers), ThreadWorker) as threads:
        yield {"postgres": crew, "memory": threads}
