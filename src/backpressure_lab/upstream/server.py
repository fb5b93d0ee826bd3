"""The simulator behind HTTP: data plane for anybody, control and logs for the bearer of the token."""

from __future__ import annotations

import asyncio
import json
import math
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from backpressure_lab.upstream import journal, link, replies
from backpressure_lab.upstream.fields import FieldError, members, number
from backpressure_lab.upstream.journal import Journal, LaneLog
from backpressure_lab.upstream.lane import Decision, Lane, Outcome, Place, Ticket
from backpressure_lab.upstream.service import json_body, make_application, problem, protected, query_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from backpressure_lab.upstream.quota import Verdict
    from backpressure_lab.upstream.service import Clock

MAX_LANES = 2000
MAX_PAGE = 2_000
"""Rows of the log in one answer; making a longer one would keep other requests waiting."""
ANONYMOUS = "anonymous"
_NAME_LENGTH = 200
_JOB_SECONDS = number(0, 3600, unit=" s")
_AFTER = number(0, 2**63 - 1, whole=True)
_LIMIT = number(1, MAX_PAGE, whole=True)


class _Visit:
    """One request on its way through a lane, from arrival to the line in the log."""

    def __init__(self, lane: Lane, log: LaneLog, number: int, key: str, clock: Clock) -> None:
        self.lane = lane
        self.key = key
        self.verdict: Verdict | None = None
        self.ticket: Ticket | None = None
        self.status = journal.DISCONNECTED
        self.retry_after: float | None = None
        self.size = 0
        self._log = log
        self._number = number
        self._clock = clock
        self._turn = asyncio.Event()

    def decide(self, ask: Callable[[str, float, Callable[[], None]], Decision]) -> Decision:
        decision = ask(self.key, self._clock(), self._turn.set)
        self.verdict = decision.verdict
        self.ticket = decision.ticket
        return decision

    async def served(self) -> bool:
        """Wait for capacity and for the service to be done; False when refused meanwhile."""
        ticket = self.ticket
        assert ticket is not None
        if ticket.place is Place.WAITING:
            await self._turn.wait()
        if ticket.place is Place.REFUSED:
            return False
        self._log.start(self._number, ticket.started_at)
        left = ticket.started_at + ticket.service_time - self._clock()
        if left > 0:
            await asyncio.sleep(left)
        return True

    async def held(self, seconds: float, closing: asyncio.Event) -> None:
        """Hold the request without a reply, at most until the service stops."""
        self.status = journal.HUNG
        self._log.hang(self._number)
        try:
            async with asyncio.timeout(seconds):
                await closing.wait()
        except TimeoutError:
            self.status = journal.DISCONNECTED

    def end(self) -> None:
        now = self._clock()
        self._log.close(self._number, now, self.status, self.retry_after, self.size)
        self.lane.leave(self.ticket, now)


