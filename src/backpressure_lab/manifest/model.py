"""The course as the manifest describes it: plain, frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backpressure_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["success", "failed"]


class UnknownItemError(LabError):
    """No item, or more than one, answers to a reference; ``nearest`` holds what may have been meant."""

    def __init__(self, ref: str, reason: str, nearest: list[str]) -> None:
        self.ref = ref
        self.nearest = tuple(nearest)
        hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(f"{reason}.{hint}\nSee every item with: ./lab list")


@dataclass(frozen=True)
class Pool:
    """A pool that the lab makes; ``slots`` is -1 for no limit, and 0 shuts the pool."""

    name: str
    slots: int
    description: str
    include_deferred: bool = False


@dataclass(frozen=True)
class Queue:
    """A Celery queue that lessons may name."""

    name: str
    description: str


@dataclass(frozen=True)
class Worker:
    """A Celery worker of the local lab: the queues it serves, and how many tasks it runs at once."""

    name: str
    queues: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True)
class Section:
    """A group of items with a folder of DAG files and a lesson page; both paths are relative to the course's root."""

    id: str
    title: str
    overview: str
    dags: str
    page: str


@dataclass(frozen=True)
class Scenario:
    """How a run of an item must come out: the run's state, and the bullets whose findings must hold."""

    name: str
    state: State
    holds: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The scenario as ``./lab list --json`` shows it."""
        return {"state": self.state, "holds": list(self.holds)}


@dataclass(frozen=True)
class Item:
    """One lesson.

    Attributes:
        file: The DAG file, relative to the course's root; its stem is the dag_id.
        checklist: The bullets; each is the text of exactly one finding.
        default_scenario: None while the item has no scenarios, which only an unwritten one may.
        exclusive: Whether the item must run alone, since it saturates the scheduler or a worker.
        reserves: Parts of the lab that the item needs to itself, such as "celery": items that reserve the same one
            never run side by side.
        negative_controls: Bullets whose finding has a control of its own in the same run, and which that is.
        cost: Seconds that a run takes, roughly, for packing runs side by side; None while unknown.
        written: Whether the DAG file is there. What is not written counts nowhere as done.
        creates_pools: Pools that the lesson makes, or leaves missing, itself.
        line: Where the manifest describes the item.
        local: What of the local lab's machine the lesson needs, so that it cannot run on another deployment; empty if
            it can run anywhere.
    """

    id: str
    section: str
    title: str
    file: str
    tags: tuple[str, ...]
    purpose: str
    checklist: tuple[str, ...]
    expected_behavior: str
    default_scenario: str | None
    scenarios: Mapping[str, Scenario] = field(hash=False)
    exclusive: bool
    cost: float | None
    written: bool
    creates_pools: tuple[str, ...]
    reserves: tuple[str, ...]
    negative_controls: Mapping[str, str] = field(hash=False)
    line: int = field(compare=False)
    local: str = ""

    @property
    def dag_id(self) -> str:
        """The stem of the DAG file."""
        return Path(self.file).stem

    def as_json(self) -> dict[str, Any]:
        """The item as ``./lab list --json`` shows it."""
        return {
            "id": self.id,
            "section": self.section,
            "title": self.title,
            "dag_id": self.dag_id,
            "file": self.file,
            "tags": list(self.tags),
            "purpose": self.purpose,
            "checklist": list(self.checklist),
            "expected_behavior": self.expected_behavior,
            "default_scenario": self.default_scenario,
            "scenarios": {name: scenario.as_json() for name, scenario in self.scenarios.items()},
            "exclusive": self.exclusive,
            "written": self.written,
        }


@dataclass(frozen=True)
class Exercise:
    """Work for the learner; ``folder`` is relative to the course's root."""

    id: str
    section: str
    title: str
    folder: str

    def as_json(self, status: str = "not started") -> dict[str, Any]:
        """The exercise as ``./lab list --json`` shows it; ``status`` is the learner's progress, not the manifest's."""
        return {"id": self.id, "title": self.title, "folder": self.folder, "status": status}


@dataclass(frozen=True)
class Course:
    """Everything that the manifest describes, in its order. ``root`` is the folder that relative paths start from."""

    root: Path
    pools: tuple[Pool, ...]
    queues: tuple[Queue, ...]
    workers: tuple[Worker, ...]
    sections: tuple[Section, ...]
    items: tuple[Item, ...]
    exercises: tuple[Exercise, ...]

    @property
    def written(self) -> tuple[Item, ...]:
        """The items whose DAG file is there."""
        return tuple(item for item in self.items if item.written)

    def item(self, ref: str) -> Item:
        """The item with this id or dag_id, or the only one whose id or dag_id begins with it.

        Raises:
            UnknownItemError: No item answers to ``ref``, or more than one does.
        """
        for item in self.items:
            if ref in (item.id, item.dag_id):
                return item
        begun = [item for item in self.items if ref and (item.id.startswith(ref) or item.dag_id.startswith(ref))]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise UnknownItemError(ref, f"{len(begun)} items begin with {ref!r}", [item.id for item in begun[:5]])
        names = [name for item in self.items for name in (item.id, item.dag_id)]
        raise UnknownItemError(ref, f"No item is called {ref!r}", get_close_matches(ref, names, n=3))

    def section(self, section_id: str) -> Section:
        """The section with this id.

        Raises:
            KeyError: There is no such section.
        """
        return next(section for section in self.sections if section.id == section_id)
