"""Counts what it takes to parse DAG files as the lab's DAG processor does: in forks that have Airflow loaded.

``python parse_calls.py ROUNDS FILE…`` prints, as JSON, the function calls that each file took, round by round. What the
lab's nursery has imported is there already; the first import of any other module counts, since every parse pays it.
"""

from __future__ import annotations

import cProfile
import gc
import importlib
import json
import logging
import os
import pstats
import sys

import airflow.dag_processing.manager  # noqa: F401 - what the DAG processor has loaded before it forks
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from airflow.utils.file import iter_airflow_imports

from backpressure_lab.stack.nursery import PRELOADED


def parse(file: str) -> None:
    """What a DAG processor's child does with a file: load, check, serialize."""
    bag = DagBag(file, load_op_links=False)
    if bag.import_errors:
        raise RuntimeError("; ".join(bag.import_errors.values()))
    for dag in bag.dags.values():
        LazyDeserializedDAG(data=DagSerialization.to_dict(dag))


def counted(file: str) -> int:
    """Function calls that a fork of this process makes for a file: as good as time, and the same on any machine."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        profile = cProfile.Profile()
        try:
            profile.runcall(parse, file)
            os.write(writing, str(pstats.Stats(profile).total_calls).encode())  # type: ignore[attr-defined]
        except BaseException as error:  # noqa: BLE001 - a fork must end here, whatever happened
            os.write(writing, repr(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    if not said.isdigit():
        raise SystemExit(f"{file} could not be parsed: {said}")
    return int(said)


def main() -> None:
    """Count each file in each round; the first may compile what later ones find compiled."""
    rounds, files = int(sys.argv[1]), sys.argv[2:]
    logging.disable(logging.CRITICAL)
    for module in PRELOADED:
        importlib.import_module(module)
    for file in files:
        for module in iter_airflow_imports(file):
            importlib.import_module(module)
    gc.freeze()
    calls: dict[str, list[int]] = {file: [] for file in files}
    for _ in range(rounds):
        for file in files:
            calls[file].append(counted(file))
    print(json.dumps(calls))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
