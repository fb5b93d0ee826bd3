"""Files of the learner's own: written whole, with a version, and never lost when they can't be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from backpressure_lab.errors import LabError

Found = TypeVar("Found")


def read(path: Path, version: int, of: Callable[[dict[str, Any]], Found], empty: Found) -> Found:
    """What ``of`` makes of a file's JSON; ``empty`` where there is no file.

    Raises:
        LabError: the file is of a newer version, or is not what it should be.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] > version:
            raise LabError(
                f"{path} is of version {found['version']}; this course knows {version}.\n"
                "Use the newer checkout, or move the file away to begin again."
            )
        return of(found)
    except FileNotFoundError:
        return empty
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        move = f"mv {path} {path.with_suffix('.damaged.json')}"
        raise LabError(f"{path} is damaged: {error}.\nMove it away and begin anew: {move}") from error
