"""What is in the repository, and what must never be."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from backpressure_lab.stack.layout import Layout

ROOT = Layout.of().root


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a clone")
def test_nothing_is_tracked_that_is_to_be_ignored() -> None:
    """What .gitignore names is generated or secret, as the passwords in .env: a clone must begin without it."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard"],  # noqa: S607 - any git will do
        capture_output=True,
        check=True,
        text=True,
    )
    assert tracked.stdout == ""
