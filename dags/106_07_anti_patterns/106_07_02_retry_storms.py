"""# 106.7.2 Aggressive retry storms

**Purpose.** Avoid retry amplification: a partner that has gone down gets up once it has been left alone for seven
seconds. Eight tasks, which it refused, have three retries each.

**What to watch.** The partner freezes until all eight wait, and then refuses them in the same instant. They come back
together a second later, and again, and again: that is what keeps the partner down, for a `bystander`, too, who only
calls twice a second. It gets up when all have used up their retries.

**Expected behaviour.** Safe retry patterns learned. By default the run fails. In `fixed` the same tasks with the same
number of retries wait as long as the partner says, and for a random time on top: all of them succeed.
"""

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.retry_policy import BackoffRetryPolicy
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.storms import herd, retry_growth, retry_span, retry_wait
from backpressure.measures.upstream import arrivals, honoured, requests
from backpressure.retry import Backoff

CALLERS, EVERY = 8, 0.5  # tasks that call, s between two calls of the bystander
REST, RETRY_AFTER, IN_STEP = 7.0, 10.0, 4.0  # s of peace that the partner needs, that it asks for, and of "together"
# [retries]
RETRIES, DELAY, SPREAD = 3, 1.0, 12.0
IMPATIENT = {"retries": RETRIES, "retry_delay": timedelta(seconds=DELAY)}
# Full jitter: from 0 to SPREAD seconds, on top of what the partner's Retry-After says.
PATIENT = IMPATIENT | {"retry_policy": BackoffRetryPolicy(backoff=Backoff(base=SPREAD, limit=SPREAD))}
# [/retries]
PARTNER, KEYS = Upstream("retry_storms", timeout=60.0), [f"caller-{number}" for number in range(CALLERS)]
TAGS = ["reference", "anti-pattern", "intermediate", "failure"]
PARAMS = {"scenario": Param("broken", enum=["broken", "fixed"])}

with DAG(dag_id="106_07_02_retry_storms", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """A partner that takes every call and answers none."""
        return PARTNER.begin(capacity=0, queue_limit=None, retry_after=RETRY_AFTER)

    @task(**CONTROL)
    def plan(scenario: str) -> list[str]:
        """The callers of one scenario; none in the other."""
        return KEYS if Run.current().scenario == scenario else []

    # [call]
    @task(weight_rule="absolute")
    def call_partner(key: str) -> None:
        """One call; when it is refused the task fails, and the rest is up to its retries."""
        PARTNER.call(key=key, request_id=f"try-{get_current_context()['ti'].try_number}")

    # [/call]
    @task(**CONTROL)
    def partner() -> dict[str, float]:
        """Go down when everybody waits, and get up when no caller has come for a while; returns when that was."""
        run = Run.current()
        run.wait_for(lambda: PARTNER.state()["waiting"] == CALLERS + 1, seconds=90)
        PARTNER.configure(outage=True, capacity=20)
        down = PARTNER.time()

        def in_peace() -> bool:
            since = PARTNER.time() - REST
            return since > down and not len(PARTNER.log(since=since).select(key=KEYS))

        run.wait_for(in_peace, seconds=120)
        PARTNER.configure(outage=False)
        return {"down": down, "up": PARTNER.time()}

    @task(**CONTROL)
    def bystander() -> None:
        """Somebody else who needs the partner, and bears it that he is refused."""
        run = Run.current()
        run.sample(lambda: PARTNER.call(key="bystander", check=False), lambda: run.over("partner"), 240, EVERY)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare when tries were scheduled, and what the partner saw, with what it asked for and could bear."""
        log, tries = PARTNER.log(since=run.result("prepare")), run.every_try("call_impatient", "call_patient")
        callers, others = log.select(key=KEYS), log.select(key="bystander")
        yield finding(
            "Retry without backoff",
            "callers come back sooner than the partner asks them to, and do not double their waits",
            (retry_wait(tries, "callers") < RETRY_AFTER) & (retry_growth(tries, "callers") < 2 ** (RETRIES - 1)),
        )
        together = retry_span(tries, 1, "callers")
        yield finding("Synchronized retries", "refused together, they all come back together", together <= IN_STEP)
        refused = callers.select(status=503)
        again = refused.select(request_id=[f"try-{number}" for number in range(2, RETRIES + 2)])
        yield finding(
            "Thundering herd",
            "within the time for which the partner needs peace, as many retries come as there are callers",
            herd(callers, again, REST, f"retries refused within {REST:g} s") >= CALLERS,
        )
        yield finding(
            "External system impact",
            "every caller is refused three times or more, and the bystander longer than the partner's rest takes",
            ((requests(refused, "refusals") / CALLERS).named("refusals of each caller") >= RETRIES)
            & (requests(others, "calls of the bystander refused", status=503) >= 1.25 * REST / EVERY),
        )
        done = count(run.tasks("call_impatient", "call_patient"), "success", "callers") == CALLERS
        patient = honoured(callers, "waits as told", by="key", status=503) == 1
        calm = arrivals(callers, REST, f"calls of callers within {REST:g} s") <= CALLERS
        yield finding(
            "Jitter and backoff fix",
            "callers come back apart from each other, none sooner than the partner says, and all succeed",
            calm & (together > IN_STEP) & patient & done,
        )

    prepared = prepare()
    planned = [plan.override(task_id=f"plan_{scenario}")(scenario) for scenario in ("broken", "fixed")]
    impatient = call_partner.override(task_id="call_impatient", **IMPATIENT).expand(key=planned[0])
    patient = call_partner.override(task_id="call_patient", **PATIENT).expand(key=planned[1])
    prepared >> [*planned, broken_down := partner(), beside := bystander()]
    [impatient, patient, broken_down, beside] >> judge()
