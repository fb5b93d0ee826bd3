"""Times the parsing of DAG files as the lab's DAG processor does it: in forks of a process that has Airflow loaded.

``python parse_times.py ROUNDS FILE…`` prints, as JSON, the seconds that each file took, round by round. What the lab's
nursery has imported is there already; the first import of any other module counts, since every parse pays it.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys

import airflow.dag_processing.manager  # noqa: F401 - what the DAG processor has loaded before it forks
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from airflow.utils.file import iter_airflow_imports

from backpressure_lab.stack.nursery import PRELOADED

_DONE = b"done"


def parse(file: str) -> None:
    """What a DAG processor's child does with a file: load, check, serialize."""
    bag = DagBag(file, load_op_links=False)
    if bag.import_errors:
        raise RuntimeError("; ".join(bag.import_errors.values()))
    for dag in bag.dags.values():
        LazyDeserializedDAG(data=DagSerialization.to_dict(dag))


def timed(file: str) -> float:
    """Seconds of processor time that a fork of this process takes for a file: other load does not count."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            parse(file)
            os.write(writing, _DONE)
        except BaseException as error:  # noqa: BLE001 - a fork must end here, whatever happened
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, _, used = os.wait4(child, 0)
    if said != _DONE:
        raise SystemExit(f"{file} could not be parsed: {said.decode()}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Interleave the files, so that a busy moment of the machine hits all alike."""
    rounds, files = int(sys.argv[1]), sys.argv[2:]
    logging.disable(logging.CRITICAL)
    for module in PRELOADED:
        importlib.import_module(module)
    for file in files:
        for module in iter_airflow_imports(file):
            importlib.import_module(module)
    gc.freeze()
    times: dict[str, list[float]] = {file: [] for file in files}
    for _ in range(rounds):
        for file in files:
            times[file].append(timed(file))
    print(json.dumps(times))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
