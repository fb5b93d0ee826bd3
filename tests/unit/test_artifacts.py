"""Files for people: where they are, and that a name cannot lead elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backpressure.airflow.artifacts import keep
from backpressure.airflow.tape import Tape, playing

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_kept_below_airflows_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later text replaces the earlier one, and nothing half-written is left beside it."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    keep("plan.md", "first")
    path = keep("plan.md", "second")
    assert path == tmp_path / "artifacts" / "plan.md"
    assert path.read_text(encoding="utf-8") == "second"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", ".", "..", "../plan.md", "a/b", "/etc/plan.md"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only plain names: a run's parameters may have a part in them."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="name"):
        keep(name, "text")


def test_a_judgement_on_a_tape_leaves_the_real_runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged again on other records, a lesson must not put their picture in place of its own."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    kept = keep("plan.md", "of the real run")
    with playing(Tape("lesson", "run", {})):
        assert keep("plan.md", "of other records") == kept
    assert kept.read_text(encoding="utf-8") == "of the real run"
