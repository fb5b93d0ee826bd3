"""Where things stand in a TOML text."""

from __future__ import annotations

import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backpressure_lab.manifest.lines import line_of, locate

COURSE = Path(__file__).parents[2] / "course.toml"

TRICKY = '''\
# a comment with [brackets], "quotes" and = signs
title = "a # in a string, and an escaped \\" quote" # after it
dotted.key.deep = 1
"quoted.key" = [1, 2,  # a comment, with ] and , in it
    3,
    [ "nested]", 'lit#eral' ],
]
text = """
[not.a.table]
key = "no pair"
"""""
literal = \'\'\'
[[neither]]
'quoted' ''\'\'\'
when = 1979-05-27 07:32:00
inline = { a = 1, "b c" = { d = [ { e = 2 } ] } }

[table] # header
  indented = true
[[things]]
name = "one"
[things.sub.deeper]
x = 1
[[things.parts]]
n = 1
[[things.parts]]
n = 2

[[things]]
name = "two"
[[things.parts]]
n = 3
[table.late]
z = [

]
'''


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path of a parsed document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path, *(below for key, child in pairs for below in paths(child, (*path, key)))}


@pytest.mark.parametrize("text", [TRICKY, COURSE.read_text(encoding="utf-8")], ids=["tricky", "course"])
def test_every_path_of_the_document_has_a_line(text: str) -> None:
    """What the parser finds, the scanner finds, and nothing else."""
    assert set(locate(text)) | {()} == paths(tomllib.loads(text))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("dotted", "key", "deep"), 3),
        (("quoted.key",), 4),
        (("quoted.key", 2), 5),
        (("quoted.key", 3, 1), 6),
        (("text",), 8),
        (("literal",), 12),
        (("when",), 15),
        (("inline", "b c", "d", 0, "e"), 16),
        (("table",), 18),
        (("table", "indented"), 19),
        (("things", 0), 20),
        (("things", 0, "sub", "deeper", "x"), 23),
        (("things", 0, "parts", 1, "n"), 27),
        (("things", 1), 29),
        (("things", 1, "parts", 0, "n"), 32),
        (("table", "late", "z"), 34),
    ],
)
def test_lines_are_those_of_the_text(path: tuple[str | int, ...], line: int) -> None:
    """Comments, strings that look like tables, and nesting do not lead the scanner astray."""
    assert locate(TRICKY)[path] == line


def test_what_is_absent_has_the_line_of_what_is_around_it() -> None:
    """A missing key is reported where its table stands; without any table, in the first line."""
    lines = locate(TRICKY)
    assert line_of(lines, ("things", 1, "missing", 3)) == 29
    assert line_of(lines, ("missing",)) == 1


_KEYS = st.text(string.ascii_letters + '_-. #"\\=[', min_size=1, max_size=5)
_SCALARS = st.one_of(
    st.integers(),
    st.booleans(),
    st.text(string.printable, max_size=12),
    st.floats(allow_nan=False, allow_infinity=False),
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3))


def spelled(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{spelled(key)} = {spelled(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"  {spelled(child)}, # [comment]\n" for child in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() or c in " #[]{}=,'" else f"\\u{ord(c):04x}" for c in value) + '"'
    return repr(value)


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_document_is_located_whole(data: dict[str, Any]) -> None:
    """For documents made at random, the scanner agrees with the parser on every path."""
    text = "".join(f"{spelled(key)} = {spelled(value)}\n" for key, value in data.items())
    assert set(locate(text)) | {()} == paths(tomllib.loads(text))


def test_text_that_is_not_toml_is_refused() -> None:
    """The scanner does not loop or guess on a text that the parser would have refused."""
    with pytest.raises(ValueError, match="not valid TOML at offset 4"):
        locate("a.  \x00 = 1")
