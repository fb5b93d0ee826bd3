"""The breaker's operations, as every storage applies them; the class `CircuitBreaker` is made of these."""

import os
from typing import Any

from backpressure.breaker import transitions
from backpressure.breaker.settings import AdmitRules, RecordRules
from backpressure.breaker.state import (
    Admission,
    BreakerState,
    Bucket,
    Cause,
    Change,
    HostFailure,
    Mode,
    Phase,
    Probe,
    Report,
    Result,
)
from backpressure.storage.protocol import Argument, Feature, Operation, Outcome, Shortcut
from backpressure.storage.protocol import Result as Row

FEATURE = Feature("breaker", version=1, folder=os.path.dirname(__file__), tables=("breaker",))  # noqa: PTH120 - pathlib is slow to import


def _admit(states: tuple[BreakerState | None], now: int, call: int, *rules: int) -> Outcome:
    before = states[0] or BreakerState()
    after, answer = transitions.admit(before, AdmitRules(*rules), now, call)
    change = answer.change
    result = (
        answer.allowed,
        answer.epoch,
        answer.probe,
        answer.retry_after_ns,
        str(answer.phase),
        None if change is None else str(change.before),
        None if change is None else str(change.cause),
    )
    return _outcome(states[0], before, after, now, result)


def _record(states: tuple[BreakerState | None], now: int, *arguments: Any) -> Outcome:
    before = states[0] or BreakerState()
    call, epoch, result, slow, host, random, *rules = arguments
    report = Report(call, epoch, Result(result), slow, host, random)
    after, change = transitions.record(before, RecordRules(*rules), now, report)
    return _outcome(states[0], before, after, now, _change_row(change))


def _override(states: tuple[BreakerState | None], now: int, mode: str) -> Outcome:
    before = states[0] or BreakerState()
    after, change = transitions.override(before, Mode(mode), now)
    return _outcome(states[0], before, after, now, _change_row(change))


def _read(states: tuple[BreakerState | None], now: int) -> Outcome:
    state = states[0] or BreakerState()
    row = (
        now,
        str(state.mode),
        str(state.phase),
        state.epoch,
        state.since,
        state.open_until,
        state.openings,
        list(state.failures),
        [entry.host for entry in state.hosts],
        [entry.at for entry in state.hosts],
        state.consecutive,
        *([bucket[column] for bucket in state.buckets] for column in range(4)),
        [probe.call for probe in state.probes],
        [probe.ends for probe in state.probes],
        state.successes,
        list(state.recent),
        state.expires,
    )
    return _outcome(states[0], state, state, now, row)


_ADMIT_CLOSED = """
SELECT coalesce(b.epoch, 0)
FROM (SELECT $1::bytea AS key) AS asked
LEFT JOIN {schema}.breaker b USING (key)
WHERE b.key IS NULL OR (b.mode = 'automatic' AND b.phase = 'closed'
    AND b.expires > greatest({schema}.now_ns(), b.seen) AND b.seen - {schema}.now_ns() < 60000000000)
"""
"""The usual case, a closed breaker, without the function; only if the clock was not set back. It returns the epoch."""


def _admitted(row: Row, _arguments: tuple[Argument, ...]) -> Row:
    return (True, row[0], False, 0, "closed", None, None)


ADMIT = Operation(
    "breaker_admit_1",
    FEATURE,
    _admit,
    durable=True,
    shortcut=Shortcut(_ADMIT_CLOSED, _admitted, by_arguments=False),
)
RECORD = Operation("breaker_record_1", FEATURE, _record, durable=True)
OVERRIDE = Operation("breaker_override_1", FEATURE, _override, durable=True)
READ = Operation("breaker_read_1", FEATURE, _read)


def admission(row: Row) -> Admission:
    """The answer in what `ADMIT` returned."""
    allowed, epoch, probe, retry_after_ns, phase, changed_from, cause = row
    change = None if changed_from is None else Change(changed_from, phase, Cause(cause))
    return Admission(allowed, epoch, probe, retry_after_ns, Phase(phase), change)


def report_arguments(report: Report, rules: RecordRules) -> tuple[Argument, ...]:
    """The arguments of `RECORD`."""
    return (report.call, report.epoch, str(report.result), report.slow, report.host, report.random, *rules)


def change(row: Row) -> Change | None:
    """The change in what `RECORD` or `OVERRIDE` returned."""
    before, after, cause = row
    return None if before is None else Change(before, after, Cause(cause))


def read(row: Row) -> tuple[int, BreakerState]:
    """The instant and the state in what `READ` returned."""
    now, mode, phase, epoch, since, open_until, openings, failures, hosts, host_times, consecutive = row[:11]
    starts, calls, failed, slow, probes, probe_ends, successes, recent, expires = row[11:]
    state = BreakerState(
        mode=Mode(mode),
        phase=Phase(phase),
        epoch=epoch,
        since=since,
        open_until=open_until,
        openings=openings,
        failures=tuple(failures),
        hosts=tuple(map(HostFailure, hosts, host_times)),
        consecutive=consecutive,
        buckets=tuple(map(Bucket, starts, calls, failed, slow)),
        probes=tuple(map(Probe, probes, probe_ends)),
        successes=successes,
        recent=tuple(recent),
        expires=expires,
    )
    return now, state


def _change_row(change: Change | None) -> Row:
    return (None, None, None) if change is None else (str(change.before), str(change.after), str(change.cause))


def _outcome(stored: BreakerState | None, before: BreakerState, after: BreakerState, now: int, result: Row) -> Outcome:
    state = stored if after is before else after
    return Outcome((state,), result, 0 if state is None else state.expires - now)
