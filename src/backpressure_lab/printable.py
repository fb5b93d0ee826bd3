"""Text for reports, whoever wrote it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without what no XML can hold, and what would lead a terminal or a reader astray."""
    return "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text)
