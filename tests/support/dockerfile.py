"""Reads a Dockerfile."""

from __future__ import annotations

import re


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions, each as its word and the rest, lines that go on put together."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]
