"""Grades a cohort: what can be said without a scheduler side by side, then the live runs, as many as the lab bears."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeVar

from backpressure.airflow.client import AirflowError, AirflowUnreachableError
from backpressure.airflow.upstream import UpstreamError

from backpressure_lab.errors import LabError, NoAnswerError, WentDownError
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.staging import Lab
from backpressure_lab.grading import tiers
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.grade import Grade, Tier, without_running
from backpressure_lab.grading.store import Store
from backpressure_lab.grading.tiers import Described

AT_ONCE = 2
"""Live runs at once: they wait more than they work, but more make starts so slow that nothing overlaps any more."""
_TRIES = 3
_T = TypeVar("_T")
Opened = Callable[[], AbstractContextManager[Lab]]


class Grader:
    """The grading of one cohort.

    Args:
        store: keeps grades, and says what work is drawn from.
        opened: makes a lab to run in, one for each thread.
        at_once: live runs at once.
        trusted: run submissions as they are, with our rights.
    """

    def __init__(self, store: Store, opened: Opened, *, at_once: int = AT_ONCE, trusted: bool = False) -> None:
        self._store = store
        self._opened = opened
        self._at_once = at_once
        self._trusted = trusted
        self._stopped = threading.Event()

    def grades(self, submissions: Sequence[Submission]) -> Iterator[Grade]:
        """A grade for each submission, as they come; the same text for the same exercise is run once.

        Raises:
            NotRunningError: the lab went away; what was graded until then is kept.
        """
        same: dict[str, list[Submission]] = {}
        for submission in submissions:
            grade = without_running(submission) or self._store.get(submission)
            if grade is not None:
                yield grade
            else:
                same.setdefault(self._store.key(submission), []).append(submission)
        runnable: list[tuple[Submission, Described]] = []
        for described, grade in self._first([each[0] for each in same.values()]):
            if described is None:
                self._keep(grade)
                yield from self._all(grade, same)
            else:
                runnable.append((grade.submission, described))
        # In an order of the cohort's own, not in that in which processes happened to end.
        runnable.sort(key=lambda one: (one[0].student, one[0].exercise.dag_id))
        for grade in self._second(runnable):
            self._keep(grade)
            yield from self._all(grade, same)

    def _keep(self, grade: Grade) -> None:
        if grade.verdict != "not measured":
            self._store.put(grade)

    def _all(self, grade: Grade, same: dict[str, list[Submission]]) -> Iterator[Grade]:
        for submission in same[self._store.key(grade.submission)]:
            yield grade.of(submission)

    def _first(self, submissions: Sequence[Submission]) -> Iterator[tuple[Described | None, Grade]]:
        def one(submission: Submission) -> tuple[Described | None, Grade]:
            try:
                return tiers.first(submission, self._store.copy(submission), trusted=self._trusted)
            except LabError as error:
                return None, _not_measured(submission, "static", error)

        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            yield from self._done([pool.submit(one, submission) for submission in submissions], pool)

    def _second(self, runnable: Sequence[tuple[Submission, Described]]) -> Iterator[Grade]:
        with ThreadPoolExecutor(self._at_once) as pool:
            yield from self._done([pool.submit(self._run, *one) for one in runnable], pool)

    def _done(self, futures: Sequence[Future[_T]], pool: ThreadPoolExecutor) -> Iterator[_T]:
        """What comes of them; when one fails, or nobody asks any further, the others end and clean up first."""
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            self._stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._stopped.clear()

    def _going_on(self, lab: Lab) -> Callable[[], bool]:
        return lambda: lab.alive() and not self._stopped.is_set()

    def _run(self, submission: Submission, described: Described) -> Grade:
        """Run it, and once more if the lab could not tell; its work is that of everybody who does this exercise."""
        why: Exception | None = None
        for _ in range(_TRIES):
            source = random.Random(f"{self._store.seed} {submission.exercise.exercise.id}")  # noqa: S311 - work, no secret
            with self._opened() as lab:
                here = replace(lab, alive=self._going_on(lab))
                try:
                    return tiers.second(submission, described, here, source)
                except (LabError, AirflowError, UpstreamError) as error:
                    if not here.alive():
                        raise WentDownError("the grading", "grade again: it goes on where it is") from error
                    if isinstance(error, AirflowUnreachableError):
                        raise NoAnswerError(error) from error
                    why = error
        return _not_measured(submission, "live", why)


def _not_measured(submission: Submission, tier: Tier, why: Exception | None) -> Grade:
    """The grade of what the machine or the lab was at fault for."""
    return Grade(submission, "not measured", tier, (Message("not_measured", str(why).partition("\n")[0]),))
