"""The author's command that writes ``docs/first-exercise.md``: a newcomer's way through exercise 14.1, as it printed.

``python -m backpressure_lab.docs.transcript`` on a lab that is up, with no file of 14.1 in ``work/``. The steps' files
are the exercise's own wrong answers and its solution; what they print is not touched.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog, workspace
from backpressure_lab.files import write_text
from backpressure_lab.stack.layout import Layout

PAGE, EXERCISE = "docs/first-exercise.md", "14.1"
_HEAD = """\
# A first exercise, step by step

Exercise 14.1 as a newcomer meets it, two wrong answers included. What the commands print is as they printed it, in a
window of 100 columns; `python -m backpressure_lab.docs.transcript` writes this page anew from a real lab. The work is
drawn for each check, so your numbers will be others.
"""


@dataclass(frozen=True)
class Step:
    """What the newcomer thinks, the answer that the file is changed to, if any, and the command."""

    text: str
    command: str
    answer: str = ""


STEPS = (
    Step("The task comes first, and with it the file to work on:", "./lab start 14.1"),
    Step("What does the starter do? It should fail, and say why:", "./lab check 14.1"),
    Step("Tasks overlap, and nothing counts them. A hint, before anything else:", "./lab hint 14.1"),
    Step(
        "A pool for each system, then, and every task in one of them. A report takes two slots:",
        "./lab check 14.1",
        "wrong/pool_unknown.py",
    ),
    Step(
        "The file is read before anything runs: a name was mistyped. That is mended; but does a report really need two "
        "slots? One would be simpler:",
        "./lab check 14.1",
        "wrong/too_light.py",
    ),
    Step(
        "It does: the pool counts slots, and the warehouse counts units. What does it take to make both the same?",
        "./lab check 14.1",
        "solution.py",
    ),
    Step("Passed. The next one:", "./lab list | tail -n 12"),
)


def main() -> int:
    """Go the way, and write down what was printed; 2 when a file of the learner's is in the way."""
    layout = Layout.of()
    files = catalog.find(manifest.load(), EXERCISE)
    target = workspace.path(layout.work, files)
    if target.exists():
        print(f"lab: {target} is in the way; move it.", file=sys.stderr)  # noqa: T201 - a command's message
        return 2
    parts = [_HEAD]
    try:
        for step in STEPS:
            parts.append(step.text + "\n")
            if step.answer:
                parts.append(_edit(target, files.folder / step.answer))
            parts.append(f"```console\n$ {step.command}\n{_printed(step.command, layout.root)}\n```\n")
    finally:
        target.unlink(missing_ok=True)
    write_text(layout.root / PAGE, "\n".join(parts))
    return 0


def _edit(target: Path, answer: Path) -> str:
    """Change the learner's file, all but its docstring; says what changed as a diff."""
    before = target.read_text(encoding="utf-8")
    doc = re.compile(r'\A""".*?"""', re.DOTALL)
    after = doc.sub(lambda _: str(doc.match(before)[0]), answer.read_text(encoding="utf-8"))  # type: ignore[index]  # each file has one
    write_text(target, after)
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return "\n".join(["```diff", *(line for line in lines if not line.startswith("@@")), "```\n"])


def _printed(command: str, root: Path) -> str:
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(  # noqa: S602 - the commands are this file's
        command, shell=True, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    return "\n".join(line.rstrip() for line in (done.stdout + done.stderr).strip("\n").splitlines())


if __name__ == "__main__":
    sys.exit(main())
