"""Items in a line of stages, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from backpressure.airflow.line import Item, Line
from support.postgres import PostgresServer


@pytest.fixture
def line(postgres: PostgresServer) -> Iterator[Line]:
    """An empty line; the table may be there already."""
    found = Line("l", dsn=postgres.dsn())
    found.create()
    postgres.psql("DELETE FROM line_items")
    yield found
    found.close()


def test_items_go_from_stage_to_stage_in_order(line: Line) -> None:
    """The oldest is taken first, with the token that it brought, and each step leaves its instant."""
    line.put("one")
    line.put("two")
    first = line.take(0)
    assert first is not None
    assert first.token == "one"
    line.pass_on(first, "three")
    assert line.take(1) == Item(first.id, "three")
    assert line.take(1) is None
    (steps, waiting) = line.steps()
    assert (len(steps), len(waiting)) == (4, 1)
    assert steps == sorted(steps)


def test_what_is_left_has_not_passed_the_last_stage(line: Line) -> None:
    """An item in a stage's hands is left; one that the last stage has passed on is not."""
    line.put()
    for stage in (0, 1):
        item = line.take(stage)
        assert item is not None
        assert line.left(stages=2) == 1
        line.pass_on(item)
    assert line.left(stages=2) == 0


def test_a_stage_ends_when_the_line_has_ended_and_nothing_waits(line: Line) -> None:
    """What came before the end is still taken; the end itself is no item."""
    line.put("a")
    line.put("b")
    line.end()
    assert [item.token for item in line.items(0)] == ["a", "b"]
    assert len(line.steps()) == 2


def test_an_item_is_taken_by_one_of_many(line: Line, postgres: PostgresServer) -> None:
    """Eight who take at the same time get eight different items, and the ninth time there is none."""
    for number in range(8):
        line.put(str(number))
    lines = [Line("l", dsn=postgres.dsn()) for _ in range(8)]
    with ThreadPoolExecutor(8) as workers:
        taken = list(workers.map(lambda one: one.take(0), lines))
    for one in lines:
        one.close()
    assert sorted(item.token for item in taken if item) == [str(number) for number in range(8)]
    assert line.take(0) is None


def test_another_line_is_not_seen(line: Line, postgres: PostgresServer) -> None:
    """Items and the end belong to the line that they were put in."""
    other = Line("other", dsn=postgres.dsn())
    other.put("x")
    other.end()
    assert line.take(0) is None
    assert line.steps() == []
    other.close()


def test_the_table_is_made_by_many_at_once(postgres: PostgresServer) -> None:
    """Processes that start together do not get into each other's way."""
    postgres.psql("DROP TABLE IF EXISTS line_items")
    lines = [Line("l", dsn=postgres.dsn()) for _ in range(6)]
    with ThreadPoolExecutor(6) as workers:
        list(workers.map(Line.create, lines))
    lines[0].put()
    assert lines[1].left(stages=1) == 1
    for one in lines:
        one.close()
