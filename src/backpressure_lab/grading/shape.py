"""Inside a cell: what there is to a DAG besides the settings that an exercise is about, so that it can be compared.

A task's *code* is a digest of its function and of everything of the file's own that the function names. Where it equals
the starter's, the function does what the starter's does, unless the file lies about itself; then the starter's runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What, besides settings, the scheduler or a worker would act on: it must be as in the starter.
_TASK_FIXED = (
    *("trigger_rule", "depends_on_past", "wait_for_downstream", "is_setup", "is_teardown"),
    *("execution_timeout", "queue", "executor", "run_as_user"),
    *("retry_policy", "retry_exponential_backoff", "max_retry_delay"),
    *("on_execute_callback", "on_failure_callback", "on_success_callback", "on_retry_callback", "on_skipped_callback"),
)
# A sensor's, besides its mode, which can be set where it is not mapped.
_SENSOR_FIXED = (
    *("poke_interval", "timeout", "exponential_backoff", "max_wait"),
    *("soft_fail", "silent_fail", "never_fail"),
)
_DAG_FIXED = (
    *("catchup", "dagrun_timeout", "fail_fast", "deadline", "max_consecutive_failed_dag_runs"),
    *("on_failure_callback", "on_success_callback"),
)
_DEEPEST = 6
_LONGEST = 200
_FLAGGED, _HAS_DOCSTRING = (3, 13), 0x4000000  # before, a text that comes first among the constants is a docstring


def shape(dag: Any) -> dict[str, Any]:
    """The shape of a DAG, as JSON."""
    tasks = {task.task_id: _task(task) for task in dag.tasks}
    fixed = {name: _said(getattr(dag, name, None)) for name in _DAG_FIXED}
    return {"fixed": {**fixed, "schedule": _said(dag.schedule)}, "tasks": tasks}


def _task(task: Any) -> dict[str, Any]:
    mapped = hasattr(task, "partial_kwargs")
    kind = task.operator_class if mapped else type(task)
    function = getattr(task, "python_callable", None)
    return {
        "kind": f"{'mapped ' if mapped else ''}{kind.__module__}.{kind.__qualname__}",
        "upstream": sorted(task.upstream_task_ids),
        "inputs": _inputs(task) if mapped else _plain([getattr(task, "op_args", []), getattr(task, "op_kwargs", {})]),
        "names": sorted(_names(task) if mapped else getattr(task, "op_kwargs", {})),
        "code": digest(function) if isinstance(function, types.FunctionType) else "",
        "retries": task.retries,
        "retry_delay": task.retry_delay.total_seconds(),
        "fixed": {name: _said(getattr(task, name, None)) for name in _TASK_FIXED} | _sensor_fixed(task, mapped=mapped),
    }


def _sensor_fixed(task: Any, *, mapped: bool) -> dict[str, str]:
    """What cannot be changed of a sensor."""
    if mapped:
        return {name: _said(task.partial_kwargs.get(name)) for name in (*_SENSOR_FIXED, "mode")}
    return {name: _said(getattr(task, name, None)) for name in _SENSOR_FIXED}


def _inputs(task: Any) -> Any:
    expanded = getattr(task, task._expand_input_attr, None)  # noqa: SLF001 - Airflow names it nowhere else
    given = {name: task.partial_kwargs.get(name) for name in ("op_args", "op_kwargs")}
    return _plain([type(expanded).__name__, getattr(expanded, "value", None), given])


def _names(task: Any) -> list[str]:
    expanded = getattr(getattr(task, task._expand_input_attr, None), "value", {})  # noqa: SLF001 - as above
    return [*(expanded if isinstance(expanded, dict) else ()), *(task.partial_kwargs.get("op_kwargs") or {})]


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON says it; what JSON cannot say is told by its kind."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {str(name): _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if hasattr(value, "operator") and hasattr(value, "key"):
        return {"result of": str(value.operator.task_id), "key": str(value.key)}
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _said(value: Any) -> str:
    return json.dumps(_plain(getattr(value, "value", value)), sort_keys=True)[:_LONGEST] if value else "none"


def digest(function: types.FunctionType) -> str:
    """What the function does, as a digest: the same for two files that say the same, docstrings left out."""
    return hashlib.sha256(repr(_function(function, set())).encode()).hexdigest()


def _function(function: types.FunctionType, seen: set[int]) -> Any:
    if id(function) in seen:
        return "again"
    seen.add(id(function))
    named = {name: _named(function, name, seen) for name in sorted(_globals(function.__code__))}
    bound = [_value(cell.cell_contents, function, seen) for cell in function.__closure__ or ()]
    return [_code(function.__code__), _plain(function.__defaults__), _plain(function.__kwdefaults__), named, bound]


def _code(code: types.CodeType) -> Any:
    documented = code.co_flags & _HAS_DOCSTRING if sys.version_info >= _FLAGGED else code.co_name != "<lambda>"
    skip = int(bool(documented and code.co_consts and isinstance(code.co_consts[0], str)))
    constants = [_constant(one) for one in code.co_consts[skip:]]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount)
    return [code.co_code.hex(), constants, names]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    # The order of a set of texts is another in each process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _globals(code: types.CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*(_globals(one) for one in inner))


def _named(function: types.FunctionType, name: str, seen: set[int]) -> Any:
    space: Mapping[str, Any] = function.__globals__
    return _value(space[name], function, seen) if name in space else "not of the file"


def _value(value: Any, function: types.FunctionType, seen: set[int]) -> Any:
    """A value that a function names: what is the file's own is told by what it does, the rest by its name."""
    if isinstance(value, types.ModuleType):
        return ["module", value.__name__]
    home = getattr(value, "__module__", None)
    if isinstance(value, types.FunctionType) and home == function.__module__:
        return ["own", _function(value, seen)]
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return ["own class", id(value)] if home == function.__module__ else ["from", home, value.__qualname__]
    return ["value", _plain(value), type(value).__qualname__]
