"""What killed tests leave in the learner's folder goes before the next ones begin, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from support import workdag


def test_only_files_of_tests_are_removed(tmp_path: Path) -> None:
    """A learner's file may be called like an example, and folders are theirs."""
    kept = ["work_steered.py", "14_1_pool_configuration.py", "14_1_pool_configuration.seen.md", "by_a_test.txt"]
    for name in (*kept, f"work_steered_ab12cd{workdag.OURS}", f"broken{workdag.OURS}"):
        (tmp_path / name).touch()
    workdag.remove_left_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    workdag.remove_left_over(tmp_path / "none")
