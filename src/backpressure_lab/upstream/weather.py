"""A lane's settings over time: what was set, what is scheduled, what is in force for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backpressure_lab.upstream.fields import FieldError, number
from backpressure_lab.upstream.settings import Settings, changed, checked

MAX_ENTRIES = 1000
MAX_CHANGES = 2000
_WEEK = 7 * 86_400.0
_DELAY = number(0, _WEEK, unit=" s")
_DURATION = number(0.001, _WEEK, unit=" s")


@dataclass(frozen=True, slots=True)
class Entry:
    """A change at an instant; with ``until``, it is undone then."""

    at: float
    settings: Mapping[str, Any]
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What took effect at an instant, as field → new value."""

    at: float
    settings: dict[str, Any]


@dataclass(slots=True)
class Weather:
    """The settings in force now, and those to come.

    A change with an end lies over what was set, and what lies beneath shows again when it ends. Of two that are in
    force at once, the later one counts.
    """

    settings: Settings = field(default_factory=Settings)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=MAX_CHANGES))
    _base: Settings = field(default_factory=Settings)
    _pending: deque[Entry] = field(default_factory=deque)
    _overlays: list[Entry] = field(default_factory=list)

    def advance(self, now: float) -> set[str]:
        """Carry out what is due and return the names of the settings that changed."""
        names: set[str] = set()
        while (instant := self.next_change()) is not None and instant <= now:
            self._overlays = [entry for entry in self._overlays if entry.until is None or entry.until > instant]
            while self._pending and self._pending[0].at <= instant:
                entry = self._pending.popleft()
                if entry.until is None:
                    self._base = changed(self._base, entry.settings)
                elif entry.until > instant:
                    self._overlays.append(entry)
            names |= self._refresh(instant)
        return names

    def next_change(self) -> float | None:
        """Return the instant of the next scheduled change, or None."""
        instants = [entry.until for entry in self._overlays if entry.until is not None]
        if self._pending:
            instants.append(self._pending[0].at)
        return min(instants, default=None)

    def configure(self, changes: Any, now: float) -> None:
        """Change settings from now on, over anything that is in force for a while.

        Raises:
            FieldError: a name or value that cannot be used; nothing was changed.
        """
        new = checked(changes)
        self._base = changed(self._base, new)
        self._overlays = [
            Entry(entry.at, {k: v for k, v in entry.settings.items() if k not in new}, entry.until)
            for entry in self._overlays
        ]
        self._refresh(now)

    def schedule(self, entries: Any, now: float) -> list[Entry]:
        """Replace the schedule; what was in force for a while ends. Returns the entries with their instants.

        Entries that are due at once take effect with the next ``advance``.

        Args:
            entries: objects of ``at`` (s from now), ``set`` (settings) and, optionally, ``for`` (s).
            now: the instant that ``at`` counts from.

        Raises:
            FieldError: an entry that cannot be used; nothing was changed.
        """
        planned = _planned(entries, now)
        self._overlays = []
        self._pending = deque(planned)
        self._refresh(now)
        return planned

    def reset(self, now: float) -> None:
        """Return to the defaults and forget the schedule."""
        self._base = Settings()
        self._overlays = []
        self._pending = deque()
        self._refresh(now)

    def _refresh(self, now: float) -> set[str]:
        before, after = self.settings, self._base
        for entry in self._overlays:
            after = changed(after, entry.settings)
        self.settings = after
        names = [name for name in Settings.__slots__ if getattr(before, name) != getattr(after, name)]
        if names:
            values = after.to_json()
            self.changes.append(Change(now, {name: values[name] for name in names}))
        return set(names)


def _planned(entries: Any, now: float) -> list[Entry]:
    if not isinstance(entries, Sequence) or isinstance(entries, str) or len(entries) > MAX_ENTRIES:
        raise FieldError("schedule", entries, f'a list of at most {MAX_ENTRIES} {{"at", "set", "for"}}')
    planned = [_entry(f"schedule[{number}]", entry, now) for number, entry in enumerate(entries)]
    return sorted(planned, key=lambda entry: entry.at)


def _entry(name: str, entry: Any, now: float) -> Entry:
    if not isinstance(entry, Mapping) or not {"at", "set"} <= entry.keys() <= {"at", "set", "for"}:
        raise FieldError(name, entry, 'an object of "at" (s from now), "set" (settings) and, optionally, "for" (s)')
    at = now + _DELAY(f"{name}.at", entry["at"])
    until = None if entry.get("for") is None else at + _DURATION(f"{name}.for", entry["for"])
    try:
        return Entry(at, checked(entry["set"]), until)
    except FieldError as error:
        raise FieldError(f"{name}.set.{error.field}", error.value, error.expected) from None
