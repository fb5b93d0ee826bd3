"""The cluster's secrets file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from backpressure_lab.cli import app, cluster
from backpressure_lab.cluster import dotenv
from backpressure_lab.errors import WRONG_USAGE, LabError


def test_the_file_is_private_and_read_as_written(tmp_path: Path) -> None:
    """Mode 0600 from its first byte, every variable with a value of its own."""
    path = dotenv.write(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    found = dotenv.read(path)
    assert set(found) == set(dotenv.variables())
    assert len(set(found.values())) == len(found)
    assert min(map(len, found.values())) >= 32


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """The database of a running cluster knows these passwords: a second call leaves them and says what to do."""
    before = dotenv.write(tmp_path).read_text(encoding="utf-8")
    with pytest.raises(LabError, match=r"(?s)there already.*docker compose down --volumes"):
        dotenv.write(tmp_path)
    assert (tmp_path / ".env").read_text(encoding="utf-8") == before


def test_a_missing_or_damaged_file_names_the_next_command(tmp_path: Path) -> None:
    """No traceback: the file, the line and what to run."""
    with pytest.raises(LabError, match=r"compose-env"):
        dotenv.read(tmp_path / ".env")
    (tmp_path / ".env").write_text("A=1\nnonsense\n", encoding="utf-8")
    with pytest.raises(LabError, match=r"\.env:2: 'nonsense'"):
        dotenv.read(tmp_path / ".env")


def test_the_command_says_what_to_run_next_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a file is already, the command ends as wrongly used and says how one starts afresh."""
    monkeypatch.setattr(cluster.Layout, "of", lambda: SimpleNamespace(root=tmp_path))
    monkeypatch.setattr(sys, "argv", ["lab", "compose-env"])
    for code, words in ((0, "docker compose up --build --detach"), (WRONG_USAGE, "docker compose down --volumes")):
        with pytest.raises(SystemExit) as end:
            app.main()
        told = capsys.readouterr()
        assert (end.value.code or 0, told.out) == (code, "")
        assert words in told.err
        assert not [value for value in dotenv.read(tmp_path / dotenv.NAME).values() if value in told.err]
