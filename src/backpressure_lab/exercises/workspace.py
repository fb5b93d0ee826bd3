"""The learner's files in ``work/``: made from starters, and never overwritten without a copy."""

from __future__ import annotations

import filecmp
import itertools
from pathlib import Path

from backpressure_lab.exercises.catalog import Files
from backpressure_lab.files import write_text


def path(work: Path, files: Files) -> Path:
    """The learner's file for an exercise."""
    return work / f"{files.dag_id}.py"


def records(work: Path, files: Files) -> Path:
    """What was seen of the exercise's last run: a page beside the learner's file."""
    return path(work, files).with_suffix(".seen.md")


def start(work: Path, files: Files) -> tuple[Path, bool]:
    """Put the starter into ``work/`` unless the learner has a file there; says where, and whether it is new."""
    target = path(work, files)
    if target.exists():
        return target, False
    write_text(target, files.starter.read_text(encoding="utf-8"))
    return target, True


def reset(work: Path, files: Files) -> tuple[Path, Path | None]:
    """Put the starter into ``work/`` again; says where, and where the learner's file was moved to, if it differed."""
    target, kept = path(work, files), None
    if target.exists() and not filecmp.cmp(target, files.starter, shallow=False):
        kept = _free(target)
        target.rename(kept)
    write_text(target, files.starter.read_text(encoding="utf-8"))
    return target, kept


def _free(target: Path) -> Path:
    """A name that no file has, and that Airflow does not load."""
    names = (target.with_name(f"{target.stem}.backup-{number}.txt") for number in itertools.count(1))
    return next(name for name in names if not name.exists())
