"""A learner's file, loaded: its one DAG, and the pools that it describes."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG

_numbers = itertools.count()


@dataclass(frozen=True)
class Loaded:
    """What a file defines: its DAGs, in no order, and the values of ``POOLS`` and ``ANSWERS``, if there are any."""

    dags: tuple[DAG, ...]
    pools: Any
    answers: Any


def load(path: Path) -> Loaded:
    """Run the file and find what it defines; whatever it raises is raised.

    Airflow does not hear of its DAGs: the caller says which are to be known.
    """
    from airflow.sdk import DAG  # noqa: PLC0415 - the commands' other uses of this package need no Airflow
    from airflow.sdk.definitions._internal.contextmanager import DagContext  # noqa: PLC0415 - the same

    name = f"submission_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and Airflow look for a function's module
    before, DagContext.current_autoregister_module_name = DagContext.current_autoregister_module_name, name
    try:
        spec.loader.exec_module(module)
    finally:
        DagContext.current_autoregister_module_name = before
        registered = {(dag, where) for dag, where in DagContext.autoregistered_dags if where is module}
        DagContext.autoregistered_dags -= registered
    dags = [*(value for value in vars(module).values() if isinstance(value, DAG)), *(dag for dag, _ in registered)]
    every = tuple({id(dag): dag for dag in dags}.values())
    return Loaded(every, getattr(module, "POOLS", []), getattr(module, "ANSWERS", {}))


def staged(wrapper: str) -> dict[str, DAG]:
    """The DAGs that a staged file stands for: copies of a submission's DAG, under ids and in pools of a check's own.

    Beside the file lies a plan with the path of the submission, seen from there, the dag_id of each copy, and what each
    pool is called.
    """
    plan = json.loads(Path(wrapper).with_suffix(".json").read_text(encoding="utf-8"))
    source = (Path(wrapper).parent / plan["source"]).resolve()
    copies = {}
    for dag_id in plan["copies"]:
        (dag,) = load(source).dags
        dag.dag_id = dag_id
        for task in dag.tasks:
            task.pool = plan["pools"].get(task.pool, task.pool)
        copies[dag_id] = dag
    return copies
