"""# 106.4.4 Fallback task implementations

**Purpose.** Alternative task paths: a report needs three sources of a partner, and two of them fail from the start.

**What to watch.** Where `fetch` fails, `last_good` runs and serves the rows that were kept, marked as stale; where it
succeeds, `last_good` is skipped. `choose` takes whichever there is. While any breaker is open, the `extras`, which the
report can do without, are skipped. `announce` says once what is stale, and then `publish` runs.

**Expected behaviour.** Continued operation: the report is complete and says what in it is old. In `none` there is none.
"""

from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.breaker import CircuitBreaker, LastGood
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.degraded import Report

PARTNER, PAGES, OLDEST = Upstream("fallback_tasks"), 5, 120.0
SOURCES, BROKEN = ("orders", "prices", "stock"), ("orders", "prices")
BREAKERS = {name: CircuitBreaker(f"fallback_tasks.{name}", storage(), failure_threshold=1) for name in SOURCES}
KEPT, STRICT = ({name: LastGood(BREAKERS[name], max_age=age) for name in SOURCES} for age in (OLDEST, 0.01))
TAGS = ["reference", "patterns", "intermediate", "success"]
PARAMS = {"scenario": Param("fallback", enum=["fallback", "none"])}


def load(source: str) -> list[str]:
    """All pages of a source, or an exception."""
    return [PARTNER.call(f"{source}/{page}", key=source).data["digest"][:8] for page in range(PAGES)]


with DAG(dag_id="106_04_04_fallback_tasks", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict:
        """Let the partner be well until its rows are kept, and then let it break."""
        since, rows = PARTNER.begin(service_time=0.02), {}
        for source in SOURCES:
            BREAKERS[source].reset()
            rows[source] = KEPT[source].call(source, load, source).value
        PARTNER.configure(error=1.0, error_status=503, fault_keys=BROKEN)
        return {"since": since, "broke": PARTNER.time(), "rows": rows}

    @task(retries=2, retry_delay=0)
    def fetch(source: str) -> dict:
        """The rows of now; when the partner fails, so does the task, and at once while the breaker is open."""
        return {"value": BREAKERS[source].call(load, source), "stale": False}

    # [fallback]
    @task.skip_if(lambda context: context["params"]["scenario"] == "none")
    @task(trigger_rule="one_failed")
    def last_good(source: str) -> dict:
        """The rows that were kept, marked as stale, if they are young enough."""
        return KEPT[source].kept(source)._asdict() | {"refused_if_older": STRICT[source].kept(source) is None}

    # [/fallback]
    @task(trigger_rule="one_success")
    def choose(fresh: dict | None, kept: dict | None) -> dict | None:
        """Whichever there is."""
        return fresh or kept

    @task.skip_if(lambda _: any(breaker.state != "closed" for breaker in BREAKERS.values()), "degraded")
    @task
    def extras(name: str) -> None:
        """What the report can do without."""
        PARTNER.call(name, key="extras")

    @task
    def announce(chosen: list[dict]) -> None:
        """Tell people what is stale."""
        PARTNER.notify([source for source, rows in zip(SOURCES, chosen, strict=True) if rows["stale"]])

    @task(trigger_rule="none_failed")
    def publish(chosen: list[dict]) -> dict:
        """The report."""
        return dict(zip(SOURCES, chosen, strict=True))

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what ran, what the partner saw and what came out with the report of a healthy partner."""
        report = Report.of(PARTNER, run.tasks(), run.result("prepare"), run.result("publish"), BROKEN)
        yield finding(
            "Define fallback logic",
            "each source that fails has its fallback, which runs; that of the healthy source does not",
            (report.ended("failed", "fetch_") == BROKEN) & (report.ended("success", "last_good_") == BROKEN),
        )
        yield finding(
            "Degraded mode operations",
            "the report has all its rows, and the broken sources are asked less than half as often as in health",
            (report.complete() == 1) & (report.asked() < 0.5),
        )
        yield finding(
            "Skip non-critical tasks",
            "what the report needs succeeds, and what it can do without is skipped",
            (report.ended("success", "choose_") == SOURCES) & (count(run.tasks("extras"), "skipped") == 3),
        )
        yield finding(
            "Cached result usage",
            "what is served instead is what the partner last sent, marked as stale; what is too old is not served",
            (report.stale() == BROKEN) & (report.as_sent() == 1) & (report.guarded() == 1),
        )
        yield finding(
            "Notification of degradation",
            "people are told once what is stale, before the report is published",
            (report.told() == BROKEN) & (report.told_before("publish") == 1),
        )

    prepared, chosen = prepare(), []
    for source in SOURCES:
        fresh = fetch.override(task_id=f"fetch_{source}")(source)
        kept = last_good.override(task_id=f"last_good_{source}")(source)
        prepared >> fresh >> kept
        chosen.append(choose.override(task_id=f"choose_{source}")(fresh, kept))
    chosen >> (spared := extras.expand(name=["reviews", "weather", "offers"]))
    [announce(chosen), spared] >> publish(chosen) >> judge()
