"""Proves lessons: runs every scenario, several lessons side by side, and once more what was not measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.findings import Evidence

from backpressure_lab.errors import LabError, WentDownError
from backpressure_lab.lessons import runner, schedule
from backpressure_lab.lessons.result import Result
from backpressure_lab.lessons.runner import Attempt
from backpressure_lab.lessons.schedule import Job, Width
from backpressure_lab.manifest import Item

_REPEATS = 2


class Running(NamedTuple):
    """A scenario that runs now: since when (monotonic s), and for the how manieth time if it was not measured."""

    item: Item
    scenario: str
    since: float
    attempt: int


@dataclass
class _Course:
    """One lesson on its way through its scenarios."""

    job: Job
    going: Attempt
    running: Running


@dataclass
class Prover:
    """Runs the lessons' scenarios; ask it for :meth:`results`.

    Attributes:
        api: a client of the lab's Airflow.
        items: what to prove.
        width: how many lessons run at once.
        repeat: how often each scenario runs.
        alive: asked now and then whether there is still a lab.
        clock, sleep: time, monotonic.
        done: the results so far.
        not_ended: what could not be ended when the proof was cut off, and why.
    """

    api: AirflowClient
    items: Iterable[Item]
    width: Width = field(default_factory=Width.of)
    repeat: int = 1
    alive: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    waiting: list[Job] = field(init=False)
    done: list[Result] = field(init=False, default_factory=list)
    not_ended: list[str] = field(init=False, default_factory=list)
    _courses: list[_Course] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.waiting = schedule.jobs(self.items, self.repeat)
        self.total = sum(len(job.scenarios) for job in self.waiting)
        self.begun = self.clock()

    @property
    def running(self) -> list[Running]:
        """What runs now."""
        return [course.running for course in self._courses]

    @property
    def remaining(self) -> float:
        """Seconds until all is done, from the lessons' costs and how much longer than these the runs so far took."""
        costs = sum(result.item.cost or 0.0 for result in self.done)
        pace = sum(result.seconds for result in self.done) / costs if costs else 1.0
        now = self.clock()
        left = []
        for course in self._courses:
            spent = (now - course.running.since) / pace
            left.append(
                (course.job, max(course.job.seconds - spent, course.job.seconds / len(course.job.scenarios) / 5))
            )
        return pace * schedule.estimate(self.waiting, self.width.now, left)

    def results(self) -> Generator[Result, None, None]:
        """Each scenario's result, as it comes. One that came out not as expected is never run again.

        Closed before its end, or on Ctrl-C, it ends what runs and has it give back what it changed.

        Raises:
            NotRunningError: the lab went away.
            AirflowUnreachableError: Airflow does not answer any more.
        """
        try:
            while self.waiting or self._courses:
                self._start()
                waits = True
                for course in list(self._courses):
                    result = self._look(course)
                    if result is None:
                        continue
                    waits = False
                    if result.run_id and result.verdict == "not measured" and course.running.attempt <= _REPEATS:
                        self._again(course)
                        continue
                    self.done.append(result)
                    self.width.learn(result.seconds, result.item.cost)
                    self._advance(course)
                    yield result
                if waits:
                    self.sleep(runner.POLL_SECONDS)
        finally:
            self._end()

    def rest(self) -> list[Result]:
        """What has no result because the proof was cut off: not measured, each of them."""
        jobs = [*(course.job for course in self._courses), *self.waiting]
        return [_nothing(job.item, scenario, "the proof ended before") for job in jobs for scenario in job.scenarios]

    def _end(self) -> None:
        """End what runs; what cannot be ended is noted, and keeps nothing else from being ended."""
        for course in self._courses:
            try:
                course.going.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are still to be ended
                running = course.running
                self.not_ended.append(f"{running.item.id} {running.scenario}: the run could not be ended: {error}")

    def _start(self) -> None:
        while job := schedule.startable(self.waiting, [course.job.item for course in self._courses], self.width.now):
            self.waiting.remove(job)
            self._courses.append(self._course(job, attempt=1))

    def _course(self, job: Job, attempt: int) -> _Course:
        scenario = job.scenarios[0]
        going = runner.attempt(self.api, job.item, scenario, alive=self.alive)
        return _Course(job, going, Running(job.item, scenario, self.clock(), attempt))

    def _look(self, course: _Course) -> Result | None:
        try:
            next(course.going)
        except StopIteration as over:
            result: Result = over.value
            return result
        except (LabError, AirflowError) as error:
            scenario, seconds = course.running.scenario, self.clock() - course.running.since
            if not self.alive():
                raise error if isinstance(error, LabError) else WentDownError("the proof", "prove again") from error
            # The lesson's own trouble, such as a file that cannot be loaded, is not that of the others.
            return _nothing(course.job.item, scenario, str(error), seconds)
        except KeyboardInterrupt as stop:
            self.not_ended += getattr(stop, "__notes__", [])
            raise
        return None

    def _again(self, course: _Course) -> None:
        self._courses[self._courses.index(course)] = self._course(course.job, course.running.attempt + 1)

    def _advance(self, course: _Course) -> None:
        """Go on to the lesson's next scenario; a lesson that is through makes room for another."""
        left = course.job.scenarios[1:]
        if left:
            self._courses[self._courses.index(course)] = self._course(Job(course.job.item, left), attempt=1)
        else:
            self._courses.remove(course)


def _nothing(item: Item, scenario: str, why: str, seconds: float = 0.0) -> Result:
    """The result of a scenario that did not come to a run."""
    return Result(item, scenario, "", "", Evidence(scenario, ()), seconds, trouble=(why,))
