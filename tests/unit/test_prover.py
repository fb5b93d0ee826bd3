"""Which lessons run beside which, in what order, and what becomes of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from backpressure.airflow.client import AirflowError, AirflowUnreachableError
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure
from rich.console import Console

from backpressure_lab import manifest
from backpressure_lab.errors import LabError, WentDownError
from backpressure_lab.lessons import runner
from backpressure_lab.lessons.prover import Prover
from backpressure_lab.lessons.result import Result
from backpressure_lab.lessons.schedule import Job, Width, estimate, jobs, startable
from backpressure_lab.manifest import Item
from backpressure_lab.render.progress import ProofsView

LESSON = manifest.load().item("106.2.1")


def item(name: str, cost: float = 10, *, exclusive: bool = False, reserves: tuple[str, ...] = ()) -> Item:
    """A lesson of two scenarios."""
    return replace(LESSON, id=name, cost=cost, exclusive=exclusive, reserves=reserves)


def evidence(scenario: str, *, holds: bool | None) -> Evidence:
    """Five findings with one outcome."""
    value = {True: 3, False: 5, None: None}[holds]
    found = (finding(bullet, "claim", Measure(value, "peak") == 3) for bullet in LESSON.checklist)
    return Evidence(scenario, tuple(found))


class Stage:
    """Where runs take as many ticks as a lesson costs; notes who runs beside whom, and what was closed."""

    def __init__(self, **outcomes: Iterator[bool | None]) -> None:
        self.now = 0.0
        self.slowness = 1
        self.active: list[str] = []
        self.beside: set[frozenset[str]] = set()
        self.started: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.outcomes = outcomes

    def attempt(self, _api: Any, lesson: Item, scenario: str, **_: Any) -> Iterator[None]:
        """What :func:`runner.attempt` is replaced with."""
        self.started.append((lesson.id, scenario))
        self.active.append(lesson.id)
        seconds = self.slowness * (lesson.cost or 0)
        until = self.now + seconds
        try:
            while self.now < until:
                self.beside.add(frozenset(self.active))
                yield
        except GeneratorExit:
            self.closed.append(lesson.id)
            raise
        finally:
            self.active.remove(lesson.id)
        holds = next(self.outcomes.get(lesson.id, iter(())), scenario == "pooled")
        return Result(lesson, scenario, "r", "success", evidence(scenario, holds=holds), seconds)  # type: ignore[return-value]

    def tick(self, _seconds: float) -> None:
        """Time goes on by a second."""
        self.now += 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage in the runner's place."""
    found = Stage()
    monkeypatch.setattr(runner, "attempt", found.attempt)
    return found


def proving(stage: Stage, items: list[Item], width: int = 3, **options: Any) -> Prover:
    """A prover on the stage."""
    return Prover(None, items, Width.of(width), clock=lambda: stage.now, sleep=stage.tick, **options)  # type: ignore[arg-type]


def test_lessons_run_side_by_side_and_their_scenarios_one_after_another(stage: Stage) -> None:
    """Three at once at most, every scenario once, and never two of one lesson."""
    items = [item(name) for name in "abcd"]
    results = list(proving(stage, items).results())
    assert Counter(result.item.id for result in results) == dict.fromkeys("abcd", 2)
    assert max(len(group) for group in stage.beside) == 3
    for name in "abcd":
        assert [scenario for lesson, scenario in stage.started if lesson == name] == ["pooled", "default_pool"]


def test_the_longest_start_first_and_the_exclusive_run_alone_at_the_end(stage: Stage) -> None:
    """What takes long must not be what everybody waits for, and an exclusive lesson has nobody beside it."""
    items = [item("short", 2), item("alone", 30, exclusive=True), item("long", 20), item("middle", 5)]
    list(proving(stage, items, width=2).results())
    assert list(dict.fromkeys(name for name, _ in stage.started)) == ["long", "middle", "short", "alone"]
    assert [group for group in stage.beside if "alone" in group] == [frozenset({"alone"})]


def test_lessons_that_reserve_the_same_thing_keep_apart(stage: Stage) -> None:
    """Two lessons on the Celery workers run one after the other; a third runs beside either."""
    items = [item("a", 10, reserves=("celery",)), item("b", 9, reserves=("celery", "x")), item("c", 8)]
    list(proving(stage, items).results())
    assert not any({"a", "b"} <= group for group in stage.beside)
    assert frozenset({"a", "c"}) in stage.beside


