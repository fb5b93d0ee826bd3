"""Where the time goes while all lessons are proved: how many run at once, what waits, and who has the processors.

Usage: ``.venv/bin/python benchmarks/proving.py [--write] [ITEM…]``. The lab must be up. A part's processor time is that
of its process and of all that it started, those that have ended included, read every few seconds; a part that was
started again, as chaos lessons do it, counts with all its processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.page import origin, write  # noqa: E402 - after the path

from backpressure_lab import manifest  # noqa: E402 - the same
from backpressure_lab.lessons.result import load_kept  # noqa: E402 - the same
from backpressure_lab.manifest import Item  # noqa: E402 - the same
from backpressure_lab.stack import lab  # noqa: E402 - the same
from backpressure_lab.stack.layout import Layout  # noqa: E402 - the same

EVERY = 3.0  # s
CORES = os.cpu_count() or 1


@dataclass
class Usage:
    """Processor seconds of each part, as far as they have been seen."""

    layout: Layout
    seen: dict[tuple[str, int], float] = field(default_factory=dict)
    first: dict[tuple[str, int], float] = field(default_factory=dict)

    def look(self, command: int) -> None:
        """Read the clocks of all processes once."""
        state = lab.current(self.layout)
        begun = bool(self.seen)
        parts = {part.pid: part.name for part in (state.parts if state else []) if part.pid} | {command: "prove"}
        for pid, name in parts.items():
            with contextlib.suppress(psutil.Error):
                used = sum((_seconds(one) for one in _family(psutil.Process(pid), set(parts) - {pid})), 0.0)
                self.first.setdefault((name, pid), 0.0 if begun else used)
                self.seen[name, pid] = max(used, self.seen.get((name, pid), 0.0))

    def by_part(self) -> dict[str, float]:
        """Seconds by part, without what it had used before the first look; the most first."""
        found: dict[str, float] = {}
        for (name, pid), used in self.seen.items():
            found[name] = found.get(name, 0.0) + used - self.first[name, pid]
        return dict(sorted(found.items(), key=lambda one: -one[1]))


def _family(process: psutil.Process, others: set[int]) -> Iterator[psutil.Process]:
    """A process and all below it, but no other part and what is below that."""
    yield process
    for child in process.children():
        if child.pid not in others:
            yield from _family(child, others)


def _seconds(process: psutil.Process) -> float:
    """Of a process, and of those below it that have ended; 0 for one that has ended meanwhile."""
    with contextlib.suppress(psutil.Error):
        return float(sum(process.cpu_times()[:4]))
    return 0.0


def prove(layout: Layout, wanted: list[str]) -> tuple[dict[str, float], Usage, list[dict[str, Any]]]:
    """Prove the lessons: the machine's seconds ("wall", "busy", "own" of the lab), who used them, and the results."""
    usage = Usage(layout)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        before, began = psutil.cpu_times(), time.monotonic()
        command = subprocess.Popen([str(ROOT / "lab"), "prove", *(wanted or ["--all"]), "--json", str(out)])
        while command.poll() is None:
            usage.look(command.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(EVERY)
        wall, after = time.monotonic() - began, psutil.cpu_times()
        results = json.loads(out.read_text(encoding="utf-8"))
    idle = after.idle + after.iowait - before.idle - before.iowait
    return {"wall": wall, "busy": CORES * wall - idle, "code": command.returncode}, usage, results


def starts(layout: Layout, items: dict[str, Item], results: list[dict[str, Any]]) -> int:
    """How many tries of tasks began, in the runs that were kept."""
    kept = [load_kept(layout, items[one["item"]], one["scenario"]) for one in results]
    records = [record for one in kept if one for record in one.data["records"]]
    return sum(max(1, record["try_number"]) for record in records if record["start_date"])


def account(layout: Layout, figures: dict[str, float], usage: Usage, results: list[dict[str, Any]]) -> str:
    """The part of the page."""
    items = {item.id: item for item in manifest.load(layout.root / "course.toml").items}
    each = sum(one["seconds"] for one in results)
    alone = sum(one["seconds"] for one in results if items[one["item"]].exclusive)
    good = sum(one["verdict"] == "as expected" for one in results)
    began = starts(layout, items, results)
    parts = usage.by_part()
    ours = sum(parts.values())
    lines = [
        f"{good} of {len(results)} scenarios as expected, in {_minutes(figures['wall'])}.",
        "",
        "| | |",
        "|---|---|",
        f"| all scenarios one after the other | {_minutes(each)} |",
        f"| of it, lessons that run alone | {_minutes(alone)} |",
        f"| scenarios at once, on average | {each / figures['wall']:.1f} |",
        f"| tasks begun | {began:,}, {began / figures['wall']:.1f} a second |",
        f"| {CORES} cores busy | {figures['busy'] / CORES / figures['wall']:.0%} of the time |",
        f"| processor time of the lab | {_minutes(ours)}, {ours / max(began, 1):.2f} s for each task |",
        f"| the least that it could take on {CORES} cores, were they never idle | {_minutes(ours / CORES)} |",
        "",
        "| Part, with the tasks that it runs | Processor time | Share |",
        "|---|---|---|",
        *(f"| {name} | {_minutes(used)} | {used / ours:.0%} |" for name, used in parts.items() if used >= ours / 100),
        "",
        origin(["apache-airflow", "celery"]),
    ]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def main() -> int:
    """Prove, print the account, and write it into the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", nargs="*")
    parser.add_argument("--write", action="store_true", help="write the account into docs/benchmarks.md")
    options = parser.parse_args()
    layout = Layout.of()
    if not lab.is_up(layout):
        print("The lab is not running.\nStart it with: ./lab up --detach", file=sys.stderr)
        return 3
    figures, usage, results = prove(layout, options.items)
    print(text := account(layout, figures, usage, results))
    if options.write:
        write(ROOT / "docs" / "benchmarks.md", "proving", text)
    return int(figures["code"])


if __name__ == "__main__":
    sys.exit(main())
