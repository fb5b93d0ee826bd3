"""What all tests share: an AIRFLOW_HOME of their own, set before anything imports Airflow, and the shared fixtures."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["support.checkout", "support.storages"]

ROOT = Path(__file__).parents[1]
LIVE_FOLDERS = {"live", "browser"}
# Eight processes against a real server and a real clock, for seconds each.
SLOW_FOLDERS = {"conformance"}

# How long an example takes says something about the machine, which others use, too.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

# A file instead of variables: a lab that a test starts sets AIRFLOW_HOME itself, and must not inherit anything else.
_CONFIGURATION = f"""\
[core]
load_examples = False
executor = LocalExecutor,CeleryExecutor
plugins_folder = {ROOT / "plugins"}
dags_folder = {ROOT / "dags"}
"""
_HOME = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
    del os.environ[name]
(_HOME / "airflow.cfg").write_text(_CONFIGURATION.replace("%", "%%"), encoding="utf-8")
os.environ["AIRFLOW_HOME"] = str(_HOME)
# A shell ignores Ctrl-C for what it starts in the background, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Remove the tests' AIRFLOW_HOME."""
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """One switch, which ``./lab test`` sets."""
    parser.addoption("--rotate", action="store_true", help="Live: what a change touches, and a share of the rest.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in a folder of live or slow tests, so that none is forgotten."""
    for item in items:
        folders = set(item.path.relative_to(ROOT / "tests").parts[:-1])
        if LIVE_FOLDERS & folders:
            item.add_marker(pytest.mark.live)
        if SLOW_FOLDERS & folders:
            item.add_marker(pytest.mark.slow)
