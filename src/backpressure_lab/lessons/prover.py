"""Proves lessons: runs every scenario, and once more, twice at most, one that was not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from backpressure.airflow.client import AirflowClient

from backpressure_lab.lessons import runner
from backpressure_lab.lessons.result import Result
from backpressure_lab.manifest import Item

_REPEATS = 2


def prove(api: AirflowClient, items: Iterable[Item], alive: Callable[[], bool] = lambda: True) -> Iterator[Result]:
    """Each scenario's result, as it comes. One that came out not as expected is never run again."""
    for item in items:
        for scenario in item.scenarios:
            result = runner.run(api, item, scenario, alive=alive)
            for _ in range(_REPEATS):
                if result.verdict != "not measured":
                    break
                result = runner.run(api, item, scenario, alive=alive)
            yield result
