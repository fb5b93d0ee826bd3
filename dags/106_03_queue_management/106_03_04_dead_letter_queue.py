"""# 106.3.4 Dead letter queue patterns

**Purpose.** Handle persistent failures: set aside what cannot be delivered, let a person decide, and deliver again.

**What to watch.** Of ten messages the database refuses two, and a third gets no answer within its time. What fails
for good becomes a dead letter; `review` waits for a person and holds no slot; what is approved is delivered after all.

**Expected behaviour.** Failed task handling. In scenario `dropped` nobody sets anything aside: three messages are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.ledger import Ledger
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count, duration
from backpressure.measures.samples import most, reading

BAD = {"comma": "12,50", "word": "twelve", "slow": "12"}
MESSAGES = [*BAD.items(), *((f"good-{number}", "12") for number in range(7))]
HANG, REVIEWS, APPROVED = 40.0, "dead_letter_reviews", ("comma", "slow")

with DAG(
    dag_id="106_03_04_dead_letter_queue",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "patterns", "advanced", "success"],
    params={"scenario": Param("dlq", enum=["dlq", "dropped"])},
):

    @task(**CONTROL)
    def prepare() -> None:
        """Make the tables and the reviews' pool; to one message the partner will not answer."""
        Ledger((run := Run.current()).run_id).create()
        run.create_pool(REVIEWS, 1)
        Upstream(run.run_id).configure(hang_first=2, hang_seconds=HANG, fault_keys=["slow"])

    @task(execution_timeout=timedelta(seconds=8), retries=1, retry_delay=timedelta(), max_active_tis_per_dagrun=4)
    def deliver(message: list[str]) -> None:
        """Ask the partner, and enter the amount."""
        run, (name, body) = Run.current(), message
        Upstream(run.run_id, timeout=HANG).call(key=name)
        Ledger(run.run_id).deliver(name, body)

    # [set_aside]
    @task.short_circuit(trigger_rule="all_done", ignore_downstream_trigger_rules=False, **CONTROL)
    def set_aside() -> int:
        """Make dead letters of what has failed for good; by its state, since not every end calls a callback."""
        run, ledger = Run.current(), Ledger(Run.current().run_id)
        for record in run.failed("deliver") if run.scenario == "dlq" else ():
            ledger.set_aside(*MESSAGES[record["map_index"]], f"failed {record['try_number']} times")
        return len(ledger.letters())  # without letters there is nothing to review
        # [/set_aside]

    question = {"subject": "Deliver which?", "options": list(BAD), "response_timeout": timedelta(minutes=2)}
    review = HITLOperator(task_id="review", multiple=True, pool=REVIEWS, **question)

    @task(**CONTROL)
    def person() -> list[dict[str, float]]:
        """Look for a while at the task that waits for an answer, and answer."""
        return Run.current().answer("review", *APPROVED, pool=REVIEWS)

    @task(**CONTROL)
    def decide(answer: dict[str, list[str]]) -> list[list[str]]:
        """Write down what was decided, and repair what is approved."""
        run = Run.current()
        approved = Ledger(run.run_id).decide(answer["chosen_options"], run.answered_by("review") or "")
        return [[name, BAD[name].partition(",")[0]] for name in approved]

    @task(trigger_rule="all_done", **CONTROL)
    def clean_up() -> dict[str, int]:
        """Remove the letters that were delivered after all, and count what is where."""
        ledger = Ledger(Run.current().run_id)
        return {"removed": len(ledger.clean()), "left": len(ledger.letters()), "delivered": len(ledger.delivered())}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the tables with the states of the tasks and with what was decided."""
        samples, slow = run.result("person") or [], run.tries("deliver", list(BAD).index("slow"))
        stock, keys = run.result("clean_up"), ("removed", "left", "delivered")
        removed, left, delivered = (reading(stock[key], key, "PostgreSQL") for key in keys)
        tasks, again = run.tasks("deliver"), count(run.tasks("replay"), "success")
        yield finding(
            "Identify stuck tasks",
            "the call without an answer is cut off long before the partner hangs up, and no message is out of sight",
            (duration(slow, "max") < HANG / 2) & (delivered + left == count(tasks)),
        )
        yield finding(
            "Move to dead letter queue",
            "as many messages became dead letters as tasks failed for good",
            removed + left == count(tasks, "failed"),
        )
        yield finding(
            "Manual review process",
            "a person answers, and until then the task that waits for it takes no slot",
            (reading(run.answered_by("review") or "nobody", "who answered", "Airflow") != "nobody")
            & (most(samples, "occupied", "slots of the waiting review") == 0),
        )
        yield finding(
            "Retry from DLQ",
            "what was approved, and nothing else, is delivered after all",
            (delivered - count(tasks, "success") == len(APPROVED)) & (again == len(APPROVED)),
        )
        yield finding(
            "DLQ cleanup",
            "the letters that were delivered are gone, the rejected one is still there",
            (removed == len(APPROVED)) & (left == count(tasks, "failed") - again),
        )

    replayed = deliver.override(task_id="replay", retries=0).expand(message=decide(review.output))
    prepare() >> deliver.expand(message=MESSAGES) >> set_aside() >> [review, (answered := person())]
    replayed >> clean_up() >> judge() << answered
