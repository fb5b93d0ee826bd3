"""What the pages in docs/ say of the package is tried: every snippet runs, in its page's order; every proof exists."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

if TYPE_CHECKING:
    from support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ("choosing.md", "guarantees.md", "operating.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(page: str) -> list[tuple[int, str, str]]:
    """Line, language and text of each."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(text.count("\n", 0, each.start(2)), each[1], each[2]) for each in FENCE.finditer(text)]


def run_python(page: str, line: int, text: str, names: dict[str, Any]) -> None:
    """Run it with the page's own line numbers."""
    exec(compile("\n" * line + text, str(DOCS / page), "exec"), names)  # noqa: S102 - the page's own code


@pytest.mark.parametrize("page", PAGES)
def test_every_snippet_runs(postgres: PostgresServer, page: str) -> None:
    """Python, SQL and shell, one after the other, on a database of the page's own."""
    database = f"docs_{secrets.token_hex(4)}"
    postgres.psql(f"CREATE DATABASE {database}")
    dsn = postgres.dsn(dbname=database)
    names: dict[str, Any] = {"dsn": dsn, "__name__": "page"}
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        for line, language, text in snippets(page):
            if language == "python":
                run_python(page, line, text, names)
            elif language == "sql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET client_min_messages = warning; {text}")
            else:
                assert language == "sh", f"{page}:{line}: a snippet of a kind that nobody runs"
                path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
                command = ["sh", "-euc", text]
                subprocess.run(
                    command, check=True, timeout=60, capture_output=True, env={"PATH": path, "BACKPRESSURE_DSN": dsn}
                )
    finally:
        connection.close()
        for value in names.values():
            if hasattr(value, "close") and hasattr(value, "schema"):
                value.close()
        postgres.psql(f"DROP DATABASE {database} WITH (FORCE)")
        postgres.psql("DROP ROLE IF EXISTS tasks")


def test_the_pages_have_snippets() -> None:
    """None is skipped by a fence that is not recognised."""
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        assert 2 * len(snippets(page)) == text.count("```")
    assert {kind for page in PAGES for _, kind, _ in snippets(page)} == {"python", "sql", "sh"}


def test_every_proof_exists() -> None:
    """Each test that the guarantees name is in the file that they link to."""
    text = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    proofs = re.findall(r"\[`(\w+)`\]\(\.\./tests/([\w/]+\.py)\)", text)
    assert len(proofs) > 30
    for name, path in proofs:
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / path).read_text(encoding="utf-8"), re.MULTILINE), name
