"""An incident stays the same for its number; an answer is judged by causes, by what got through, and by its form."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from backpressure.pools import PoolSpec
from backpressure.request_log import COLUMNS, RequestLog

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog, incidents
from backpressure_lab.exercises.facts import DagFacts, Facts, TaskFacts
from backpressure_lab.exercises.incidents import HEALING, SYSTEMS, Faults, Incident
from backpressure_lab.exercises.seen import Load, Seen
from backpressure_lab.render.seen import page

COURSE = manifest.load()
FILES = {number: catalog.find(COURSE, f"incident.{number}") for number in (1, 2, 3)}
REVIEW: dict[str, Any] = {
    "timeline": ["09:00:00 it begins", "09:05:00 it is noticed", "09:30:00 it is over"],
    "impact": "2 of 8 orders were late",
    "why": "the partner and the archive had their faults",
    "actions": "the settings of this file",
}
Call = tuple[float, float, str, str]  # begun, finished, name, status


def facts(**answers: Any) -> Facts:
    """What a file says that names the partner's capacity, with a review, unless it is told otherwise."""
    tasks = tuple(TaskFacts(task, system, 1, 1, "downstream", None, None) for system, task in SYSTEMS.items())
    pools = tuple(PoolSpec(system, 3) for system in SYSTEMS)
    return Facts(DagFacts("x", 1, 16, tasks), pools, {"causes": ["partner capacity"], **REVIEW, **answers})


def incident(**faults: tuple[str, ...]) -> Incident:
    """An incident with these faults, whatever its number."""
    found: Faults = faults or {"partner": ("capacity",)}
    return Incident("x", lambda _source: found)


