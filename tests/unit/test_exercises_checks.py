"""Checks of exercises without a lab: what is drawn tells right from wrong, and what is said of made-up logs."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from backpressure.request_log import COLUMNS, RequestLog

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.facts import DagFacts, Facts
from backpressure_lab.exercises.seen import Load, Seen


def check_of(number: str) -> ModuleType:
    """The check of an exercise."""
    path = catalog.find(manifest.load(), number).folder / "check.py"
    spec = importlib.util.spec_from_file_location(f"check_{number.replace('.', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_from(seed: int) -> random.Random:
    """A source that draws the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - as in the checks


Request = tuple[float, str, int, float]
"""When it came, what it was called, its status, and after how many seconds to come back (NaN: not said)."""


def said(check: ModuleType, load: Load, path: str, took: float, requests: Iterable[Request]) -> list[str]:
    """The codes of what a judge says of runs that made these requests of the partner, each of which took so long."""
    columns: dict[str, Any] = {name: [] for name in COLUMNS}
    for number, (at, name, status, told) in enumerate(sorted(requests)):
        row: dict[str, Any] = {
            "arrival": at,
            "start": at,
            "finish": at + (took if status != 503 else 0.0),
            "retry_after": told,
        }
        row |= {"id": number, "bytes": 0, "lane": "x", "key": name, "path": path, "request_id": name, "status": status}
        for column, values in columns.items():
            values.append(row[column])
    log = RequestLog(columns, now=1000.0)
    seen = Seen(Facts(DagFacts("x", 1, 16, ()), ()), load, [], [], {"partner": log}, 1000.0)
    return [message.code for message in check.judge(seen)]


@pytest.mark.parametrize("seed", range(10))
def test_each_mistake_in_planning_comes_to_another_number(seed: int) -> None:
    """Two days need different numbers of places, no mistake comes to either's, and no two to the same on both."""
    check = check_of("106.5")
    items = check.draw(drawn_from(seed)).items
    days = [{name: items[name][run] for name in ("came", "began", "ended")} for run in (0, 1)]
    right = [check.needed(day) for day in days]
    assert right[0] != right[1]
    assert [len(numbers) for numbers in items["requests"]] == [check.ROUNDS * places for places in right]
    found = [[mistake(day) for day in days] for mistake in check.MISTAKES.values()]
    assert not [one for one in found if one[0] == right[0] or one[1] == right[1]]
    assert len({tuple(one) for one in found}) == len(check.MISTAKES)


@pytest.mark.parametrize("seed", range(10))
def test_each_caller_gets_some_of_every_tenant(seed: int) -> None:
    """As the starter deals them out, both callers have a flood, and behind it both other tenants."""
    check = check_of("106.6")
    (tenants,) = check.draw(drawn_from(seed)).items["tenants"]
    for caller in range(check.CALLERS):
        dealt = tenants[caller :: check.CALLERS]
        flood = dealt[0]
        assert dealt.count(flood) > len(dealt) / 2
        assert len(set(dealt)) == len(set(tenants))
        assert flood not in dealt[dealt.count(flood) :]


@pytest.mark.parametrize("seed", range(10))
def test_the_broken_page_is_the_last_of_its_caller(seed: int) -> None:
    """So that whoever repeats a whole task repeats pages that it has got already."""
    check = check_of("106.7")
    load = check.draw(drawn_from(seed))
    (pages,) = load.items["pages"]
    (broken,) = load.lanes["partner"]["fault_keys"]
    assert len(set(pages)) == check.PAGES
    assert broken in [f"page {page}" for page in pages[-check.CALLERS :]]


def visits(load: Load, back: Mapping[int, float], *, tries: int = 2, again: int = 0) -> list[Request]:
    """The requests of six callers, each refused at its first, told to come at 110, and back so many seconds later."""
    (pages,) = load.items["pages"]
    (broken,) = load.lanes["partner"]["fault_keys"]
    made: list[Request] = []
    for caller, late in back.items():
        first, *others = [f"page {page}" for page in pages[caller::6]]
        begun, returned = 100 + caller / 10, 110 + late
        made.append((begun, first, 503, 110 - begun))
        for number, page in enumerate([first, *others, *others[:again]]):
            status, times = (500, tries) if page == broken else (200, 1)
            made += [(returned + number + attempt, page, status, np.nan) for attempt in range(times)]
    return made


SPREAD = {caller: caller / 2 for caller in range(6)}
TOLD = {
    "at their own times": (SPREAD, {}, []),
    "all at the time that was said": (dict.fromkeys(range(6), 0.01), {}, ["in_step"]),
    "all but one": (dict.fromkeys(range(5), 0.01) | {5: 0.9}, {}, []),
    "one too early": (SPREAD | {3: -2.0}, {}, ["too_early"]),
    "for ever": (SPREAD, {"tries": 5}, ["never_gives_up"]),
    "for what was there": (SPREAD, {"again": 1}, ["served_again"]),
    "no more": ({caller: caller / 2 for caller in range(5)}, {}, ["given_up"]),
}


@pytest.mark.parametrize(("back", "more", "codes"), TOLD.values(), ids=TOLD)
def test_who_comes_back_how_is_told_from_the_log(
    back: dict[int, float], more: dict[str, int], codes: list[str]
) -> None:
    """Each way to come back to a partner that was down is called by its name."""
    check = check_of("106.7")
    load = check.draw(drawn_from(1))
    assert said(check, load, "page", 0.3, visits(load, back, **more))[:1] == codes


# When the flood begins, when the others do, how far apart the calls of each are, and what is said of it.
SERVED = {
    "side by side": (100.0, 100.2, 0.6, []),
    "the flood first": (100.0, 120.0, 0.6, ["head_of_line"]),
    "two of one tenant at once": (100.0, 100.2, 0.3, ["over_share"]),
    "one after the other": (110.0, 100.0, 0.6, ["one_at_a_time"]),
}


@pytest.mark.parametrize(("flood", "others", "apart", "codes"), SERVED.values(), ids=SERVED)
def test_who_is_served_when_is_told_from_the_log(flood: float, others: float, apart: float, codes: list[str]) -> None:
    """Each call takes half a second; the two tenants that send little take turns."""
    check = check_of("106.6")
    load = check.draw(drawn_from(1))
    (numbers,), (tenants,) = load.items["requests"], load.items["tenants"]
    many = tenants.count(tenants[0])
    instants = [flood + apart * place for place in range(many)]
    instants += [others + apart * place for place in range(len(tenants) - many)]
    made = [(at, f"request {number}", 200, np.nan) for at, number in zip(instants, numbers, strict=True)]
    assert said(check, load, "request", 0.5, made) == codes
