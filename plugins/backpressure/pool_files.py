"""Pools in a file: JSON in the format that `airflow pools import` and `export` use, or the same as TOML.

[partner_x]
slots = 5
description = "calls of partner X at once"
include_deferred = false
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backpressure.pools import PoolSpec

__all__ = ["read"]

_NEEDED = {"slots": int, "description": str}
_OPTIONAL = {"include_deferred": bool}
_TYPES = {"int": "a whole number", "str": "text", "bool": "true or false"}


def read(path: Path | str) -> list[PoolSpec]:
    """The pools of a file, in its order; by its name's ending it is TOML or JSON.

    Raises:
        ValueError: the file can't be read, or a pool in it is wrong; the message names file, pool, key and value.
    """
    path = Path(path)
    found = _parsed(path)
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - whatever is wrong with a file is a ValueError
            f"{path}: it must hold an object of pools by name, not a {type(found).__name__}"
        )
    return [_spec(path, name, entry) for name, entry in found.items()]


def _parsed(path: Path) -> Any:
    parsers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": _json}
    loads = parsers.get(path.suffix.lower())
    if loads is None:
        raise ValueError(f"{path}: its name must end in .json or .toml")
    try:
        return loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # of both parsers, with line and column
        raise ValueError(f"{path}: {error}") from error


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys come once: of a pool that is there twice, JSON would silently take the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is there twice")
        found[key] = value
    return found


def _spec(path: Path, name: str, entry: Any) -> PoolSpec:
    if not isinstance(entry, dict):
        raise ValueError(  # noqa: TRY004 - the same
            f"{path}: pool {name!r} must be an object with slots and description, not {entry!r}"
        )
    if entry.get("team_name") is not None:
        raise ValueError(f"{path}: pool {name!r} has a team_name: pools of teams are made with airflow pools import")
    allowed = {**_NEEDED, **_OPTIONAL}
    fields = {key: value for key, value in entry.items() if key != "team_name"}
    for key in _NEEDED:
        if key not in fields:
            raise ValueError(f"{path}: pool {name!r} has no {key}")
    for key, value in fields.items():
        if key not in allowed:
            raise ValueError(f"{path}: pool {name!r} has an unknown key {key!r}; known are {', '.join(allowed)}")
        if type(value) is not allowed[key]:
            raise ValueError(f"{path}: pool {name!r}: {key} must be {_TYPES[allowed[key].__name__]}, not {value!r}")
    try:
        return PoolSpec(name, **fields)
    except ValueError as error:
        raise ValueError(f"{path}: pool {name!r}: {error}") from error
