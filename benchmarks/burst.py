"""100 mapped tasks at once: how many succeed, and how fast, on the lab, on bare components, and on stock standalone.

Usage: ``.venv/bin/python benchmarks/burst.py [--tasks N] [--seconds S]``. The bare components are Airflow's own
commands on the same PostgreSQL with the same parallelism, without the lab's supervisor, nursery and other settings.
"""

from __future__ import annotations

import argparse

from rivals import BareComponents, LabStack, Stack, Standalone, temporary_dag

DAG = """
from datetime import datetime
import time
from airflow.sdk import DAG, task
with DAG(dag_id="burst", schedule=None, max_active_tasks=1000, is_paused_upon_creation=False):
    @task
    def work(number):
        time.sleep(0.1)
    work.expand(number=list(range({tasks})))
"""


def burst(stack: Stack, tasks: int, seconds: float) -> tuple[int, int, float]:
    """Tasks that succeeded and failed, and successes a second from the trigger to the last end."""
    with temporary_dag(stack, "burst.py", DAG.replace("{tasks}", str(tasks))):
        stack.start()
        try:
            return stack.burst("burst", seconds)
        finally:
            stack.stop()


def main() -> None:
    """Run each stack once and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=160)
    options = parser.parse_args()
    rates = {}
    print(f"{'stack':<18}{'succeeded':>11}{'failed':>8}{'per second':>12}")
    for stack in (LabStack(), BareComponents(), Standalone()):
        good, bad, rates[stack.name] = burst(stack, options.tasks, options.seconds)
        print(f"{stack.name:<18}{good:>7}/{options.tasks}{bad:>8}{rates[stack.name]:>12.2f}", flush=True)
    print(f"lab / bare components: {rates['lab'] / rates['bare components']:.2f}")


if __name__ == "__main__":
    main()
