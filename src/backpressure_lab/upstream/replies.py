"""What the simulated API answers: headers, payloads, jobs and notifications."""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure_lab.upstream.quota import Verdict
    from backpressure_lab.upstream.settings import Settings

MAX_JOBS = 10_000
MAX_NOTES = 5_000
MAX_NOTE_BYTES = 16_384


@lru_cache(maxsize=4096)
def digest(*parts: object) -> str:
    """Return the SHA-256 of the parts, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def payload(lane: str, path: str, settings: Settings) -> dict[str, Any]:
    """Return the data at a path: the same for the same lane, path and revision, whenever it is fetched."""
    revision = settings.revision
    return {"lane": lane, "path": path, "revision": revision, "digest": digest(lane, path, revision)}


def padded(body: dict[str, Any], size: int) -> bytes:
    """Return the body as JSON of at least ``size`` bytes, filled up by a member ``padding``."""
    text = json.dumps(body).encode()
    empty = len(text) + len(', "padding": ""')
    if size <= empty:
        return text
    return text[:-1] + b', "padding": "' + b"x" * (size - empty) + b'"}'


def freshness(settings: Settings, now: float) -> dict[str, str]:
    """Return the headers that say how long a reply may be kept."""
    if settings.max_age is None:
        return {}
    return {
        "Cache-Control": f"max-age={settings.max_age}",
        "Expires": formatdate(now + settings.max_age, usegmt=True),
    }


def quota_headers(verdict: Verdict | None, now: float) -> dict[str, str]:
    """Return RateLimit, RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) and the X-RateLimit-* in wide use.

    The X- headers speak of the policy with the least room; their reset is an epoch second.
    """
    if verdict is None or not verdict.allowances:
        return {}
    tightest = min(verdict.allowances, key=lambda allowance: (allowance.remaining, -allowance.reset))
    return {
        "RateLimit-Policy": ", ".join(
            f'"{a.policy}";q={a.limit}' + (f";w={a.period:.0f}" if a.period == int(a.period) else "")
            for a in verdict.allowances
        ),
        "RateLimit": ", ".join(f'"{a.policy}";r={a.remaining};t={math.ceil(a.reset)}' for a in verdict.allowances),
        "X-RateLimit-Limit": str(tightest.limit),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(math.ceil(now + tightest.reset)),
    }


def retry_after_header(seconds: float, form: Literal["seconds", "date"], now: float) -> tuple[str, float]:
    """Return the header's text, rounded up to what its form can say, and the seconds that it means."""
    if form == "date":
        instant = math.ceil(now + seconds)
        return formatdate(instant, usegmt=True), instant - now
    return str(math.ceil(seconds)), float(math.ceil(seconds))


@dataclass(frozen=True, slots=True)
class Job:
    """Work that takes a while and is asked after; its result depends on its name alone."""

    id: str
    lane: str
    name: str
    seconds: float
    submitted_at: float

    def view(self, now: float) -> dict[str, Any]:
        """Return what a client sees of it now."""
        remaining = self.submitted_at + self.seconds - now
        done = remaining <= 0
        return asdict(self) | {
            "state": "done" if done else "running",
            "remaining": max(remaining, 0.0),
            "result": {"name": self.name, "digest": digest("job", self.name)} if done else None,
        }


class Jobs:
    """Submitted jobs; beyond MAX_JOBS the oldest is forgotten."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._last = 0

    def submit(self, lane: str, name: str, seconds: float, now: float) -> Job:
        """Start a job."""
        self._last += 1
        job = Job(str(self._last), lane, name, seconds, now)
        self._jobs[job.id] = job
        if len(self._jobs) > MAX_JOBS:
            self._jobs.popitem(last=False)
        return job

    def find(self, lane: str, job_id: str) -> Job | None:
        """Return a lane's job, or None."""
        job = self._jobs.get(job_id)
        return job if job and job.lane == lane else None


@dataclass(frozen=True, slots=True)
class Note:
    """A message that was delivered to a lane's /notify."""

    id: int
    lane: str
    at: float
    body: Any


class Notes:
    """Delivered messages; beyond MAX_NOTES the oldest is forgotten."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque(maxlen=MAX_NOTES)
        self._last = 0

    def add(self, lane: str, body: bytes, now: float) -> Note:
        """Keep a message, as JSON if it is, as text otherwise."""
        text = body.decode("utf-8", "replace")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = text
        self._last += 1
        note = Note(self._last, lane, now, content)
        self._notes.append(note)
        return note

    def read(self, lane: str, since: float, until: float) -> Iterator[dict[str, Any]]:
        """Return a lane's messages that arrived in [since, until)."""
        return (asdict(note) for note in self._notes if note.lane == lane and since <= note.at < until)
