"""Columns of repeated words, each word kept once: four bytes a row, and a selection is a table look-up."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

__all__ = ["Labels"]


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of words.

    Attributes:
        codes: for each row, the position of its word in ``names``.
        names: the distinct words; a missing one (``None``) is kept as the empty string.
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Labels | str | Iterable[str | None], rows: int) -> Labels:
        """Take a column as it comes: one word for all rows, a word for each row, or a coded column.

        Args:
            values: the words; a numpy array of strings or of objects is welcome.
            rows: how many rows the column must have.

        Raises:
            ValueError: the number of values is not ``rows``.
        """
        if isinstance(values, Labels):
            labels = values
        elif isinstance(values, str):
            return cls(np.broadcast_to(np.zeros(1, np.int32), rows), (values,))
        else:
            words: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
            index: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
            codes = np.fromiter(map(index.__getitem__, words), np.int32, len(words))
            labels = cls(codes, tuple("" if word is None else str(word) for word in index))
        if len(labels) != rows:
            raise ValueError(f"{len(labels)} labels for {rows} task instances: give one each, or one word for all")
        return labels

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Labels:
        return Labels(self.codes[index], self.names)

    def tolist(self) -> list[str]:
        """The words, row by row."""
        return [self.names[code] for code in self.codes.tolist()]

    def present(self) -> list[str]:
        """The distinct words that a row really has, in the order of ``names``."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        return list(dict.fromkeys(name for name, count in zip(self.names, counts.tolist(), strict=True) if count))

    def isin(self, wanted: str | Collection[str]) -> NDArray[np.bool_]:
        """Which rows have one of the wanted words."""
        words = {wanted} if isinstance(wanted, str) else set(wanted)
        table = np.fromiter((name in words for name in self.names), np.bool_, len(self.names))
        return table[self.codes] if len(table) else np.zeros(len(self), np.bool_)

    def rows_of(self) -> dict[str, NDArray[np.intp]]:
        """For each word present, its rows in ascending order."""
        narrow = np.uint16 if len(self.names) <= np.iinfo(np.uint16).max else np.int32  # numpy sorts 16 bits by radix
        order = np.argsort(self.codes.astype(narrow), kind="stable")
        bounds = np.cumsum(np.bincount(self.codes, minlength=len(self.names)))[:-1]
        parts = zip(self.names, np.split(order, bounds), strict=True) if self.names else ()
        found: dict[str, NDArray[np.intp]] = {}
        for name, rows in parts:
            if len(rows):
                found[name] = np.sort(np.concatenate((found[name], rows))) if name in found else rows
        return found

    def joined(self, other: Labels) -> Labels:
        """This column with another one's rows after it."""
        index = {name: code for code, name in enumerate(dict.fromkeys(self.names + other.names))}
        tables = [np.array([index[name] for name in part.names], np.int32) for part in (self, other)]
        codes = [
            table[part.codes] if len(table) else part.codes for table, part in zip(tables, (self, other), strict=True)
        ]
        return Labels(np.concatenate(codes), tuple(index))
