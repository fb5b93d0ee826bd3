"""# 106.5.5 Backpressure runbook

**Purpose.** Document response procedures: a program carries out `backpressure_runbook.md`, which lies beside this
file.

**What to watch.** Orders come to a pool of eight slots, and ordinary business gives the runbook its figures. Then
seven slots are taken away. The responder sees the queue, shuts the intake, pages the engineer on call and then the
team lead, gives the slots back, and opens the intake. Runbook and review are kept in `.lab/airflow/artifacts/`.

**Expected behaviour.** Documented response plan. In scenario `stale` its figure is ten times too high.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.arrivals import arrive_while_open, drop
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.response import actions, answer, pages, resizes, waiting
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import depth
from backpressure.measures.incidents import came_between, review, witnessed
from backpressure.measures.planning import crossing
from backpressure.measures.samples import reading
from backpressure.runbook import carry_out, done_at, listed, parse

ORDER = "106_05_05_backpressure_runbook__order"
POOL, INTAKE, SLOTS, LEFT = "runbook_orders", "runbook_intake", 8, 1
TEMPLATE = Path(__file__).with_name("backpressure_runbook.md")
EVERY, SECONDS, WATCHED, MARGIN = 1.5, 3.0, 8.0, 5  # s between orders, of an order, of ordinary business; orders

with DAG(dag_id="106_05_05_backpressure_runbook__order", schedule=None, max_active_runs=64):

    @task(pool=POOL)
    def order() -> None:
        """Work on an order."""
        time.sleep(SECONDS)

    order()

with DAG(
    dag_id="106_05_05_backpressure_runbook",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "intermediate", "success"],
    params={"scenario": Param("current", enum=["current", "stale"])},
):

    @task(**CONTROL)
    def take_orders() -> None:
        """Take orders while the intake is open, until the response is over."""
        print("made", *((run := Run.current()).create_pool(*pool) for pool in ((POOL, SLOTS), (INTAKE, 1))))
        arrive_while_open(run, ORDER, INTAKE, every=EVERY, until=lambda: run.over("respond"), seconds=240)
        drop(run, ORDER)

    @task(**CONTROL)
    def write_runbook() -> dict[str, Any]:
        """Watch ordinary business, and put its figures into the runbook."""
        run = Run.current()
        run.wait_for(lambda: run.arrived(POOL, helper=ORDER), seconds=120)
        usual = max(run.sample(lambda: waiting(run, POOL), until=lambda: False, seconds=WATCHED))
        alarm = (usual + MARGIN) * (10 if run.scenario == "stale" else 1)
        text = TEMPLATE.read_text().format(pool=POOL, intake=INTAKE, slots=SLOTS, usual=usual, alarm=alarm)
        print("the runbook is in", keep(f"{run.dag_id}.{run.scenario}.md", text))
        return {"text": text, "usual": usual}

    @task(**CONTROL)
    def incident() -> float:
        """Take slots away at a moment that nobody knows, and be the team lead who answers a page."""
        time.sleep(0.5 + time.time() % 1.5)
        (run := Run.current()).resize_pool(POOL, LEFT)
        began = time.time()
        answer(run, Upstream(run.run_id), "team-lead", until=lambda: run.over("respond"), seconds=180)
        return began

    # [respond]
    @task(**CONTROL)
    def respond(text: str) -> list[dict[str, Any]]:
        """Carry out the runbook, step by step, and write down what was done when."""
        known = actions(run := Run.current(), POOL, Upstream(run.run_id))
        return [taken.to_dict() for taken in carry_out(parse(text, known), known)]
        # [/respond]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the responder wrote down with what Airflow, the upstream and the task instances recorded."""
        written, began, taken = (run.result(task_id) for task_id in ("write_runbook", "incident", "respond"))
        orders, paged = run.helpers(ORDER), pages(Upstream(run.run_id))
        seen, closed, mended = (done_at(taken, step) for step in ("watch", f"size {INTAKE} 0", "recovered"))
        phases = {
            "onset": (began, resizes(run, POOL, LEFT, began - 10)),
            "detection": (seen, [crossing(orders, written["usual"] + MARGIN, began, "orders").at]),
            "immediate action": (closed, shut := resizes(run, INTAKE, 0, began)),
            "escalation": (done_at(taken, "page team-lead"), [at for at, whom in paged if whom == "team-lead"]),
            "recovery": (done_at(taken, f"size {POOL}"), resizes(run, POOL, SLOTS, began)),
        }
        print("the review is in", keep(f"{run.dag_id}.{run.scenario}.review.md", review(POOL, phases)))
        found = reading(taken[0]["then"], "what followed the watch", "responder's log") == "next step"
        found &= reading(taken[0]["ended"] - began, "from the onset to its end", "the same", unit="s") <= 45
        yield finding("Detection steps", "the queue is seen within the time that the runbook allows", found)
        stopped = reading(len(shut), "times that the intake was shut", "event log") == 1
        stopped &= came_between(run.runs(ORDER), closed, mended, "orders") <= 1  # which was on its way
        yield finding("Immediate actions", "the intake is shut, and at most what was on its way comes", stopped)
        reached = reading(tuple(whom for _, whom in paged), "paged", "upstream log") == listed(written["text"], "page")
        yield finding("Escalation paths", "those are paged whom the runbook lists, in its order", reached)
        back = reading(run.pool(POOL).slots, "slots read back", "pools over REST") == SLOTS
        back &= depth(orders, "orders", at=mended or taken[-1]["ended"]) <= written["usual"] + 1
        yield finding("Recovery procedures", "the slots are back, and the queue is what it usually is", back)
        yield finding("Post-incident review", "another record confirms each phase", witnessed(phases, within=5.0) == 1)

    written = write_runbook()
    [take_orders(), written >> incident(), respond(written["text"])] >> judge()
