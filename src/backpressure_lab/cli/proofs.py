"""``./lab prove`` and ``./lab dev accept``: every scenario of each lesson, and whether its proof is an honest one."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from backpressure_lab import manifest
from backpressure_lab.cli import session
from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_MEASURED, WRONG_USAGE, LabError
from backpressure_lab.files import check_targets, write_text
from backpressure_lab.lessons.prover import Prover
from backpressure_lab.lessons.result import AS_EXPECTED, Result, is_current, load_kept
from backpressure_lab.lessons.schedule import Width
from backpressure_lab.manifest import Item
from backpressure_lab.stack.layout import Layout


@dataclass(frozen=True)
class Reports:
    """Where results are written; ``json`` may be ``-``, which is standard output."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None

    @property
    def to_stdout(self) -> bool:
        """Whether standard output holds the JSON and nothing else."""
        return self.json == Path("-")


def prove(
    references: list[str],
    *,
    everything: bool,
    jobs: int | None,
    repeat: int,
    reports: Reports,
    url: str | None = None,
) -> int:
    """Run every scenario of the items, several items side by side, and show verdict by verdict, then the total."""
    check_targets(vars(reports))
    layout, course = Layout.of(), manifest.load()
    items = _chosen(course, references, everything=everything)
    console = Console(quiet=reports.to_stdout)
    begun = time.monotonic()
    if url is not None:
        items = _portable(items)
    with session.opened(layout, url, quiet=reports.to_stdout) as airflow:
        prover = Prover(airflow.api, items, Width.of(jobs), repeat, alive=airflow.alive)
        try:
            with _shown(console, prover), closing(prover.results()) as results:
                for result in results:
                    result.keep(layout)
                    _tell(console, result)
        finally:
            # Also when the lab goes down, or on Ctrl-C: what is proved is told, and what is not is not measured.
            code = _sum_up(console, prover, items, time.monotonic() - begun, reports)
    return code


def _sum_up(console: Console, prover: Prover, items: Sequence[Item], seconds: float, reports: Reports) -> int:
    """Write the reports and tell the total; returns the command's code."""
    results = sorted([*prover.done, *prover.rest()], key=lambda result: items.index(result.item))
    unwritten = _write(results, seconds, reports)
    for line in (*prover.not_ended, *unwritten):
        Console(stderr=True).print(Text(f"lab: {line}", style="red"), soft_wrap=True)
    console.print(f"\n{total(results, seconds)}.", highlight=False)
    return _code(result.code for result in results) or (WRONG_USAGE if unwritten else 0)


def _chosen(course: manifest.Course, references: list[str], *, everything: bool) -> list[Item]:
    if everything:
        return [item for item in course.items if item.written]
    if not references:
        raise LabError("Say what to prove: ./lab prove 106.2.1, or ./lab prove --all")
    items = list(dict.fromkeys(course.item(reference) for reference in references))
    for item in items:
        if not item.written:
            raise LabError(f"{item.id} {item.title} is not written yet.\nSee what is: ./lab list")
    return items


def _portable(items: list[Item]) -> list[Item]:
    """The items that can run on another deployment; says which are left out, and why.

    Raises:
        LabError: all of them are left out.
    """
    # Not to standard output, which may be for the JSON alone.
    console = Console(stderr=True)
    for item in items:
        if item.local:
            words = f"○ {item.id:<18} left out: it needs {item.local}, which another deployment has not"
            console.print(words, highlight=False, markup=False, soft_wrap=True)
    kept = [item for item in items if not item.local]
    if not kept:
        raise LabError("None of these lessons can run on another deployment.\nRun them here: leave --url out.")
    return kept


def _shown(console: Console, prover: Prover) -> AbstractContextManager[Any]:
    if not console.is_terminal or console.quiet:
        return nullcontext()
    from rich.live import Live

    from backpressure_lab.render.progress import ProofsView

    return Live(ProofsView(prover), console=console, transient=True)


def _tell(console: Console, result: Result) -> None:
    mark, style = ("✓", "green") if result.verdict == AS_EXPECTED else ("✗", "red")
    words = f"{result.item.id:<18} {result.scenario:<14} {result.verdict:<16} {result.seconds:5.1f} s"
    console.print(Text(f"{mark} ", style=style).append(words, style="default"), highlight=False)
    for reason in result.reasons:
        console.print(Text(f"    {reason}", style="red"), soft_wrap=True)


def _write(results: Sequence[Result], seconds: float, reports: Reports) -> list[str]:
    """Write each report that is wanted, whatever becomes of the others; says which could not be written, and why."""
    from backpressure_lab.lessons import html, junit

    writers: dict[str, Callable[[], str]] = {
        "json": lambda: json.dumps([result.as_json() for result in results], indent=1) + "\n",
        "junit": lambda: junit.document(results),
        "html": lambda: html.document(results, total(results, seconds)),
    }
    unwritten = []
    for name, writer in writers.items():
        path: Path | None = getattr(reports, name)
        if path is None or (name == "json" and reports.to_stdout):
            continue
        try:
            write_text(path, writer())
        except OSError as error:
            unwritten.append(f"--{name} {path} was not written: {error.strerror or error}.")
    if reports.to_stdout:
        print(writers["json"](), end="")
    return unwritten


def _code(codes: Iterable[int]) -> int:
    found = set(codes)
    return next((code for code in (NOT_AS_EXPECTED, NOT_MEASURED) if code in found), 0)


def accept(references: list[str], *, as_json: bool) -> int:
    """Check on the kept results that each lesson's proof is an honest one."""
    layout, course = Layout.of(), manifest.load()
    items = _chosen(course, references, everything=not references)
    # The lessons' files are loaded here, under the settings of the lab that ran them.
    os.environ.setdefault("AIRFLOW_HOME", str(layout.airflow_home))
    from backpressure_lab.lessons import acceptance

    checks = []
    # What a judge prints is a task's log, and not what this command says.
    with redirect_stdout(io.StringIO()):
        for item in items:
            kept = {name: one for name in item.scenarios if (one := load_kept(layout, item, name)) and one.heard}
            current = {name: one for name, one in kept.items() if is_current(layout, item, one)}
            checks += acceptance.accept(item, current, acceptance.judge_of(course, item), old=kept.keys() - current)
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        _tell_checks(Console(), checks, list(acceptance.listed(items)))
    return _code({False: NOT_AS_EXPECTED, None: NOT_MEASURED, True: 0}[check.passed] for check in checks)


def _tell_checks(console: Console, checks: Sequence[Any], controls: Sequence[str]) -> None:
    marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("○", "yellow")}
    for item in dict.fromkeys(check.item for check in checks):
        line = Text(f"{item:<18} ")
        own = [check for check in checks if check.item == item]
        for check in own:
            mark, style = marks[check.passed]
            line.append(f"{mark} ", style).append(f"{check.name}  ")
        console.print(line, soft_wrap=True)
        for check in own:
            for detail in check.details:
                console.print(Text(f"    {check.name}: {detail}", marks[check.passed][1]), soft_wrap=True)
    for control in controls:
        console.print(Text(f"negative control: {control}", "dim"), soft_wrap=True)


def total(results: Sequence[Result], seconds: float) -> str:
    """How many scenarios came out as expected, how many findings held, and how long all of it took."""
    good = sum(result.verdict == AS_EXPECTED for result in results)
    held = sum(result.held for result in results)
    minutes, rest = divmod(round(seconds), 60)
    return f"{good} of {len(results)} scenarios as expected; {held} findings held; {minutes} min {rest} s"
