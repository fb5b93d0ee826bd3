"""# 14.09 The priority calculation

**Purpose.** Compute the weights of a diamond: `a >> [b, c] >> d` with weights 1, 2, 3 and 1, under the default rule,
`downstream`.

**What to watch.** A widespread example gives A the weight 8, since it adds D once for each path: 1 + (2+1) + (3+1). The
scheduler adds every task that follows once: 1 + 2 + 3 + 1 = 7. With one slot the order is A, C, B, D: both branches are
ready together, the heavier goes first, and D waits for both.

**Expected behaviour.** The scheduler's own numbers are those of the calculation.

**Scenario `tree`.** D is two tasks, one below each branch. Only then is A 8: there are as many tasks as paths.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import queue_order
from backpressure.measures.samples import reading
from backpressure.weights import by_path, effective_weights

LESSON = "14_09_priority_calculation"
POOL = "priority_calculation"


@task(pool=POOL)
def work() -> None:
    """A little of something."""
    time.sleep(0.3)


def weighing(name: str, weight: int) -> Any:
    """A task of that name and weight."""
    return work.override(task_id=name, priority_weight=weight)()


# [diamond]
with DAG(dag_id=f"{LESSON}__diamond", schedule=None):
    weighing("a", 1) >> [weighing("b", 2), weighing("c", 3)] >> weighing("d", 1)
# [/diamond]
# [tree]
with DAG(dag_id=f"{LESSON}__tree", schedule=None):
    a, b, c = weighing("a", 1), weighing("b", 2), weighing("c", 3)
    a >> b >> weighing("d_of_b", 1)
    a >> c >> weighing("d_of_c", 1)
# [/tree]

with DAG(
    dag_id="14_09_priority_calculation",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["module-14", "priority", "success"],
    params={"scenario": Param("diamond", enum=["diamond", "tree"])},
):

    @task(**CONTROL)
    def conduct() -> None:
        """Make a pool of one slot, and see the graph through."""
        run = Run.current()
        run.create_pool(POOL, 1)
        run.trigger(helper := f"{LESSON}__{run.scenario}", "graph")
        run.wait_for(lambda: run.helper_runs_over(helper), seconds=120)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the task instances' weights with the calculation, and the order with the weights."""
        helper = f"{LESSON}__{run.scenario}"
        work, graph = run.helpers(helper), run.api.get(f"/dags/{helper}/tasks")["tasks"]
        weight = dict(zip(work.names(), work.priority_weight.tolist(), strict=True))
        found = reading(tuple(weight[name] for name in sorted(weight)) or None, "weights, by name", "task instances")
        yield finding(
            "The diamond's weights are 7, 3, 4 and 1",
            "A counts all four tasks, B and C count themselves and D, and D counts itself",
            found == (1 + 2 + 3 + 1, 2 + 1, 3 + 1, 1),
        )
        first = reading(weight.get("a"), "weight of a", "task instances")
        once = reading(effective_weights(graph)["a"], "sum of all tasks", "the DAG over REST")
        paths = reading(by_path(graph)["a"], "sum along the paths", "the DAG over REST")
        yield finding(
            "A task that two paths reach counts once",
            "A's weight is the sum of the tasks that follow, and less than the sum along the paths",
            (first == once) & (first < paths),
        )
        yield finding(
            "The order that results is A, C, B, D",
            "of two branches that are ready together the heavier goes first, and D after both",
            queue_order(work) == ("a", "c", "b", "d"),
        )

    conduct() >> judge()