def test_only_what_was_not_measured_is_run_again(stage: Stage) -> None:
    """A scenario without a measurement gets two more tries; one that came out wrong gets none."""
    stage.outcomes = {"a": iter((None, None, True, True))}
    results = list(proving(stage, [item("a")]).results())
    assert [scenario for _, scenario in stage.started] == ["pooled"] * 3 + ["default_pool"]
    assert [one.verdict for one in results] == ["as expected", "not as expected"]
    stage.outcomes = {"b": iter((None,) * 9)}
    assert [one.verdict for one in proving(stage, [item("b")]).results()] == ["not measured"] * 2


def test_every_scenario_is_repeated_as_often_as_asked(stage: Stage) -> None:
    """Three rounds of both scenarios, in turn."""
    results = list(proving(stage, [item("a")], repeat=3).results())
    assert [result.scenario for result in results] == ["pooled", "default_pool"] * 3


def _broken(error: BaseException) -> Iterator[None]:
    yield
    raise error


def break_one(monkeypatch: pytest.MonkeyPatch, stage: Stage, error: BaseException) -> None:
    """Whatever is run of the lesson ``broken`` ends with this error at its second look."""
    real = stage.attempt

    def attempt(api: Any, lesson: Item, scenario: str, **options: Any) -> Iterator[None]:
        return _broken(error) if lesson.id == "broken" else real(api, lesson, scenario, **options)

    monkeypatch.setattr(runner, "attempt", attempt)


@pytest.mark.parametrize(
    "error",
    [LabError("Airflow cannot load it"), AirflowError("GET", "/dags/x", 500, "a deadlock")],
    ids=["file", "500"],
)
def test_a_lesson_in_trouble_does_not_stop_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A file that cannot be loaded, or a request that Airflow refuses: not measured, once, with the reason."""
    break_one(monkeypatch, stage, error)
    results = list(proving(stage, [item("broken"), item("a")]).results())
    assert Counter((result.item.id, result.verdict) for result in results) == {
        ("broken", "not measured"): 2,
        ("a", "as expected"): 2,
    }
    assert results[0].reasons[0] == str(error)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (LabError("Airflow cannot load it"), LabError),
        (AirflowError("GET", "/dags/x", 503, "shutting down"), WentDownError),
    ],
)
def test_trouble_of_a_lab_that_went_away_ends_everything(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    """What a lab says while it goes down is not the lesson's trouble."""
    break_one(monkeypatch, stage, error)
    with pytest.raises(raised):
        list(proving(stage, [item("broken")], alive=lambda: False).results())


def test_what_was_proved_before_airflow_fell_silent_is_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow that does not answer ends the proof; results stay, and all else is not measured, with the reason."""
    break_one(monkeypatch, stage, AirflowUnreachableError("no answer"))
    proofs = proving(stage, [item("a", 20), item("broken", 10), item("c", 5)], width=1)
    with pytest.raises(AirflowUnreachableError):
        list(proofs.results())
    assert [(result.item.id, result.verdict) for result in proofs.done] == [("a", "as expected")] * 2
    rest = proofs.rest()
    assert [(one.item.id, one.scenario) for one in rest] == [
        (lesson, scenario) for lesson in ("broken", "c") for scenario in ("pooled", "default_pool")
    ]
    assert {one.verdict for one in rest} == {"not measured"}
    assert rest[0].reasons[0] == "the proof ended before"


def test_a_result_that_is_there_survives_the_trouble_beside_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is over when its neighbour's look finds no Airflow is told all the same."""
    break_one(monkeypatch, stage, AirflowUnreachableError("no answer"))
    proofs = proving(stage, [item("a", 1), replace(item("broken", 1), scenarios=dict(LESSON.scenarios))], width=2)
    with pytest.raises(AirflowUnreachableError):
        list(proofs.results())
    assert [result.item.id for result in proofs.done] == ["a"]


def test_a_run_that_cannot_be_ended_does_not_keep_the_others_from_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are closed, whichever fails, and which one did is told."""
    real = stage.attempt

    def attempt(api: Any, lesson: Item, scenario: str, **options: Any) -> Iterator[None]:
        if lesson.id != "stubborn":
            return (yield from real(api, lesson, scenario, **options))  # type: ignore[misc]  # the result
        try:
            while True:
                yield
        finally:
            raise AirflowError("PATCH", "/dags/x", 500, "a deadlock")

    monkeypatch.setattr(runner, "attempt", attempt)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    proofs = proving(stage, [item("stubborn", 30), item("a", 20), item("b", 10)])
    proofs.sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        list(proofs.results())
    assert stage.closed == ["a", "b"]
    assert proofs.not_ended == ["stubborn pooled: the run could not be ended: PATCH /dags/x: 500 a deadlock"]


def test_an_interrupt_ends_everything_that_runs(stage: Stage) -> None:
    """Ctrl-C closes each run, so that each gives back."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    proofs = Prover(None, [item("a"), item("b")], Width.of(2), clock=lambda: 0.0, sleep=interrupt)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        list(proofs.results())
    assert stage.closed == ["a", "b"]


