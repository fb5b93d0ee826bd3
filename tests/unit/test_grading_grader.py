"""A cohort's grading: kept as it goes, the same in any order, and one student's trouble is no other's."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backpressure.airflow.client import AirflowError
from backpressure.airflow.upstream import UpstreamDroppedError

from backpressure_lab import manifest
from backpressure_lab.errors import LabError, NotRunningError, WentDownError
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.staging import Lab
from backpressure_lab.grading import tiers
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.grade import Grade, Tier, wrong
from backpressure_lab.grading.grader import Grader
from backpressure_lab.grading.store import Store
from backpressure_lab.grading.tiers import Described

COURSE = manifest.load()
EXERCISES = [catalog.find(COURSE, name) for name in ("14.1", "14.2")]


class World:
    """Stands for cells and lab: a text says what becomes of it, and who ran with which work is noted."""

    def __init__(self) -> None:
        self.up = True
        self.ran: list[tuple[str, str, float]] = []
        self.dies_at: int | None = None
        self.stumbles: dict[str, int] = {}
        self.stumbling: Exception = AirflowError("GET", "/dags", 500, "it stumbled")
        self._turn = threading.Lock()

    def first(self, submission: Submission, path: Path, **_: bool) -> tuple[Described | None, Grade]:
        """Whoever says so fails at once."""
        assert path.read_text(encoding="utf-8") == submission.text
        if submission.text == "no cell":
            raise LabError("The sandbox did not start: no answer in time.")
        bad = [Message("syntax_error", "line 1")] if submission.text == "with" else []
        grade = wrong(submission, "static", bad, 0.1)
        return (None if bad else Described(None)), grade  # type: ignore[arg-type]  # nobody looks at the facts here

    def second(self, submission: Submission, _found: Described, lab: Lab, source: random.Random) -> Grade:
        """The text says which message comes of it; empty is a pass."""
        with self._turn:
            self.ran.append((submission.student, submission.exercise.exercise.id, source.random()))
            if self.dies_at is not None and len(self.ran) >= self.dies_at:
                self.up = False
            left = self.stumbles.get(submission.student, 0)
            self.stumbles[submission.student] = left - 1
        if not lab.alive():
            raise WentDownError("the check", "check again")
        if left > 0:
            raise self.stumbling
        text = (submission.text or "").strip()
        tier: Tier = "live"
        return wrong(submission, tier, [Message(text, f"{text} was seen")] if text else [], 1.0)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Lab]:
        """A lab that is up for now."""
        stands_for: Any = None
        yield Lab(stands_for, stands_for, lambda: self.up)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which everything works."""
    world = World()
    monkeypatch.setattr(tiers, "first", world.first)
    monkeypatch.setattr(tiers, "second", world.second)
    return world


def class_of(**texts: str) -> list[Submission]:
    """Each student hands in the same text for both exercises, in an order of no meaning."""
    return [Submission(name, files, f"{name}.py", text) for name, text in texts.items() for files in EXERCISES]


def store(folder: Path, **options: Any) -> Store:
    """Grades of the folder's class."""
    return Store(folder / "grading", folder / "class", **{"seed": None, "trusted": False, **options})


def graded(world: World, kept: Store, submissions: list[Submission]) -> dict[tuple[str, str], tuple[str, str]]:
    """Student and exercise → verdict and first code."""
    found = Grader(kept, world.opened).grades(submissions)
    return {(one.submission.student, one.submission.exercise.exercise.id): (one.verdict, one.code) for one in found}


CLASS = {"ada": "\n", "ben": "too_light\n", "cleo": "no_pool\n", "dan": "with", "eve": "shared\n"}


def test_everybody_gets_a_grade_of_their_own(world: World, tmp_path: Path) -> None:
    """For each exercise, whatever the others handed in."""
    found = graded(world, store(tmp_path), class_of(**CLASS))
    assert len(found) == 10
    assert found["ada", "14.1"] == ("pass", "")
    assert found["ben", "14.2"] == ("fail", "too_light")
    assert found["dan", "14.1"] == ("fail", "syntax_error")


def test_alone_is_as_in_a_cohort(world: World, tmp_path: Path) -> None:
    """The work is the same, so the verdict has no reason to be another, nor another's order."""
    kept = store(tmp_path)
    together = graded(world, kept, class_of(**CLASS))
    work = {(name, exercise): drawn for name, exercise, drawn in world.ran}
    for name, text in CLASS.items():
        world.ran.clear()
        alone = graded(world, store(tmp_path / name, seed=kept.seed), class_of(**{name: text}))
        assert alone == {key: value for key, value in together.items() if key[0] == name}
        assert all(work[one, exercise] == drawn for one, exercise, drawn in world.ran)


def test_the_class_shares_its_work_and_another_seed_draws_another(world: World, tmp_path: Path) -> None:
    """Nobody has the easier draw; what one knows of last year's is worth nothing."""
    graded(world, store(tmp_path, seed=1), class_of(**CLASS))
    graded(world, store(tmp_path / "other", seed=2), class_of(ada="\n"))
    drawn = {exercise: {one for _, of, one in world.ran if of == exercise} for exercise in ("14.1", "14.2")}
    assert all(len(values) == 2 for values in drawn.values())


