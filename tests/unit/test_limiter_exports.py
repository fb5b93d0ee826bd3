"""What `from backpressure import …` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import backpressure
import backpressure.limiter
import backpressure.storage
import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"


def _loaded(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    script = f"import sys; sys.path.insert(0, {str(PLUGINS)!r}); {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_public_names_are_these() -> None:
    """A name is added or removed on purpose, and here as well."""
    assert backpressure.__all__ == [
        "BackpressureError",
        "Bulkhead",
        "BulkheadFullError",
        "Choice",
        "CircuitBreaker",
        "CircuitOpenError",
        "Decision",
        "KeyRotation",
        "MultiLimiter",
        "Permit",
        "Quota",
        "Rate",
        "RateLimitedError",
        "RateLimiter",
        "RejectedError",
        "SlidingWindow",
        "StorageError",
        "all_of",
    ]


@pytest.mark.parametrize(
    "package", [backpressure, backpressure.limiter, backpressure.storage], ids=lambda each: each.__name__
)
def test_every_public_name_is_there(package: object) -> None:
    """Each name of `__all__` can be had, and no other is made up."""
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense


def test_importing_the_package_loads_none_of_its_parts() -> None:
    """The bare import costs next to nothing, as an import at the top of every DAG file must."""
    loaded = _loaded("import backpressure")
    assert {name for name in loaded if name.startswith("backpressure")} == {"backpressure"}


def test_a_limiter_on_postgresql_loads_what_it_needs() -> None:
    """One permit in a short process does not pay for event loops, other features, or what only rare cases need."""
    loaded = _loaded(
        "from backpressure import Rate, RateLimiter; from backpressure.storage import PostgresStorage; "
        "RateLimiter('x', Rate(1, 1.0), PostgresStorage('dbname=x'))"
    )
    assert "psycopg2" in loaded
    unwanted = {"asyncio", "asyncpg", "airflow", "numpy", "dataclasses", "concurrent.futures", "pathlib", "zoneinfo"}
    before = _loaded("import psycopg2")
    assert loaded & unwanted <= before
    assert not {name for name in loaded if name.startswith(("backpressure.breaker", "backpressure.bulkhead"))}