def test_an_interrupt_in_a_request_ends_the_proof_whatever_comes_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lesson whose request it was, and which cannot be ended, is told; the others are ended."""
    stop = KeyboardInterrupt()
    stop.add_note("broken pooled: the run could not be ended: a deadlock")
    break_one(monkeypatch, stage, stop)
    proofs = proving(stage, [item("a", 20), item("broken", 10)])
    with pytest.raises(KeyboardInterrupt):
        list(proofs.results())
    assert stage.closed == ["a"]
    assert proofs.not_ended == ["broken pooled: the run could not be ended: a deadlock"]


def test_results_that_nobody_wants_any_more_end_what_runs(stage: Stage) -> None:
    """A caller that stops early, for an error say, leaves nothing running."""
    results = proving(stage, [item("a", 5), item("b", 50)]).results()
    next(iter(results))
    results.close()
    assert set(stage.closed) >= {"b"}
    assert stage.active == []


def test_the_estimate_packs_as_the_prover_does() -> None:
    """Two at once: 20 beside 10 and 10, then 30 alone; with what runs already counted by what it still needs."""
    waiting = jobs([item("a", 10), item("b", 5), item("c", 5), item("d", 15, exclusive=True)])
    assert [job.item.id for job in waiting] == ["a", "b", "c", "d"]
    assert estimate(waiting, 2) == 20 + 30
    assert estimate(waiting[1:], 2, [(waiting[0], 4.0)]) == 4 + 10 + 30
    assert estimate([], 2, [(waiting[0], 4.0)]) == 4
    assert estimate([], 2) == 0


def test_nothing_starts_beside_an_exclusive_lesson_or_beyond_the_width() -> None:
    """The rules of one decision."""
    free, alone = Job(item("free"), ("s",)), Job(item("alone", exclusive=True), ("s",))
    assert startable([alone, free], [item("x")], 2) is free
    assert startable([alone, free], [], 2) is alone
    assert startable([free], [alone.item], 2) is None
    assert startable([free], [item("x"), item("y")], 2) is None


def test_the_width_follows_what_the_machine_bears() -> None:
    """One for each core at first, half as many again while runs take their cost, fewer when they take much longer."""
    width = Width.of(cores=2)
    seen = [width.now]
    for seconds in (30, 30, 40, 50, 50, 50, 30):
        width.learn(seconds, 30)
        seen.append(width.now)
    assert seen == [2, 3, 3, 3, 2, 1, 1, 2]
    width.learn(900, None)
    assert width.now == 2
    fixed = Width.of(4)
    fixed.learn(900, 30)
    assert fixed.now == 4
    assert [Width.of(cores=cores).most for cores in (1, 2, 4)] == [1, 3, 6]


def test_a_slow_machine_gets_fewer_lessons_at_once(stage: Stage) -> None:
    """When the first runs take twice their cost, the next ones run alone."""
    stage.slowness = 2
    proofs = proving(stage, [item(name) for name in "abcdef"])
    proofs.width = Width.of(cores=2)
    list(proofs.results())
    beside = {name: max(len(group) for group in stage.beside if name in group) for name in "abcdef"}
    assert beside == {"a": 2, "b": 2, "c": 1, "d": 1, "e": 1, "f": 1}


def test_the_remaining_time_follows_the_pace(stage: Stage) -> None:
    """When runs take twice their cost, so will those to come."""
    proofs = proving(stage, [item("a", 10), item("b", 10)], width=1)
    assert proofs.remaining == 40
    proofs.done.append(replace_seconds(item("a", 10), 20))
    proofs.waiting = proofs.waiting[1:]
    assert proofs.remaining == 40


def replace_seconds(lesson: Item, seconds: float) -> Result:
    """A result that took so long."""
    return Result(lesson, "pooled", "r", "success", evidence("pooled", holds=True), seconds)


def test_a_terminal_shows_what_runs_and_what_is_left(stage: Stage) -> None:
    """One line for each run with its time, one for the total, no wider than the terminal."""
    proofs = proving(stage, [item("106.9.1", 20), item("106.9.2", 10)], width=1)
    seen: list[str] = []

    def look(seconds: float) -> None:
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(ProofsView(proofs, clock=lambda: stage.now))
        seen.append(console.export_text())
        stage.tick(seconds)

    proofs.sleep = look
    results = proofs.results()
    next(iter(results))
    assert any("106.9.1" in text and "pooled" in text and "of about 20s" in text for text in seen)
    assert any("0 of 4 done, 1 running, 3 to go" in text for text in seen)
    assert max(len(line) for text in seen for line in text.splitlines()) <= 80
    results.close()
