"""``./lab logs``, ``reset``, ``test`` and ``dev check``."""

from __future__ import annotations

import subprocess
import sys

from backpressure import pools
from rich.console import Console

from backpressure_lab import manifest
from backpressure_lab.cli import session, stopping
from backpressure_lab.docs.proofs import LIVE_REPORT
from backpressure_lab.errors import NOT_AS_EXPECTED, LabError
from backpressure_lab.stack import bootstrap, lab
from backpressure_lab.stack.layout import Layout


def logs(part: str | None, *, lines: int, follow: bool) -> int:
    """The last lines of a part's log; without a part, the logs that there are."""
    folder = Layout.of().logs
    names = sorted(path.stem for path in folder.glob("*.log"))
    if part is None:
        print("\n".join(names) or "There are no logs yet; start the lab with: ./lab up")
        return 0
    if part not in names:
        raise LabError(f"There is no log of {part!r}.\nThere are: {', '.join(names) or 'none, the lab never ran'}")
    path = folder / f"{part}.log"
    if follow:
        return subprocess.run(["tail", "-n", str(lines), "-F", str(path)], check=False).returncode  # noqa: S607
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        print(line)
    return 0


def reset(*, pools: bool, everything: bool) -> int:
    """Set the course's pools back, or remove all state."""
    layout = Layout.of()
    if pools == everything:
        raise LabError("Say what to reset: ./lab reset --pools, or ./lab reset --all")
    if pools:
        return _reset_pools(layout)
    if lab.is_up(layout):
        raise LabError("The lab is running.\nStop it first: ./lab down")
    lab.discard(layout)
    print(f"Removed {layout.home}; the next ./lab up starts afresh.")
    return 0


def _reset_pools(layout: Layout) -> int:
    with session.reach(layout) as api:
        for name, change in pools.ensure_all(api, bootstrap.specs(manifest.load()), resize_existing=True).items():
            print(f"{name}: {change}")
    return 0


# Tests that need no lab share the cores; a contiguous part of them each, so that a file's fixtures are made once.
_ON_ALL_CORES = ("-n", "logical", "--maxprocesses", "4", "--dist", "worksteal")


def test(arguments: list[str], *, fast: bool, full: bool) -> int:
    """Run pytest: on all cores, then with a lab; with further arguments once, in one process."""
    if arguments:
        runs = [[*(["-m", "not live and not slow"] if fast else []), *arguments]]
    elif fast:
        runs = [["-m", "not live and not slow", *_ON_ALL_CORES]]
    else:
        live = [f"--junitxml={Layout.of().home / LIVE_REPORT}"] if full else ["--rotate"]
        runs = [["-m", "not live", *_ON_ALL_CORES], ["-m", "live", *live]]
    root = Layout.of().root
    # Whoever is interrupted kills what it waits for, and killed tests take no lab down: only Ctrl-C reaches them, too.
    stopping.at_once()
    codes = [subprocess.run([sys.executable, "-m", "pytest", *run], cwd=root, check=False).returncode for run in runs]
    return next((code for code in codes if code), 0)


def dev_check(*, fix: bool) -> int:
    """Print every disagreement between manifest, DAG files and pages."""
    from backpressure_lab import devcheck

    problems = devcheck.check(Layout.of().root, fix=fix)
    console = Console()
    for problem in problems:
        console.print(str(problem), highlight=False, markup=False)
    if not problems:
        console.print("manifest, DAG files, pages and links agree", highlight=False)
    return NOT_AS_EXPECTED if problems else 0
