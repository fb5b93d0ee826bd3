"""Which lessons and exercises the live tests take: those that a change touches, and a share of the rest in turn."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from backpressure_lab.docs.proofs import PAGE
from backpressure_lab.manifest import Course

SHARES = 3
_COMMON = 5  # what more lessons import than these is tried by whichever lesson runs


def units(course: Course, root: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """All lessons and all exercises, each with its file or folder."""
    lessons = [(item.id, root / item.file) for item in course.written]
    return lessons, [(exercise.id, root / exercise.folder) for exercise in course.exercises]


def taken(units: Sequence[tuple[str, Path]], root: Path) -> set[str]:
    """The names of the units to run, each given with its file or folder; all of them when git can't tell.

    A change is what is different from the commit that last wrote the page of the last full run. The share follows from
    the commit's own name: the same commit always runs the same.
    """
    names = {name for name, _ in units}
    base = _git(root, "log", "-1", "--format=%H", "--", PAGE)
    head = _git(root, "rev-parse", "HEAD")
    if not base or not head or _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return names
    changed = {root / line for line in (_git(root, "diff", "--name-only", base) or "").splitlines()}
    share = {name for at, (name, _) in enumerate(units) if (at - int(head, 16)) % SHARES == 0}
    return share | touched(units, changed, root)


def touched(units: Iterable[tuple[str, Path]], changed: Iterable[Path], root: Path) -> set[str]:
    """The names of the units whose files are among those, or modules of the package that few units import."""
    sources = {name: _sources(path) for name, path in units}
    modules = {name: _modules(files, root / "plugins") for name, files in sources.items()}
    users = Counter(module for found in modules.values() for module in found)
    lines = set(changed)
    own = {module for module in users if users[module] <= _COMMON}
    return {name for name in sources if lines & (set(sources[name]) | (modules[name] & own))}


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def _modules(files: Iterable[Path], plugins: Path) -> set[Path]:
    trees = [
        ast.parse(one.read_text(encoding="utf-8")) for one in files if one.suffix == ".py" and "wrong" not in one.parts
    ]
    named = [
        node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    ]
    return {found for name in named if (found := plugins / f"{name.replace('.', '/')}.py").is_file()}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - whichever git there is
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
