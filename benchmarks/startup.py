"""Time from the command to the first successful task: ``./lab up`` against stock ``airflow standalone``.

Usage: ``.venv/bin/python benchmarks/startup.py [--rounds N]``. Both start from nothing (no database), with the same
installed packages, in turn; each round prints both times and their ratio, and what is left running after the stop.
"""

from __future__ import annotations

import argparse
import statistics

from rivals import LabStack, Stack, Standalone, temporary_dag

DAG = """
from datetime import datetime
from airflow.sdk import DAG, task
start = datetime(2024, 1, 1)
with DAG(dag_id="first_task", start_date=start, schedule="@once", catchup=False, is_paused_upon_creation=False):
    @task
    def first():
        return "ran"
    first()
"""


def seconds_to_first_success(stack: Stack) -> tuple[float, int]:
    """Seconds until the DAG's only task has succeeded, and processes left after the stop."""
    with temporary_dag(stack, "first_task.py", DAG):
        stack.start()
        try:
            took = stack.until_success("first_task", seconds=240)
        finally:
            left = stack.stop()
    return took, left


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ratios = []
    print(f"{'round':<7}{'./lab up':>10}{'standalone':>12}{'ratio':>8}   processes left")
    for number in range(1, rounds + 1):
        ours, our_left = seconds_to_first_success(LabStack())
        theirs, their_left = seconds_to_first_success(Standalone())
        ratios.append(ours / theirs)
        print(f"{number:<7}{ours:>9.1f}s{theirs:>11.1f}s{ratios[-1]:>8.2f}   {our_left} / {their_left}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
