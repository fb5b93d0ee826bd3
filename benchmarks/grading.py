"""How long a class takes to grade: students who hand in the answers of the exercises' authors, right and wrong ones.

    .venv/bin/python benchmarks/grading.py [--students 30] [--exercises 14.1 14.2 106.4] [--keep FOLDER]

Each student's file has a line of their own, so that no grade serves for two. Prints how long it took, and every grade
that is not what the answer's author says. Run again with the same folder, it goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Make the class, grade it, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--exercises", nargs="+", default=["14.1", "14.2", "106.4"])
    parser.add_argument("--keep", type=Path, help="folder to make the class in, and to leave it")
    parser.add_argument("further", nargs="*", help="after --, for ./lab grade")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        expected = made(folder / "class", asked.students, asked.exercises)
        begun = time.monotonic()
        only = [part for name in asked.exercises for part in ("-e", name)]
        files = ["--json", str(folder / "grades.json"), "--html", str(folder / "grades.html")]
        command = [str(ROOT / "lab"), "grade", str(folder / "class"), *only, *files, *asked.further]
        code = ran(command)
        seconds = time.monotonic() - begun
        if not (folder / "grades.json").exists():
            return code
        grades = json.loads((folder / "grades.json").read_text(encoding="utf-8"))["grades"]
    return compared(grades, expected, seconds)


def ran(command: list[str]) -> int:
    """The exit code of a command, which is given the time to tidy up when it is interrupted."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def made(folder: Path, students: int, exercises: list[str]) -> dict[tuple[str, str], str]:
    """A file for each student and exercise; returns what each must get first, ``pass``, or ``any`` of a starter."""
    course = manifest.load()
    expected = {}
    for exercise in exercises:
        files = catalog.find(course, exercise)
        answers = [*((path, "pass") for path in files.right), *((path, path.stem) for path in files.wrong)]
        every = itertools.cycle([*answers, (files.starter, "any")])
        for number, (path, code) in zip(range(students), every, strict=False):
            student = f"student-{number:02}"
            target = folder / student / f"{files.dag_id}.py"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{path.read_text(encoding='utf-8')}\n# {student}\n", encoding="utf-8")
            expected[student, files.exercise.id] = code
    return expected


def compared(grades: list[dict[str, object]], expected: dict[tuple[str, str], str], seconds: float) -> int:
    """Say how long it took, and which grades are not what they should be."""
    measured = [grade for grade in grades if grade["verdict"] != "not measured"]
    wrong = 0
    for grade in measured:
        want = expected[str(grade["student"]), str(grade["exercise"])]
        codes = grade["codes"] if isinstance(grade["codes"], list) else []
        got = codes[0] if codes else str(grade["verdict"])
        if got != want and not (want == "any" and grade["verdict"] == "fail"):
            wrong += 1
            print(f"{grade['student']} {grade['exercise']}: {got}, its author says {want}")
    print(f"{len(measured)} of {len(grades)} graded, {len(measured) - wrong} as their authors say, in {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