class Simulator:
    """The lanes, their log, jobs and notifications, and the handlers over them."""

    def __init__(self, clock: Clock, log_limit: int = 200_000) -> None:
        self._clock = clock
        self._started_at = clock()
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._journal = Journal(log_limit)
        self._jobs = replies.Jobs()
        self._notes = replies.Notes()
        self._closing = asyncio.Event()

    def application(self, token: str) -> web.Application:
        """Make the application with all routes."""
        app = make_application("upstream", self._clock)
        guard = protected(token)
        app.add_routes(
            [
                web.route("*", "/call/{lane}", self._call),
                web.route("*", "/call/{lane}/{path:.*}", self._call),
                web.post("/jobs/{lane}", self._submit_job),
                web.get("/jobs/{lane}/{job}", self._job),
                web.post("/notify/{lane}", self._notify),
                web.get("/notify/{lane}", guard(self._notifications)),
                web.get("/lanes", guard(self._list_lanes)),
                web.get("/lanes/{lane}", guard(self._show_lane)),
                web.patch("/lanes/{lane}", guard(self._configure)),
                web.put("/lanes/{lane}/schedule", guard(self._schedule)),
                web.delete("/lanes/{lane}", guard(self._reset)),
                web.get("/log", guard(self._log)),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    # Data plane

    async def _call(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info.get("path", "")

        def answer(visit: _Visit) -> web.Response:
            settings = visit.lane.settings
            body = replies.payload(visit.lane.name, path, settings)
            headers = replies.freshness(settings, self._clock())
            headers["ETag"] = f'"{body["digest"]}"'
            return _json(replies.padded(body, settings.body_size), headers=headers)

        return await self._visit(request, path, answer)

    async def _submit_job(self, request: web.Request) -> web.StreamResponse:
        body = members("job", await json_body(request), 'an object of "seconds" and, optionally, "name"')
        seconds = _JOB_SECONDS("seconds", body.get("seconds"))
        name = str(body.get("name", "job"))[:_NAME_LENGTH]

        def answer(visit: _Visit) -> web.Response:
            now = self._clock()
            return _json(self._jobs.submit(visit.lane.name, name, seconds, now).view(now), status=201)

        return await self._visit(request, "jobs", answer)

    async def _job(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job"]

        def answer(visit: _Visit) -> web.Response:
            job = self._jobs.find(visit.lane.name, job_id)
            if job is None:
                return problem(404, f"lane {visit.lane.name} has no job {job_id}; it was never submitted, or long ago")
            return _json(job.view(self._clock()))

        return await self._visit(request, f"jobs/{job_id}", answer)

    async def _notify(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > replies.MAX_NOTE_BYTES:
            return problem(413, f"a notification has at most {replies.MAX_NOTE_BYTES} bytes, this one has {len(body)}")
        note = self._notes.add(_lane_name(request), body, self._clock())
        return _json({"id": note.id, "at": note.at}, status=201)

    async def _visit(
        self, request: web.Request, path: str, answer: Callable[[_Visit], web.Response]
    ) -> web.StreamResponse:
        now = self._clock()
        key = request.headers.get("X-Api-Key", ANONYMOUS)[:_NAME_LENGTH]
        request_id = request.headers.get("X-Request-Id")
        lane = self._lane(_lane_name(request), now)
        log, number = self._journal.open(lane.name, key, path, request_id, now)
        visit = _Visit(lane, log, number, key, self._clock)
        try:
            decision = visit.decide(lane.arrive)
            if decision.outcome is Outcome.HANG:
                settings = lane.settings
                await visit.held(settings.hang_seconds, self._closing)
                if settings.hang_then == "drop":
                    visit.status = journal.HUNG
                    return _hang_up(request)
                decision = visit.decide(lane.resume)
            if decision.outcome is Outcome.DROP:
                visit.status = journal.DROPPED
                return _hang_up(request)
            if decision.outcome is Outcome.REFUSE:
                return self._refuse(visit, decision.status, decision.retry_after, decision.reason)
            assert visit.ticket is not None
            if not await visit.served():
                return self._refuse(visit, 503, visit.ticket.retry_after, "outage")
            if visit.ticket.fails:
                visit.status = lane.settings.error_status
                return problem(visit.status, f"lane {lane.name} failed on this request", reason="error")
            response = answer(visit)
            response.headers.update(replies.quota_headers(visit.verdict, self._clock()))
            if request_id is not None and request_id.isprintable():
                response.headers["X-Request-Id"] = request_id
            paced = lane.settings.link_rate is not None
            sent = await self._transmit(request, response, visit) if paced else _whole(response, visit)
            visit.status = response.status
            return sent
        finally:
            visit.end()
            self._arm(lane)

    async def _transmit(self, request: web.Request, whole: web.Response, visit: _Visit) -> web.StreamResponse:
        """Send the body at the pace of the lane's link."""
        body = whole.body
        assert isinstance(body, bytes)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(body)
        await response.prepare(request)
        through: float | None = None
        while visit.size < len(body):
            rate = visit.lane.settings.link_rate or math.inf
            chunk = body[visit.size : visit.size + link.chunk_size(rate)]
            now = self._clock()
            through = visit.lane.link.send(len(chunk), rate, now, through)
            if through > now:
                await asyncio.sleep(through - now)
            await response.write(chunk)
            visit.size += len(chunk)
        await response.write_eof()
        return response

    def _refuse(self, visit: _Visit, status: int, retry_after: float, reason: str) -> web.Response:
        now = self._clock()
        form = visit.lane.settings.retry_after_format
        text, visit.retry_after = replies.retry_after_header(max(retry_after, 0.0), form, now)
        visit.status = status
        response = problem(status, f"lane {visit.lane.name}: {reason}", reason=reason, retry_after=retry_after)
        response.headers["Retry-After"] = text
        response.headers.update(replies.quota_headers(visit.verdict, now))
        return response

    # Control and logs

    async def _list_lanes(self, _: web.Request) -> web.Response:
        now = self._clock()
        for lane in self._lanes.values():
            lane.advance(now)
        return _json({"now": now, "lanes": {name: _view(lane) for name, lane in self._lanes.items()}})

    async def _show_lane(self, request: web.Request) -> web.Response:
        since, until = _window(request)
        now = self._clock()
        lane = self._lane(_lane_name(request), now)
        lane.advance(now)
        changes = [asdict(change) for change in lane.weather.changes if since <= change.at < until]
        return _json({"now": now, **_view(lane), "changes": changes})

    async def _configure(self, request: web.Request) -> web.Response:
        changes = await json_body(request)
        now = self._clock()
        lane = self._lane(_lane_name(request), now)
        lane.configure(changes, now)
        self._arm(lane)
        return _json({"now": now, **_view(lane)})

    async def _schedule(self, request: web.Request) -> web.Response:
        entries = await json_body(request)
        now = self._clock()
        lane = self._lane(_lane_name(request), now)
        planned = lane.schedule(entries, now)
        self._arm(lane)
        return _json({"now": now, "schedule": [{"at": entry.at, "until": entry.until} for entry in planned]})

    async def _reset(self, request: web.Request) -> web.Response:
        now = self._clock()
        lane = self._lane(_lane_name(request), now)
        lane.reset(now)
        self._arm(lane)
        return _json({"now": now, **_view(lane)})

    async def _notifications(self, request: web.Request) -> web.Response:
        since, until = _window(request)
        notes = list(self._notes.read(_lane_name(request), since, until))
        return _json({"now": self._clock(), "notifications": notes})

    async def _log(self, request: web.Request) -> web.Response:
        since, until = _window(request)
        page = self._journal.read(
            lane=request.query.get("lane"),
            key=request.query.get("key"),
            since=since,
            until=until,
            after=_AFTER("after", query_number(request, "after", 0)),
            limit=_LIMIT("limit", query_number(request, "limit", MAX_PAGE)),
        )
        page["complete"] = page["complete"] and (since == -math.inf or since >= self._started_at)
        return _json({"now": self._clock(), "started_at": self._started_at, **page})

    def _lane(self, name: str, now: float) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, now)
            if len(self._lanes) > MAX_LANES:
                self._evict()
        else:
            self._lanes.move_to_end(name)
        return lane

    def _evict(self) -> None:
        oldest = next((name for name, lane in self._lanes.items() if lane.idle), None)
        if oldest is not None:
            del self._lanes[oldest]
            self._journal.forget_lane(oldest)
            if armed := self._timers.pop(oldest, None):
                armed[1].cancel()

    def _arm(self, lane: Lane) -> None:
        """See to it that a scheduled change reaches waiting requests at its time, even when nothing else happens."""
        change = lane.weather.next_change()
        armed, timer = self._timers.pop(lane.name, (None, None))
        if timer and armed != change:
            timer.cancel()
            timer = None
        if change is None:
            return

        def due() -> None:
            self._timers.pop(lane.name, None)
            lane.advance(self._clock())
            self._arm(lane)

        delay = max(change - self._clock(), 0.001)
        self._timers[lane.name] = change, timer or asyncio.get_running_loop().call_later(delay, due)

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()
        for _, timer in self._timers.values():
            timer.cancel()
        now = self._clock()
        for lane in self._lanes.values():
            lane.configure({"outage": True}, now)


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.Response(body=content, status=status, headers=headers, content_type="application/json")


def _whole(response: web.Response, visit: _Visit) -> web.Response:
    visit.size = len(response.body) if isinstance(response.body, bytes) else 0
    return response


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection without a reply; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _view(lane: Lane) -> dict[str, Any]:
    return {
        "lane": lane.name,
        "settings": lane.settings.to_json(),
        "waiting": lane.waiting,
        "serving": lane.serving,
        "next_change": lane.weather.next_change(),
    }


def _lane_name(request: web.Request) -> str:
    name = request.match_info["lane"]
    if not name.isprintable() or len(name) > _NAME_LENGTH:
        raise FieldError("lane", name[:_NAME_LENGTH], f"1 to {_NAME_LENGTH} printable characters")
    return name


def _window(request: web.Request) -> tuple[float, float]:
    return query_number(request, "since", -math.inf), query_number(request, "until", math.inf)
