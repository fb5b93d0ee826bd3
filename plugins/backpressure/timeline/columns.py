"""Task instances in columns: how they come in, and how some of them are chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backpressure.timeline.curve import to_microsecond
from backpressure.timeline.labels import Labels
from backpressure.timeline.records import run_columns, task_instance_columns

__all__ = ["Columns", "Words"]

Words = str | Collection[str] | None
Rows = NDArray[np.bool_] | NDArray[np.intp]

_TIMES = ("scheduled", "queued", "start", "end", "logical_date")
_NUMBERS = {"pool_slots": 1, "priority_weight": 1, "map_index": -1, "try_number": 1, "pid": -1}
_WORDS = ("task_id", "dag_id", "run_id", "pool", "queue", "executor", "state", "hostname")
_serial = itertools.count()


@dataclass(frozen=True, eq=False)
class Columns:
    """One row per task instance; make one with :meth:`from_records`, :meth:`from_runs` or :meth:`from_arrays`.

    Attributes:
        scheduled: ``scheduled_when``, in seconds since the epoch to the microsecond; NaN when it is missing, as in all
            time columns.
        queued: ``queued_when``.
        start: ``start_date``.
        end: ``end_date``.
        logical_date: of the DAG run.
        pool_slots: how many slots of its pool the instance takes.
        priority_weight: what the scheduler sorts by.
        map_index: -1 when the task is not mapped.
        try_number: which try the stamps are of.
        pid: of the process that ran it; -1 when unknown.
        task_id: empty for rows that are DAG runs; missing words are empty in all word columns.
        dag_id: of its DAG.
        run_id: of its DAG run.
        pool: its pool.
        queue: its queue.
        executor: the executor that it asked for; empty for the default one.
        state: when the record was read.
        hostname: where it ran.
        identity: a number that a row keeps through every selection.
    """

    scheduled: NDArray[np.float64]
    queued: NDArray[np.float64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    logical_date: NDArray[np.float64]
    pool_slots: NDArray[np.int64]
    priority_weight: NDArray[np.int64]
    map_index: NDArray[np.int64]
    try_number: NDArray[np.int64]
    pid: NDArray[np.int64]
    task_id: Labels
    dag_id: Labels
    run_id: Labels
    pool: Labels
    queue: Labels
    executor: Labels
    state: Labels
    hostname: Labels
    identity: NDArray[np.int64]

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """From task instances (or tries) as Airflow's REST API lists them.

        Raises:
            ValueError: a record is not a task instance's, or one of its times can't be read.
        """
        return cls.from_arrays(**task_instance_columns(list(records)))

    @classmethod
    def from_runs(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """From DAG runs as Airflow's REST API lists them; ``scheduled`` is the run's ``queued_at``.

        Raises:
            ValueError: a record is not a DAG run's, or one of its times can't be read.
        """
        return cls.from_arrays(**run_columns(list(records)))

    @classmethod
    def from_arrays(cls, **columns: Any) -> Self:
        """From columns by name, each a value per row or one for all; those left out are missing or Airflow's default.

        Times are in seconds since the epoch and are rounded to the microsecond, which is what Airflow keeps.

        Raises:
            ValueError: an unknown column, columns of unequal length, or an infinite time.
        """
        unknown = sorted(columns.keys() - {*_TIMES, *_NUMBERS, *_WORDS})
        if unknown:
            known = ", ".join((*_TIMES, *_NUMBERS, *_WORDS))
            raise ValueError(f"unknown column {unknown[0]!r}: a timeline has {known}")
        lengths = {name: len(column) for name, column in columns.items() if _is_column(column)}
        rows = next(iter(lengths.values()), 0)
        for name, length in lengths.items():
            if length != rows:
                raise ValueError(f"column {name!r} has {length} values and {next(iter(lengths))!r} has {rows}")
        first = next(_serial) << 40
        made: dict[str, Any] = {name: _times(name, columns.get(name, np.nan), rows) for name in _TIMES}
        for name, default in _NUMBERS.items():
            made[name] = np.broadcast_to(np.array(columns.get(name, default), np.int64), rows)
        for name in _WORDS:
            made[name] = Labels.of(columns.get(name, ""), rows)
        return cls(**made, identity=np.arange(first, first + rows))

    def __len__(self) -> int:
        return len(self.identity)

    def __or__(self, other: Self) -> Self:
        """Both sets of task instances, none twice.

        Rows of one origin are the same row when they have the same identity. Rows that were read apart are the same
        when they are the same try of the same task instance, and then the right-hand one, read later, is kept.
        """
        joined: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            left, right = getattr(self, name), getattr(other, name)
            joined[name] = left.joined(right) if isinstance(left, Labels) else np.concatenate((left, right))
        both = type(self)(**joined)
        keys = (both.dag_id.codes, both.run_id.codes, both.task_id.codes, both.map_index, both.try_number)
        key = np.where(both._anonymous(), both.identity, -1)
        once = _last_of_each((both.identity,))
        return both._take(once[np.sort(_last_of_each(tuple(column[once] for column in (*keys, key))))])

    def _anonymous(self) -> NDArray[np.bool_]:
        return self.task_id.isin("") & self.run_id.isin("")

    def _take(self, rows: Rows) -> Self:
        places: NDArray[np.intp] = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)
        return type(self)(**{name: _pick(getattr(self, name), places) for name in self.__dataclass_fields__})

    def select(
        self,
        chosen: Rows | Callable[[Self], Rows] | None = None,
        *,
        task_id: Words = None,
        dag_id: Words = None,
        run_id: Words = None,
        pool: Words = None,
        queue: Words = None,
        executor: Words = None,
        state: Words = None,
        hostname: Words = None,
        map_index: int | Collection[int] | None = None,
        priority_weight: int | Collection[int] | None = None,
    ) -> Self:
        """The task instances that meet every condition given.

        Args:
            chosen: a mask, row numbers, or a function from this timeline to either.
            task_id: one word or several, any of which will do; so with the other words.
            dag_id: the same.
            run_id: the same.
            pool: the same.
            queue: the same.
            executor: the same.
            state: the same.
            hostname: the same.
            map_index: one number or several; so with the weight.
            priority_weight: the same.
        """
        keep = np.ones(len(self), np.bool_)
        if chosen is not None:
            rows = chosen(self) if callable(chosen) else chosen
            keep[:] = False
            keep[rows] = True
        words = (task_id, dag_id, run_id, pool, queue, executor, state, hostname)
        for name, wanted in zip(_WORDS, words, strict=True):
            if wanted is not None:
                keep &= getattr(self, name).isin(wanted)
        for column, numbers in ((self.map_index, map_index), (self.priority_weight, priority_weight)):
            if numbers is not None:
                keep &= np.isin(column, [numbers] if isinstance(numbers, int) else list(numbers))
        return self._take(keep)

    def by(self, column: str) -> dict[str, Self]:
        """A timeline for each word of a word column, such as ``pool``."""
        return {name: self._take(rows) for name, rows in self._labels(column).rows_of().items()}

    def names(self, rows: Sequence[int] | NDArray[np.intp] | None = None) -> list[str]:
        """What people call the rows: ``fetch``, ``fetch[2]`` when it is mapped, and of a run its label or id."""
        wanted = range(len(self)) if rows is None else [int(row) for row in rows]
        return [self._name(row) for row in wanted]

    def labelled(self, rows: Sequence[int] | NDArray[np.intp] | None = None) -> list[str]:
        """The names of the rows, with the helper run's own label before them where there are several runs."""
        wanted = list(range(len(self))) if rows is None else [int(row) for row in rows]
        names = self.names(wanted)
        if len(set(zip(self.dag_id.codes.tolist(), self.run_id.codes.tolist(), strict=True))) <= 1:
            return names
        labels = [self._label(row) if self.task_id.names[self.task_id.codes[row]] else "" for row in wanted]
        return [f"{label}/{name}" if label else name for label, name in zip(labels, names, strict=True)]

    def _label(self, row: int) -> str:
        """What tells a helper run from the others of its lesson's run; empty for any other run."""
        label: str = self.run_id.names[self.run_id.codes[row]]
        return label.rpartition("__")[2] if "__" in label else ""

    def _name(self, row: int) -> str:
        task = self.task_id.names[self.task_id.codes[row]]
        index = int(self.map_index[row])
        if not task:
            return self._label(row) or self.run_id.names[self.run_id.codes[row]] or f"row {row}"
        return f"{task}[{index}]" if index >= 0 else task

    def _labels(self, column: str) -> Labels:
        if column not in _WORDS:
            raise ValueError(f"column {column!r} has no words: take one of {', '.join(_WORDS)}")
        labels: Labels = getattr(self, column)
        return labels


def _is_column(column: Any) -> bool:
    return isinstance(column, Labels) or (np.ndim(column) > 0 if isinstance(column, np.ndarray) else _is_many(column))


def _is_many(column: Any) -> bool:
    return isinstance(column, Sequence) and not isinstance(column, str)


def _times(name: str, column: Any, rows: int) -> NDArray[np.float64]:
    times = np.asarray(column, np.float64)
    if np.isinf(times).any():
        raise ValueError(f"column {name!r} has an infinite time: a missing one is NaN")
    return np.broadcast_to(to_microsecond(times), rows)


def _pick(column: Any, rows: NDArray[np.intp]) -> Any:
    if isinstance(column, Labels):
        return Labels(_pick(column.codes, rows), column.names)
    if column.strides == (0,):  # one value for all
        return np.broadcast_to(column[:1], len(rows)) if len(column) else column[rows]
    return column.take(rows)


def _last_of_each(keys: tuple[NDArray[Any], ...]) -> NDArray[np.intp]:
    """The rows that hold the last occurrence of their key."""
    order = np.lexsort(keys)
    last = np.ones(len(order), np.bool_)
    if len(order):
        last[:-1] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    return np.sort(order[last])
