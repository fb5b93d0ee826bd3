"""# 106.9.2 External API rate limits

**Purpose.** Respect API throttling: sixty requests for a partner who grants each of two keys 12 calls in two seconds.

**What to watch.** `learn` reads the limit from the headers of a call. Four callers take the key with most left of its
day (24), wait for its permit, and call. The partner has an outage: who is refused waits as told, and longer the second
time. When both keys' day is used up, what is left goes into a queue, which is drained the day after.

**Expected behaviour.** API limits respected, and no request lost. In `ignorant` each is tried thrice with one key.
"""

import random
import time
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.connection import storage
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.limiter import KeyRotation, Quota, Rate, RateLimiter
from backpressure.limiter.headers import read
from backpressure.measures.samples import reading
from backpressure.measures.upstream import arrivals, booked, growing, honoured, noticed, past_quota, served, throughput
from backpressure.shedding import ShedLog

LESSON = "106_09_02_api_rate_limits"
PARTNER, KEYS, TRIAL = Upstream("api_rate_limits"), ["api_limits.one", "api_limits.two"], "api_limits.trial"
CALLERS, EACH, TRIES, OUTAGE, DAILY, PERIOD = 4, 15, 3, 2.5, 24, 2.0
GRANTED = {"limit": 12, "period": PERIOD, "daily": DAILY}  # what the partner grants a key
TAGS = ["reference", "real-world", "intermediate", "success"]
PARAMS = {"scenario": Param("respectful", enum=["respectful", "ignorant"])}
BURST, SPARE = 2, 2  # calls at once after a pause, and calls in each period that may come late
DAYS = KeyRotation([RateLimiter(key, Quota(DAILY, "day"), storage()) for key in KEYS])


# [call]
def call(name: str, rate: list[float], noted: list) -> str | None:
    """Call with the key that has most left today, at its rate, until it is done; None when no key has any left."""
    if not (key := DAYS.try_acquire()):
        return None
    pace, patience = RateLimiter(key.name, Rate(*rate, BURST), storage()), 1
    while True:
        pace.acquire(timeout=60)
        if (reply := PARTNER.call(key=key.name, request_id=name, check=False)).ok:
            return key.name
        noted.append([name, reply.retry_after])
        time.sleep(reply.retry_after * patience + random.uniform(0, 0.5))  # noqa: S311 - so that not all come back at once
        patience *= 3
        # [/call]


with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def learn() -> dict:
        """Learn the rate from the headers of a call, and provoke one refusal, both with a key for trials."""
        since = PARTNER.begin(quotas=dict.fromkeys((TRIAL, *KEYS), GRANTED), service_time=0.02, retry_after=1.0)
        said = read(PARTNER.call(key=TRIAL).headers, time.time())
        rate = [said.quota - BURST - SPARE, said.window]
        for limiter in (DAYS, *(RateLimiter(key, Rate(*rate, BURST), storage()) for key in KEYS)):
            limiter.reset()
        while (reply := PARTNER.call(key=TRIAL, request_id="provoked", check=False)).ok:
            pass
        return {"since": since, "quota": said.quota, "rate": rate, "noted": [["provoked", reply.retry_after]]}

    @task
    def caller(number: int, learned: dict) -> dict[str, list]:
        """Make a quarter of the requests; those that the day has no room for go into the queue."""
        run, noted, books = Run.current(), [], []
        for name in (f"{number}-{one}" for one in range(EACH)):
            if run.scenario == "ignorant":
                any(PARTNER.call(key=KEYS[0], request_id=name, check=False).ok for _ in range(TRIES))
            elif key := call(name, learned["rate"], noted):
                books.append(key)
            else:
                ShedLog(run.run_id, storage()).record(name, reason="no key has any call left today")
        return {"noted": noted, "booked": books}

    @task(**CONTROL)
    def trouble(learned: dict) -> float:
        """Let the partner have an outage in the middle of the work."""
        run, since = Run.current(), learned["since"]
        run.wait_for(lambda: PARTNER.log(since, key=KEYS[0]).count() >= 12 or run.over("caller"), seconds=60)
        return PARTNER.schedule([{"at": 0.0, "for": OUTAGE, "set": {"outage": True}}])[0]

    @task(**CONTROL)
    def drain(learned: dict) -> dict[str, float]:
        """Let a new day begin, for the partner and for us, and do what is in the queue."""
        midnight, queue = PARTNER.time(), ShedLog(Run.current().run_id, storage())
        PARTNER.configure(quotas=dict.fromkeys(KEYS, GRANTED | {"daily": 2 * DAILY}))
        DAYS.reset()
        return {"midnight": midnight, "drained": queue.replay(lambda item: call(item.key, learned["rate"], []))}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the callers noted, booked and queued with the partner's own log, and its settings."""
        learned, queue, callers = run.result("learn"), run.result("drain"), run.results("caller")
        log, limit = PARTNER.log(since=learned["since"]), PARTNER.state()["settings"]["quotas"][KEYS[0]]["limit"]
        noted, books = ([one for caller in callers for one in caller[name]] for name in ("noted", "booked"))
        work = log.select(key=KEYS)
        today, calm = work.select(until=queue["midnight"]), work.select(until=run.result("trouble"))
        learnt = reading(learned["quota"], "limit in the headers", "headers") == limit
        learnt &= noticed(log, learned["noted"] + noted, "refusals noticed, with what they tell") == 1
        yield finding("Rate limit detection", "headers tell the limit, and refusals when to come back", learnt)
        queued = reading(queue["drained"], "drained", "queue") == CALLERS * EACH - served(today, "served that day")
        queued &= served(work, "served in the end") == CALLERS * EACH
        yield finding("Request queuing", "what the day has no room for waits, and is done the day after", queued)
        waits = (honoured(work, "waits as told", status=(429, 503)) == 1) & (growing(work, "waits that grew") == 1)
        yield finding("Backoff implementation", "who is refused waits as told, and longer the second time", waits)
        tracked = (booked(today, books, "calls not booked") == 0) & (past_quota(today, DAILY, "calls past it") == 0)
        yield finding("Quota tracking", "our books are the partner's, key by key, and nobody calls past them", tracked)
        several = throughput(calm, "two keys") >= 1.4 * throughput(calm.select(key=KEYS[0]), "one key")
        for key in KEYS:
            several &= arrivals(work.select(key=key), PERIOD, f"most calls of {key}") <= limit
        yield finding("Multi-key strategies", "two keys do more than one, and each keeps to its own limit", several)

    calls = caller.partial(learned=(learned := learn())).expand(number=list(range(CALLERS)))
    [calls, trouble(learned)] >> drain(learned) >> judge()
