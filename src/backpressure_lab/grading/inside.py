"""Jobs in a cell: load a submission and describe it, or run one of its tasks with a channel for all it may reach."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any

from backpressure_lab.sandbox import cell
from backpressure_lab.sandbox.channel import Channel

_LONGEST_ERROR = 2000


def describe(channel: Channel) -> None:
    """Tell what a file says of itself."""
    order = channel.receive()
    import airflow.sdk  # noqa: F401, PLC0415 - before the limits: what it needs is not the submission's

    from backpressure_lab.exercises import facts, static  # noqa: PLC0415 - as above
    from backpressure_lab.grading.shape import shape  # noqa: PLC0415 - as above

    path = _written(order)
    cell.lock(channel, nice=cell.NICE)
    try:
        static.parse(path, order["source"])
    except static.RefusedError as refused:
        channel.send({"refused": refused.message.as_json()})
    else:
        channel.send({"done": facts.describe(path, shape)})


def call(channel: Channel) -> None:
    """Run the function of a task, and tell what it returned or raised."""
    order = channel.receive()
    from backpressure_lab.grading import brokered  # noqa: PLC0415 - no cell that only describes needs it

    brokered.put_in_place(channel)
    from backpressure_lab.exercises import submission  # noqa: PLC0415 - as in ``describe``

    path = _written(order)
    cell.lock(channel)
    try:
        (dag,) = submission.load(path).dags
        task: Any = next(task for task in dag.tasks if task.task_id == order["task_id"])
        function = task.python_callable
        result = function(*order["args"], **_asked_for(function, order["args"], order["context"]))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the task has failed with it
        place = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
        text = f"{error}"[:_LONGEST_ERROR]
        channel.send({"failed": type(error).__name__, "text": text, "line": place[-1].lineno if place else None})
    else:
        channel.send({"done": result})


def _written(order: dict[str, Any]) -> Path:
    path = Path("/tmp") / str(order["name"])  # noqa: S108 - the cell's own
    path.write_text(order["source"], encoding="utf-8")
    return path


def _asked_for(function: Any, args: list[Any], context: dict[str, Any]) -> dict[str, Any]:
    """What Airflow would pass by name: what the function has parameters for, or all of it."""
    parameters = list(inspect.signature(function).parameters.values())[len(args) :]
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return context
    return {one.name: context[one.name] for one in parameters if one.name in context}
