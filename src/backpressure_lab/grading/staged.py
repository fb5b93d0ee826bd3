"""The DAGs of a check that is graded: the author's own, with the settings of a submission.

Airflow's processes load this and the starter, and never a line of the submission. Where a task's function is not the
starter's, it runs in a cell that the task's process starts, and that it answers for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backpressure_lab.exercises import submission
from backpressure_lab.files import write_text

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from backpressure_lab.sandbox.warden import Nursery

CALL_SECONDS = 100.0
_CONTEXT = ("params", "run_id", "ts", "ds")
_LONGEST_LIST, _LONGEST_RESULT = 100, 20_000


class SubmissionError(Exception):
    """A task of a submission failed; shown as what it raised."""


def staged(wrapper: str) -> dict[str, DAG]:
    """The DAGs that a staged file stands for; beside it lies the plan."""
    plan_file = Path(wrapper).with_suffix(".json")
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    copies = {}
    for dag_id in plan["copies"]:
        (dag,) = submission.load(Path(plan["starter"])).dags
        dag.dag_id = dag_id
        dag.max_active_runs, dag.max_active_tasks = plan["dag"]["max_active_runs"], plan["dag"]["max_active_tasks"]
        tasks: list[Any] = list(dag.tasks)
        for task in tasks:
            _set(task, plan["tasks"][task.task_id], plan["pools"])
            if task.task_id in plan["own"]:
                task.python_callable = _in_cell(plan_file, task.task_id)
        copies[dag_id] = dag
    return copies


def _set(task: Any, settings: Mapping[str, Any], pools: Mapping[str, str]) -> None:
    for name, value in settings.items():
        if name == "mode" and not hasattr(task, name):
            continue  # it is no sensor
        setattr(task, name, timedelta(seconds=value) if name == "retry_delay" else value)
    task.pool = pools.get(settings["pool"], settings["pool"])


def _in_cell(plan_file: Path, task_id: str) -> Callable[..., Any]:
    def run_in_cell(*args: Any, **context: Any) -> Any:
        from backpressure_lab.sandbox.warden import NoSandboxError  # noqa: PLC0415 - as in ``play``

        try:
            return play(json.loads(plan_file.read_text(encoding="utf-8")), task_id, args, context)
        except NoSandboxError as error:
            from backpressure_lab.exercises.staging import TROUBLE  # noqa: PLC0415 - as in ``play``

            write_text(plan_file.with_suffix(TROUBLE), str(error))
            raise

    return run_in_cell


def play(
    plan: Mapping[str, Any],
    task_id: str,
    args: tuple[Any, ...],
    context: Mapping[str, Any],
    nursery: Nursery | None = None,
) -> Any:
    """Run a task's function in a cell, and return what it returned.

    Args:
        plan: of the check.
        task_id: which task.
        args: the function's arguments by place, as Airflow has resolved them.
        context: what Airflow would pass by name.
        nursery: of the cell, where one is at hand: a task has none.

    Raises:
        SubmissionError: it raised something, did not end, was given too much, or returned what cannot be passed on.
        NoSandboxError: there was no cell, which is not the submission's fault.
    """
    from backpressure.airflow.connection import storage  # noqa: PLC0415 - the DAG processor needs none of this
    from backpressure.airflow.upstream import Upstream  # noqa: PLC0415 - the same

    from backpressure_lab.grading.broker import Broker  # noqa: PLC0415 - the same
    from backpressure_lab.sandbox.channel import LateError  # noqa: PLC0415 - the same
    from backpressure_lab.sandbox.warden import Cell, EndedError, OrderError  # noqa: PLC0415 - the same

    names = {*_CONTEXT, *plan["names"][task_id]}
    given = {name: _plain(value) for name, value in context.items() if name in names}
    order = {"source": plan["text"], "name": plan["name"], "task_id": task_id}
    order |= {"args": _plain(list(args)), "context": given}
    broker = Broker(list(plan["lanes"]), f"{plan['token']}/", Upstream, storage())
    try:
        with Cell("backpressure_lab.grading.inside:call", order, CALL_SECONDS, nursery) as cell:
            return _until_done(cell.receive, cell.send, broker.answer)
    except OrderError as error:
        raise SubmissionError(f"it was given too much: {error}") from None
    except LateError:
        raise SubmissionError(f"it had not ended after {CALL_SECONDS:g} s") from None
    except EndedError as error:
        how = "it used up its time" if error.out_of_time else f"its process ended with {error}"
        raise SubmissionError(how) from None


def _until_done(
    receive: Callable[[], Mapping[str, Any]],
    send: Callable[[dict[str, Any]], None],
    answer: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Any:
    while "ask" in (said := receive()):
        send(answer(said))
    if "done" not in said:
        line = f", in line {said['line']}" if isinstance(said.get("line"), int) else ""
        raise SubmissionError(f"{str(said.get('failed'))[:80]}: {str(said.get('text'))[:300]}{line}")
    result = said["done"]
    if isinstance(result, list) and len(result) > _LONGEST_LIST:
        raise SubmissionError(f"it returned a list of {len(result)}; {_LONGEST_LIST} are allowed")
    if len(json.dumps(result)) > _LONGEST_RESULT:
        raise SubmissionError(f"it returned more than {_LONGEST_RESULT} characters")
    return result


def _plain(value: Any) -> Any:
    """By value: mappings and lists of Airflow's own become JSON's."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple) or hasattr(value, "__iter__"):
        return [_plain(one) for one in value]
    return str(value)
