"""The Dockerfile: what one may expect of an image that runs other people's tasks."""

from __future__ import annotations

import re

from support.dockerfile import instructions

from backpressure_lab import manifest

ROOT = manifest.load().root
STEPS = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))


def _after_last(word: str) -> list[tuple[str, str]]:
    last = max(number for number, (found, _) in enumerate(STEPS) if found == word)
    return STEPS[last + 1 :]


def test_instructions_are_read_with_the_lines_that_go_on() -> None:
    """Comments and empty lines are none; a backslash at a line's end joins it with the next."""
    text = "# a\nFROM b AS c\n\nRUN one \\\n    && two\n"
    assert instructions(text) == [("FROM", "b AS c"), ("RUN", "one && two")]


def test_there_are_two_stages_from_a_slim_python() -> None:
    """What builds is not in what runs."""
    bases = [rest.partition(" AS ")[0] for word, rest in STEPS if word == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)
    assert not [rest for word, rest in _after_last("FROM") if word == "RUN" and "pip" in rest]


def test_what_is_installed_is_pinned_and_hashed() -> None:
    """The set comes from constraints.txt with its hashes; of an index nothing else is taken."""
    installs = [rest for word, rest in STEPS if word == "RUN" and "pip install" in rest]
    assert "pip install --no-deps --require-hashes -r constraints.txt" in installs[0]
    assert all("--no-index" in rest for rest in installs[1:])
    assert re.search(r"--hash=sha256:", (ROOT / "constraints.txt").read_text(encoding="utf-8"))


def test_it_runs_as_a_user_who_is_not_root() -> None:
    """Nothing is done after that but to say where to work, how to see that it is well, and what to run."""
    assert [word for word, _ in _after_last("USER")] == ["WORKDIR", "HEALTHCHECK", "CMD"]
    assert [rest for word, rest in STEPS if word == "USER"] == ["lab"]


def test_only_what_is_copied_reaches_the_engine() -> None:
    """.dockerignore lets through what the Dockerfile copies and nothing else: no secrets, no state, no history."""
    copied = [source for word, rest in STEPS if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]]
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(copied) == sorted(line[1:] for line in lines if line.startswith("!"))
    assert "*" in lines
    assert all((ROOT / source).exists() for source in copied)