def calls(names: Sequence[str], at_once: int, status: str = "200", since: float = 1000.0) -> list[Call]:
    """Calls of two seconds, so many at once."""
    begins = [since + 3 * (number // at_once) for number in range(len(names))]
    return [(begin, begin + 2, name, status) for name, begin in zip(names, begins, strict=True)]


def log(rows: Sequence[Call]) -> RequestLog:
    """What a system logged of these calls."""
    columns: dict[str, list[Any]] = {name: [0] * len(rows) for name in COLUMNS}
    columns |= {name: [row[column] for row in rows] for column, name in enumerate(("arrival", "finish"))}
    columns |= {"start": columns["arrival"], "request_id": [row[2] for row in rows], "status": [row[3] for row in rows]}
    columns["path"] = [row[2].split()[0] for row in rows]
    return RequestLog(columns, now=1100.0)


def record(call: Call, number: int) -> dict[str, Any]:
    """The task instance that made a call, as Airflow lists it."""
    begin, finish, name, status = call
    task = name.split()[0]
    stamps = (999.0, begin - 0.1, begin, finish)
    names = ("scheduled_when", "queued_when", "start_date", "end_date")
    told = {key: dt.datetime.fromtimestamp(at, dt.UTC).isoformat() for key, at in zip(names, stamps, strict=True)}
    state = "success" if status == "200" else "failed"
    own = {"task_id": task, "dag_id": "x", "dag_run_id": "check-0", "map_index": number, "state": state}
    pool = next(system for system, one in SYSTEMS.items() if one == task)
    return {**own, **told, "pool": pool, "pool_slots": 1, "priority_weight": 1, "try_number": 1}


def seen(
    made: Incident, told: Facts, rows: Mapping[str, Callable[[list[str]], list[Call]]] | None = None, pools: int = 3
) -> Seen:
    """A check in which each system got these calls; all that is wanted, three at once, where nothing is said."""
    load: Load = made.draw(random.Random(1), told)  # noqa: S311 - made-up work
    logs, records = {}, []
    for system, task in SYSTEMS.items():
        names = [f"{task} {number}" for number in load.items[f"{task}s"][0]]
        made_calls = (rows or {}).get(system, lambda names: calls(names, 3))(names)
        logs[system] = log(made_calls)
        records += [record(call, number) for number, call in enumerate(made_calls)]
    return Seen(told, load, records, [], logs, 1100.0, pools=dict.fromkeys(SYSTEMS, pools))


def two(names: list[str]) -> list[Call]:
    """All of them, two at once."""
    return calls(names, 2)


def refused(names: list[str]) -> list[Call]:
    """One is refused at first, and asked for again."""
    return sorted([(1000.0, 1000.0, names[0], "503"), *two(names)])


def lost(names: list[str]) -> list[Call]:
    """One is refused, and never asked for again."""
    return sorted([*two(names[1:]), (1000.0, 1000.0, names[0], "503")])


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "right": ({}, {"partner": two}, []),
    "nothing named": ({"causes": []}, {"partner": lost}, ["undiagnosed"]),
    "another cause": ({"causes": ["archive drops"]}, {"partner": two}, ["wrong_cause"]),
    "what is slow": ({"causes": ["archive slow"]}, {"partner": two}, ["red_herring"]),
    "right and another": ({"causes": ["partner capacity", "archive slots"]}, {"partner": two}, ["wrong_cause"]),
    "not all": ({}, {"partner": lost}, ["not_fixed"]),
    "asked until it fits": ({}, {"partner": refused}, ["knocking"]),
    "too many": ({}, {"partner": two, "archive": lambda names: calls(names, 5)}, ["too_many_at_once"]),
    "too few": ({}, {"partner": two, "archive": two}, ["choked"]),
}


@pytest.mark.parametrize(("answers", "rows", "codes"), CASES.values(), ids=CASES)
def test_causes_and_what_got_through_are_judged(answers: Any, rows: Any, codes: list[str]) -> None:
    """Each mistake has its own message, and a right answer none."""
    made = incident()
    found = list(made.judge(seen(made, facts(**answers), rows)))
    assert [message.code for message in found] == codes
    assert all(message.text for message in found)


def test_one_of_several_causes_is_not_all() -> None:
    """Which other there is is not told."""
    made = incident(partner=("capacity",), archive=("drops",))
    (found,) = made.judge(seen(made, facts(), {"partner": two}))
    assert found.code == "half_found"
    assert "archive" not in found.text


@pytest.mark.parametrize(("kind", "bears"), [(kind, 3) for kind in ("slots", *HEALING)] + [("capacity", 2)])
def test_a_fault_is_set_up(kind: str, bears: int) -> None:
    """In the system's lane or in its pool, and only there."""
    load = incident(archive=(kind,)).draw(random.Random(1), facts())  # noqa: S311 - made-up work
    well = {"service_time": incidents.SECONDS, "capacity": None}
    assert load.lanes["partner"] == well
    assert load.slots == ({"archive": 1} if kind == "slots" else {})
    assert (load.lanes["archive"] != well) == (kind != "slots")
    assert (load.lanes["archive"]["capacity"] or 3) == bears


def test_a_pool_that_was_set_back_is_as_the_file_says() -> None:
    """That is the remedy for a pool that somebody has changed."""
    load = incident(archive=("slots",)).draw(random.Random(1), facts(set_back=["archive"]))  # noqa: S311 - made-up work
    assert load.slots == {}


READ = [
    ({}, ""),
    ({"causes": []}, ""),
    ({"causes": [], "timeline": []}, ""),
    ({"causes": ["the partner"]}, "cause_unknown"),
    ({"set_back": ["shop"]}, "set_back_unknown"),
    ({"timeline": REVIEW["timeline"][:2]}, "review_incomplete"),
    ({"timeline": REVIEW["timeline"][::-1]}, "review_incomplete"),
    ({"timeline": ["at nine it begins", *REVIEW["timeline"]]}, "review_incomplete"),
    ({"impact": "some orders were rather late"}, "review_incomplete"),
    ({"impact": "2 orders"}, "review_incomplete"),
    ({"why": "the archive had its faults"}, "review_incomplete"),
    ({"actions": "none"}, "review_incomplete"),
]


@pytest.mark.parametrize(("answers", "code"), READ)
def test_the_form_of_answers_is_read_before_anything_runs(answers: dict[str, Any], code: str) -> None:
    """A review is asked for once a cause is named."""
    assert [message.code for message in FILES[1].read(facts(**answers))] == ([code] if code else [])


@pytest.mark.parametrize("number", FILES)
def test_a_number_picks_faults_and_there_are_many(number: int) -> None:
    """The same ones each time, of either system."""
    pick = FILES[number]._check.pick
    made = Incident(f"incident.{number}", pick)
    found = [str(made.faults(facts(incident=one))) for one in range(40)]
    assert found == [str(made.faults(facts(incident=one))) for one in range(40)]
    assert len(set(found)) >= (9 if number < 3 else 5)


def test_the_page_shows_all_that_was_seen() -> None:
    """Pools with their slots, task instances with their stamps, each system's calls; a dash for what is not there."""
    made = incident()
    found = seen(made, facts(), {"partner": refused}, pools=1)
    waiting = {**found.records[0], "end_date": None, "map_index": -1}
    run = {"dag_run_id": "check-0", "state": "running", "queued_at": None, "start_date": None, "end_date": None}
    text = page(replace(found, records=[waiting, *found.records[1:]], runs=[run]), "A title")
    assert text.startswith("# What was seen: A title\n")
    for line in ("| partner | 1 |", "| check-0 | running | - | - | - |", "| check-0 | order | failed | 1 | partner |"):
        assert line in text
    name = found.logs["partner"].request_id[0]
    assert f"| 00:16:40.0 | 00:16:40.0 | 0.0 | order | {name} | 503 |" in text
