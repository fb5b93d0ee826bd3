"""What a judge asked its witnesses and what they told it: recorded while it judges, and played again without them.

The clients of Airflow's API, the upstream simulator and the StatsD receiver put every question through :func:`heard`.
While a recording goes on it keeps question and answer; while a tape is played the answers are the tape's and nobody is
asked. So any lesson's judge can run again offline: on its own records, on another scenario's, on altered ones.
"""

from __future__ import annotations

import base64
import copy
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

XCOM_KEY = "asked"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One question to one witness, and its answer; both as JSON can say them."""

    witness: str
    question: Any
    answer: Any


class NotOnTapeError(LookupError):
    """A tape that is played has no answer to a question."""


class _Listener(Protocol):
    def answer(self, witness: str, question: Any, ask: Callable[[], Any]) -> Any: ...


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def heard(witness: str, question: Any, ask: Callable[[], Any]) -> Any:
    """The answer to a question: asked for, and kept while a recording goes on; or the tape's, when one is played."""
    listener = _listener.get()
    return ask() if listener is None else listener.answer(witness, question, ask)


def in_use() -> bool:
    """Whether questions are being recorded or answered from a tape."""
    return _listener.get() is not None


def is_played() -> bool:
    """Whether answers come from a tape: then nothing that follows from them may be left behind in the world."""
    return isinstance(_listener.get(), _Player)


@dataclass
class Tape:
    """Questions and answers in their order.

    Attributes:
        dag_id, run_id, params: the run whose judge asked.
        entries: in the order in which they were asked.
    """

    dag_id: str
    run_id: str
    params: dict[str, Any]
    entries: list[Entry] = field(default_factory=list)

    def packed(self) -> dict[str, Any]:
        """The tape small enough for an XCom: listings of task instances repeat themselves."""
        told = [[entry.witness, entry.question, entry.answer] for entry in self.entries]
        text = zlib.compress(json.dumps(told, separators=(",", ":"), default=str).encode())
        head = {"version": VERSION, "dag_id": self.dag_id, "run_id": self.run_id, "params": self.params}
        return head | {"entries": base64.b64encode(text).decode("ascii")}

    @classmethod
    def unpacked(cls, data: Mapping[str, Any]) -> Tape:
        """What :meth:`packed` gave.

        Raises:
            ValueError: it is no tape, or of another version.
        """
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != VERSION:
            raise ValueError(f"a tape of version {version!r}: this release reads {VERSION}, run the lesson again")
        try:
            told = json.loads(zlib.decompress(base64.b64decode(data["entries"])))
            return cls(data["dag_id"], data["run_id"], dict(data["params"]), [Entry(*entry) for entry in told])
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise ValueError(f"not a tape: {error}") from error

    def altered(self, change: Callable[[Entry], Any]) -> Tape:
        """The same questions, each with the answer that ``change`` makes of its entry."""
        entries = [Entry(entry.witness, entry.question, change(entry)) for entry in self.entries]
        return Tape(self.dag_id, self.run_id, self.params, entries)


class _Recorder:
    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def answer(self, witness: str, question: Any, ask: Callable[[], Any]) -> Any:
        told = ask()
        self._tape.entries.append(Entry(witness, question, copy.deepcopy(told)))  # who asked may change what it got
        return told


class _Player:
    """Answers in the order recorded; the last answer to a question is given again when it is asked more often."""

    def __init__(self, tape: Tape, missing: Callable[[str, Any], Any]) -> None:
        self._missing = missing
        self._answers: dict[str, list[Any]] = {}
        for entry in tape.entries:
            self._answers.setdefault(question_key(entry.witness, entry.question), []).append(entry.answer)

    def answer(self, witness: str, question: Any, ask: Callable[[], Any]) -> Any:  # noqa: ARG002 - nobody is asked
        told = self._answers.get(question_key(witness, question))
        if told is None:
            return self._missing(witness, question)
        return copy.deepcopy(told.pop(0) if len(told) > 1 else told[0])


@contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Keep every question and answer on the tape."""
    token = _listener.set(_Recorder(tape))
    try:
        yield tape
    finally:
        _listener.reset(token)


def _not_there(witness: str, question: Any) -> Any:
    raise NotOnTapeError(f"{witness} was never asked {question}")


@contextmanager
def playing(tape: Tape, missing: Callable[[str, Any], Any] = _not_there) -> Iterator[None]:
    """Answer every question from the tape, or with what ``missing`` makes of a question that is not on it."""
    token = _listener.set(_Player(tape, missing))
    try:
        yield
    finally:
        _listener.reset(token)


def question_key(witness: str, question: Any) -> str:
    """One text for one question."""
    return json.dumps([witness, question], sort_keys=True, default=str)