def test_the_same_text_runs_once(world: World, tmp_path: Path) -> None:
    """Two who handed in the same get the same, each under their own name."""
    found = graded(world, store(tmp_path), class_of(ada="shared\n", ben="shared\n", cleo="shared\n"))
    assert set(found.values()) == {("fail", "shared")}
    assert len(found) == 6
    assert len(world.ran) == 2


def test_a_grading_that_was_cut_off_goes_on(world: World, tmp_path: Path) -> None:
    """When the lab dies, what is graded is kept, and only the rest runs again."""
    world.dies_at = 5
    come: list[Grade] = []
    with pytest.raises(WentDownError, match="during the grading"):
        come.extend(Grader(store(tmp_path), world.opened, at_once=1).grades(class_of(**CLASS)))
    assert not world.up
    world.up, world.dies_at = True, None
    ran = len(world.ran)
    found = graded(world, store(tmp_path), class_of(**CLASS))
    assert len(found) == 10
    again = {(name, exercise) for name, exercise, _ in world.ran[ran:]}
    assert len(again) == 8 - 4
    assert graded(world, store(tmp_path), class_of(**CLASS)) == found
    assert len(world.ran) == ran + 4


def test_a_damaged_grade_is_given_again(world: World, tmp_path: Path) -> None:
    """Half a file is no grade."""
    kept = store(tmp_path)
    found = graded(world, kept, class_of(ada="\n"))
    for path in (tmp_path / "grading").glob("*/grades/*.json"):
        path.write_text('{"verdict": "pa', encoding="utf-8")
    assert graded(world, store(tmp_path), class_of(ada="\n")) == found


def test_what_could_not_be_measured_runs_again(world: World, tmp_path: Path) -> None:
    """Three times in a call, and it is never taken for wrong or kept."""
    world.stumbles = {"ada": 2, "ben": 100}
    found = graded(world, store(tmp_path), class_of(ada="\n", ben="x\n"))
    assert found["ada", "14.1"] == ("pass", "")
    assert {value for key, value in found.items() if key[0] == "ben"} == {("not measured", "not_measured")}
    world.stumbles = {}
    assert graded(world, store(tmp_path), class_of(ben="x\n"))["ben", "14.1"] == ("fail", "x")


@pytest.mark.parametrize(
    "stumbling", [LabError("no cell"), NotRunningError("no task"), UpstreamDroppedError("refused")]
)
def test_what_keeps_one_from_being_measured_keeps_nobody_else(
    world: World, tmp_path: Path, stumbling: Exception
) -> None:
    """Neither where it cannot be read nor where it cannot be run; the others' grades come, and it is tried again."""
    world.stumbles, world.stumbling = {"ben": 100}, stumbling
    found = graded(world, store(tmp_path), class_of(ada="\n", ben="x\n", cleo="y\n", eve="no cell"))
    assert {found[name, "14.1"] for name in ("ben", "eve")} == {("not measured", "not_measured")}
    assert (found["ada", "14.1"], found["cleo", "14.1"]) == (("pass", ""), ("fail", "y"))
    assert len(list((tmp_path / "grading").glob("*/grades/*.json"))) == 2 * 2, "what was not measured is not kept"


@pytest.mark.parametrize("name", ["x" * 255, "\udcff.py", "a\nb.py"], ids=["long", "no text", "two lines"])
def test_whatever_a_file_is_called_it_is_graded(world: World, tmp_path: Path, name: str) -> None:
    """Its copy has a name of ours."""
    found = graded(world, store(tmp_path), [Submission("ada", EXERCISES[0], f"ada/{name}", "\n")])
    assert found == {("ada", "14.1"): ("pass", "")}


def test_a_changed_text_or_trust_is_graded_anew(world: World, tmp_path: Path) -> None:
    """A grade belongs to a text, its exercise, the work and the way in which it ran."""
    graded(world, store(tmp_path), class_of(ada="\n"))
    ran = len(world.ran)
    graded(world, store(tmp_path), class_of(ada="\n \n"))
    graded(world, store(tmp_path, trusted=True), class_of(ada="\n"))
    assert len(world.ran) == ran + 4


def test_fresh_forgets_grades_and_draws_anew(world: World, tmp_path: Path) -> None:
    """As for a second attempt of the class."""
    kept = store(tmp_path)
    graded(world, kept, class_of(ada="\n"))
    seed = kept.seed
    kept.forget()
    graded(world, kept, class_of(ada="\n"))
    assert kept.seed != seed
    assert len(world.ran) == 4


def test_two_commands_do_not_grade_one_folder(tmp_path: Path) -> None:
    """The second says so instead of running everything twice."""
    with store(tmp_path).locked(), pytest.raises(LabError, match="being graded by another"), store(tmp_path).locked():
        pass
