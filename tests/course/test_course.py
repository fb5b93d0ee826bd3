"""The course itself: the manifest of this repository, and its agreement with the files and with its source."""

from __future__ import annotations

import json
import re
import time
import timeit
import tomllib
from typing import Any

import pytest

from backpressure_lab import devcheck
from backpressure_lab.manifest import Item, load

COURSE = load()
SOURCE = COURSE.root.parent / "shared" / "seeds"
CHECKLIST = [item for item in COURSE.items if item.section.startswith("106.")]
MODULE_14 = [item for item in COURSE.items if item.section == "14"]

needs_source = pytest.mark.skipif(
    not SOURCE.is_dir(), reason="the documents that the course was made from are not kept in the repository"
)


@pytest.fixture(scope="module")
def source() -> list[dict[str, Any]]:
    """The source's checklist."""
    entries: list[dict[str, Any]] = json.loads((SOURCE / "checklist.json").read_text(encoding="utf-8"))
    return entries


def test_manifest_files_pages_and_links_agree() -> None:
    """What ``./lab dev check`` finds in this repository is nothing."""
    assert [str(problem) for problem in devcheck.check(COURSE.root)] == []


def test_the_checklist_is_whole() -> None:
    """Ten sections of five items of five bullets, numbered without a gap, each bullet once in its item."""
    assert [item.id for item in CHECKLIST] == [
        f"106.{section}.{item}" for section in range(1, 11) for item in range(1, 6)
    ]
    assert {len(item.checklist) for item in CHECKLIST} == {5}
    assert [section.id for section in COURSE.sections if section.id.startswith("106.")] == [
        f"106.{section}" for section in range(1, 11)
    ]


@pytest.mark.parametrize("item", [pytest.param(item, id=item.id) for item in CHECKLIST])
def test_an_item_is_numbered_alike_everywhere(item: Item) -> None:
    """Id, section, filename and folder carry the same numbers, so that each can be found from any other."""
    _, section, number = (int(part) for part in item.id.split("."))
    folder, _, filename = item.file.removeprefix("dags/").partition("/")
    assert item.section == f"106.{section}"
    assert folder.startswith(f"106_{section:02}_")
    assert filename.startswith(f"106_{section:02}_{number:02}_")
    assert f"/{section:02}-" in COURSE.section(item.section).page


def test_the_lessons_of_module_14_are_numbered_like_their_files() -> None:
    """Two digits, in the module's order, so that no lesson is taken for an exercise; three to five findings each."""
    assert [item.id for item in MODULE_14] == sorted(item.id for item in MODULE_14)
    for item in MODULE_14:
        assert re.fullmatch(r"14\.\d\d", item.id)
        assert item.dag_id.startswith(f"{item.id.replace('.', '_')}_")
        assert 3 <= len(item.checklist) <= 5


@needs_source
def test_items_are_those_of_the_source(source: list[dict[str, Any]]) -> None:
    """Ids, titles, filenames, tags, purposes, bullets and expected behaviours are the source's, to the letter."""
    found = [
        {
            "id": item.id,
            "section": item.section,
            "section_title": COURSE.section(item.section).title,
            "title": item.title,
            "filename": f"{item.dag_id}.py",
            "tags": list(item.tags),
            "purpose": item.purpose,
            "checklist": list(item.checklist),
            "expected": item.expected_behavior,
        }
        for item in CHECKLIST
    ]
    assert found == source


@needs_source
def test_overviews_are_those_of_the_source() -> None:
    """A section's overview is the sentence under its heading in the source."""
    text = (SOURCE / "106-backpressure-handling.md").read_text(encoding="utf-8")
    overviews = dict(re.findall(r"^# (106\.\d+) .*\n\n## Overview\n(.*)$", text, re.MULTILINE))
    assert {section.id: section.overview for section in COURSE.sections if section.id in overviews} == overviews
    assert len(overviews) == 10


@needs_source
def test_the_pools_page_is_the_source_s(source: list[dict[str, Any]]) -> None:
    """The page's DAG keeps its dag_id, tags and pool."""
    text = (SOURCE / "pools.md").read_text(encoding="utf-8")
    item = COURSE.item("pool_example_dag")
    assert item.id not in {entry["id"] for entry in source}
    assert f'dag_id="{item.dag_id}"' in text
    assert f"tags={json.dumps(list(item.tags))}" in text
    assert {pool.name for pool in COURSE.pools} & set(re.findall(r'pool="(\w+)"', text)) == {"my_api_pool"}


def test_what_is_not_written_is_not_counted() -> None:
    """An item counts as done only if its DAG file is there."""
    assert {item.file for item in COURSE.written} == {
        item.file for item in COURSE.items if (COURSE.root / item.file).is_file()
    }


def test_every_queue_and_pool_of_the_lab_is_there() -> None:
    """Four queues on two workers of two processes each, and the pools that the lab makes."""
    assert [queue.name for queue in COURSE.queues] == ["default", "high_priority", "high_memory", "gpu"]
    assert [(worker.name, worker.concurrency) for worker in COURSE.workers] == [("a", 2), ("b", 2)]
    assert {("lab_control", 32), ("my_api_pool", 2)} <= {(pool.name, pool.slots) for pool in COURSE.pools}


def test_loading_costs_little_more_than_parsing() -> None:
    """Every command loads the manifest: checking and locating it take a few times the bare parser's time, no more."""
    text = (COURSE.root / "course.toml").read_text(encoding="utf-8")
    parsing, loading = (
        min(timeit.repeat(work, timer=time.process_time, number=1, repeat=7))
        for work in (lambda: tomllib.loads(text), load)
    )
    assert loading < 6 * parsing
