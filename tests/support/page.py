"""Pages with parts that a command measures and writes: between the marks `<!-- part -->` and `<!-- /part -->`."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["origin", "write"]


def write(page: Path, part: str, text: str) -> None:
    """Replace one part of a page."""
    marks = re.compile(rf"(?<=<!-- {part} -->\n).*?(?=<!-- /{part} -->)", re.DOTALL)
    page.write_text(marks.sub(lambda _: f"\n{text}\n\n", page.read_text(encoding="utf-8")), encoding="utf-8")


def origin(packages: Iterable[str]) -> str:
    """When, where and with what something was measured."""
    known = []
    for package in packages:
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    machine = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}"
    return (
        f"Measured on {datetime.now(UTC).date()} on {machine}, Python {platform.python_version()}, PostgreSQL 18, "
        f"Valkey 9; {', '.join(known)}."
    )
