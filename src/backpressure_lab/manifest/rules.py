"""What must be true between the parts of a manifest, and between the manifest and the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure_lab.manifest.reader import Table, show

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backpressure_lab.manifest.model import Exercise, Item, Pool, Queue, Scenario, Section, Worker

# Every bullet must come out true in one scenario and false in another.
_FEWEST_SCENARIOS = 2


def check_lab(
    pools: list[tuple[Table, Pool]], queues: list[tuple[Table, Queue]], workers: list[tuple[Table, Worker]]
) -> None:
    """Names are unique; workers serve queues that exist, and every queue is served."""
    _unique((table, "name", pool.name) for table, pool in pools)
    _unique((table, "name", queue.name) for table, queue in queues)
    _unique((table, "name", worker.name) for table, worker in workers)
    names = [queue.name for _, queue in queues]
    served = {name for _, worker in workers for name in worker.queues}
    for table, worker in workers:
        for index, name in enumerate(worker.queues):
            if name and name not in names:
                table.problem(
                    f"queues holds {show(name)}, but the queues are {', '.join(names)}; add [[queues]] or correct it",
                    *("queues", index),
                )
    for table, queue in queues:
        if queue.name not in served and all(worker.sound for worker, _ in workers):
            table.problem("no worker serves this queue, so its tasks would wait for ever; add it to a worker's queues")


def check_sections(sections: list[tuple[Table, Section]]) -> None:
    """Ids and folders are unique."""
    _unique((table, "id", section.id) for table, section in sections)
    _unique((table, "dags", section.dags) for table, section in sections)


def check_items(
    items: list[tuple[Table, Item]],
    sections: list[tuple[Table, Section]],
    pools: list[tuple[Table, Pool]],
    root: Path,
) -> None:
    """References resolve, names are unique, scenarios can prove something, and the files agree with ``written``."""
    _unique((table, "id", item.id) for table, item in items)
    _unique((table, "filename", _filename(item)) for table, item in items)
    _own_pools(items, [pool.name for _, pool in pools])
    known = [section.id for _, section in sections]
    for table, item in items:
        _in_section(table, item.section, known)
        _scenarios(table, item)
        _negative_controls(table, item)
        if _filename(item):
            _file(table, item, root)


def check_exercises(exercises: list[tuple[Table, Exercise]], sections: list[tuple[Table, Section]], root: Path) -> None:
    """References resolve, ids and folders are unique, and the folders are there."""
    _unique((table, "id", exercise.id) for table, exercise in exercises)
    _unique((table, "folder", exercise.folder) for table, exercise in exercises)
    known = [section.id for _, section in sections]
    for table, exercise in exercises:
        _in_section(table, exercise.section, known)
        if exercise.folder and not (root / exercise.folder).is_dir():
            table.problem(f"the folder {exercise.folder} is missing; make it, or remove the exercise", "folder")


def _negative_controls(table: Table, item: Item) -> None:
    for bullet in item.negative_controls:
        if item.checklist and bullet not in item.checklist:
            table.problem(
                f"negative_controls names {show(bullet)}, not a bullet of the checklist; copy one's text",
                *("negative_controls", bullet),
            )


def _unique(entries: Iterable[tuple[Table, str, str]]) -> None:
    """Report each value that an earlier table has, too; what could not be read is reported already."""
    first: dict[str, Table] = {}
    for table, key, value in entries:
        if value in first:
            table.problem(f"{key} is {show(value)}, as in line {first[value].line}; give each its own", key)
        elif value:
            first[value] = table


def _in_section(table: Table, section: str, known: list[str]) -> None:
    if section and section not in known:
        table.problem(
            f"section is {show(section)}, but the sections are {', '.join(known)}; add [[sections]] or correct it",
            "section",
        )


def _own_pools(items: list[tuple[Table, Item]], pools: list[str]) -> None:
    """A pool that a lesson makes is nobody else's, or two lessons run side by side would disturb each other."""
    owners = dict.fromkeys((*pools, "default_pool"), "the lab")
    for table, item in items:
        for index, name in enumerate(item.creates_pools):
            if name in owners and name not in item.creates_pools[:index]:
                table.problem(
                    f"creates_pools holds {show(name)}, which belongs to {owners[name]}; name it after the item",
                    *("creates_pools", index),
                )
            elif name:
                owners[name] = f"item {show(item.id)}"


def _scenarios(table: Table, item: Item) -> None:
    """The scenarios name real bullets, agree with the tags, and a written item's can show each bullet both ways."""
    for name, scenario in item.scenarios.items():
        for index, bullet in enumerate(scenario.holds):
            if bullet and item.checklist and bullet not in item.checklist:
                table.problem(
                    f"scenario {show(name)} holds {show(bullet)}, not a bullet of the checklist; copy one's text",
                    *("scenarios", name, "holds", index),
                )
    default = item.default_scenario
    if default and default in item.scenarios:
        _tagged_state(table, item, item.scenarios[default])
    elif default or (default is None and item.scenarios):
        table.problem(
            f"default_scenario is {show(default)}, but the scenarios are "
            f"{', '.join(item.scenarios) or 'none'}; name one of them",
            "default_scenario",
        )
    if item.written:
        _provable(table, item)


def _tagged_state(table: Table, item: Item, default: Scenario) -> None:
    """The tag ``success`` or ``failure`` tells how the default scenario ends."""
    expected = {"success": "success", "failure": "failed"}
    state = default.state
    for tag in item.tags:
        if state and expected.get(tag, state) != state:
            table.problem(
                f"the tag {show(tag)} says that the default scenario ends in state {show(expected[tag])}, "
                f"but {show(default.name)} has {show(state)}; correct the state or default_scenario",
                *("scenarios", default.name, "state"),
            )


def _provable(table: Table, item: Item) -> None:
    """Every bullet holds in at least one scenario and does not hold in at least one other."""
    if item.cost is None:
        table.problem("cost is missing; a written item states the seconds that a run takes, roughly: cost = 30")
    if len(item.scenarios) < _FEWEST_SCENARIOS:
        table.problem(
            f"a written item has at least {_FEWEST_SCENARIOS} scenarios, this one {len(item.scenarios)}; "
            "add a contrast: [items.scenarios.NAME]"
        )
        return
    for index, bullet in enumerate(item.checklist):
        held = sum(bullet in scenario.holds for scenario in item.scenarios.values())
        if held in (0, len(item.scenarios)):
            table.problem(
                f"the bullet {show(bullet)} holds in {'no' if held == 0 else 'every'} scenario; it must hold "
                "in at least one and not in at least one other: correct their holds",
                *("checklist", index),
            )


def _filename(item: Item) -> str:
    """The file's name without its folder; empty if it could not be read."""
    return item.file.rpartition("/")[2]


def _file(table: Table, item: Item, root: Path) -> None:
    """A written item's file is there; one that is being written is the author's check's business alone."""
    if item.written and not (root / item.file).is_file():
        table.problem(f"written is true, but {item.file} is missing; write it, or set written = false", "filename")
