"""A checkout of a course of one lesson, in which manifest, DAG file, page and links agree, for the author's check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backpressure_lab.devcheck import check

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILE", "ONE", "PAGE", "checkout", "edited"]

FILE = "dags/one/1_01_lesson.py"
ONE = "modules/course/one.md"
MANIFEST = """\
[[sections]]
id = "1"
title = "First"
overview = "The first section."
dags = "dags/one"
page = "modules/course/one.md"

[[items]]
id = "1.1"
section = "1"
title = "A lesson"
filename = "1_01_lesson.py"
tags = ["core", "success"]
purpose = "To be checked"
checklist = ["First bullet", "Second bullet"]
expected_behavior = "Nothing is found"
written = true
cost = 10
default_scenario = "good"
[items.scenarios.good]
state = "success"
holds = "all"
[items.scenarios.poor]
state = "success"
holds = []
"""
LESSON = (
    '''\
"""# 1.1 A lesson

What it is for.
"""

from __future__ import annotations

import time

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, dag, task
from backpressure.findings import finding

DAG_ID = "1_01_lesson"
SCENARIOS = ["good", "poor"]

# [workload]
with DAG(
    dag_id=DAG_ID,
    tags=["core", "success"],
    doc_md=__doc__,
    params={"scenario": Param("good", enum=SCENARIOS)},
):

    @task
    def judge():
        # [claim]
        yield finding("First bullet", 1)
        # [/claim]
        yield finding(bullet="Second bullet", measure=time.time())
# [/workload]


@dag(f"{DAG_ID}__helper", tags=["anything"])
def helper():
    EmptyOperator(task_id="nothing")


for number in range(2):
    DAG(f"{DAG_ID}__more_{number}")
'''
    + "#\n" * 25
)
PAGE = """\
# One lesson

See [the DAG](../../dags/one/1_01_lesson.py), [above](#one-lesson), [the front](../../README.md#the-course)
and ![a picture](picture%20one.svg).

<!-- excerpt: dags/one/1_01_lesson.py#claim -->
```python
yield finding("First bullet", 1)
```

```md
A fence is text: [nowhere](missing.md) <!-- excerpt: nothing.py#here -->
```
"""
README = '# The *course*\n\n<a id="mark"></a> [Mark](#mark), [lesson](modules/course/one.md), [web](https://example.org/x.md)\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which everything agrees."""
    for name, text in {
        "course.toml": MANIFEST,
        "dags/one/1_01_lesson.py": LESSON,
        "modules/course/one.md": PAGE,
        "modules/course/picture one.svg": "<svg/>",
        "README.md": README,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edited(checkout: Path, name: str, before: str, after: str) -> list[str]:
    """What the check prints after one edit."""
    path = checkout / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    return [str(problem) for problem in check(checkout)]
