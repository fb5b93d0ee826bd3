"""What it costs to parse the lessons, against plain DAGs of the same size and against DAGs of one empty task.

Usage: ``.venv/bin/python benchmarks/parsing.py [--rounds N] [--calls]``. Files are parsed as the lab's DAG processor
does it: each in a fork of one process that has Airflow and what the nursery preloads. What a file imports beyond
that counts, since every parse pays it. A lesson's plain twin has its tasks, dependencies and parameters and nothing of
ours; the third file is one EmptyOperator. All rounds go through all files in turn; of each file the least time counts.
``--calls`` prints function calls as JSON instead, which are the same on any machine: a test holds them to a limit.
"""

from __future__ import annotations

import argparse
import compileall
import cProfile
import gc
import importlib
import json
import os
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HOME = tempfile.TemporaryDirectory(prefix="parsing-")
# Airflow reads its settings when it is imported.
os.environ |= {
    "AIRFLOW_HOME": HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}

import airflow.dag_processing.manager  # noqa: E402, F401 - what the DAG processor has loaded before it forks
import backpressure  # noqa: E402 - after the settings
from airflow.dag_processing.dagbag import DagBag  # noqa: E402 - the same
from airflow.sdk import DAG  # noqa: E402 - the same
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG  # noqa: E402 - the same
from airflow.utils.file import iter_airflow_imports  # noqa: E402 - the same

from backpressure_lab import manifest  # noqa: E402 - the same
from backpressure_lab.stack.nursery import PRELOADED  # noqa: E402 - the same

KINDS = ("lesson", "plain", "empty")
EMPTY = """\
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{name}", schedule=None):
    EmptyOperator(task_id="nothing")
"""


def parse(file: Path) -> list[DAG]:
    """What a DAG processor's child does with a file: load, check, serialize."""
    bag = DagBag(file, load_op_links=False)
    if bag.import_errors:
        raise RuntimeError("; ".join(bag.import_errors.values()))
    for dag in bag.dags.values():
        LazyDeserializedDAG(data=DagSerialization.to_dict(dag))
    return list(bag.dags.values())


def milliseconds(file: Path) -> float:
    """Processor time of a parse."""
    before = time.process_time()
    parse(file)
    return (time.process_time() - before) * 1000


def calls(file: Path) -> int:
    """Function calls of a parse."""
    profile = cProfile.Profile()
    profile.runcall(parse, file)
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined,no-any-return]  # the stub lacks it


def plain_twin(file: Path) -> str:
    """A file with DAGs of the lesson's tasks, dependencies and parameters, and nothing of ours."""
    return "".join(_plain(dag) for dag in parse(file))


def _plain(dag: DAG) -> str:
    edges = [(task.task_id, below) for task in dag.tasks for below in sorted(task.downstream_task_ids)]
    params = ", ".join(f"{name!r}: Param({value!r})" for name, value in dag.params.dump().items())
    lines = [
        "from airflow.sdk import DAG, Param, task",
        f"with DAG(dag_id={dag.dag_id!r}, schedule=None, params={{{params}}}):",
        "    @task",
        "    def work(number):",
        "        pass",
        "    t = {}",
        *(f"    t[{name!r}] = work.override(task_id={name!r}).expand(number=[1])" for name in dag.task_ids),
        *(f"    t[{above!r}] >> t[{below!r}]" for above, below in edges),
    ]
    return "\n".join(lines) + "\n\n"


def in_a_fork(function: Callable[[Path], Any], file: Path) -> Any:
    """What the function says of the file in a fork of this process, which stays as it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer: dict[str, Any] = {}
        try:
            answer["value"] = function(file)
        except BaseException as error:  # noqa: BLE001 - a fork must end here, whatever happened
            answer["error"] = repr(error)
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read() or b'{"error": "it ended without an answer"}')
    os.waitpid(child, 0)
    if "error" in answer:
        raise SystemExit(f"{file} could not be parsed: {answer['error']}")
    return answer["value"]


def prepare(folder: Path) -> dict[str, dict[str, Path]]:
    """For each written lesson, by its file's name, the three files to parse, all compiled, and Airflow imported."""
    course = manifest.load()
    lessons = [course.root / item.file for item in course.written]
    for module in PRELOADED:
        importlib.import_module(module)
    for lesson in lessons:
        for module in iter_airflow_imports(str(lesson)):
            importlib.import_module(module)
    gc.freeze()
    files = {}
    for lesson in lessons:
        plain, empty = folder / f"plain_{lesson.name}", folder / f"empty_{lesson.name}"
        plain.write_text(in_a_fork(plain_twin, lesson), encoding="utf-8")
        empty.write_text(EMPTY.format(name=empty.stem), encoding="utf-8")
        files[lesson.name] = dict(zip(KINDS, (lesson, plain, empty), strict=True))
        for path in files[lesson.name].values():
            compileall.compile_file(path, quiet=2)
    compileall.compile_dir(Path(backpressure.__file__).parent, quiet=2)
    return files


def measured(files: dict[str, dict[str, Path]], function: Callable[[Path], Any], rounds: int) -> dict[str, list[Any]]:
    """The least figure of each file, by lesson, in the order of the kinds."""
    found: dict[str, list[list[Any]]] = {name: [[] for _ in KINDS] for name in files}
    for _ in range(rounds):
        for name, three in files.items():
            for figures, path in zip(found[name], three.values(), strict=True):
                figures.append(in_a_fork(function, path))
    return {name: [min(figures) for figures in kinds] for name, kinds in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", action="store_true", help="count function calls, once, and print them as JSON")
    options = parser.parse_args()
    files = prepare(Path(HOME.name))
    if options.calls:
        counted = measured(files, calls, rounds=1)
        print(json.dumps({name: dict(zip(KINDS, figures, strict=True)) for name, figures in counted.items()}))
        return
    figures = measured(files, milliseconds, options.rounds)
    print(f"{'file':<44}{'lesson':>10}{'plain':>10}{'empty':>10}{'/ plain':>10}{'/ empty':>10}")
    together = [sum(column) for column in zip(*figures.values(), strict=True)]
    for name, (lesson, plain, empty) in {**figures, f"all {len(figures)}": together}.items():
        times = "".join(f"{one:>7.1f} ms" for one in (lesson, plain, empty))
        print(f"{name:<44}{times}{lesson / plain:>10.2f}{lesson / empty:>10.2f}")


if __name__ == "__main__":
    main()
