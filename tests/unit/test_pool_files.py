"""Pools in a file, and the command that makes a deployment's pools like it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from backpressure import pool_files
from backpressure.airflow import pools as subject
from backpressure.airflow.client import AirflowError, AirflowUnreachableError
from backpressure.airflow.pools import Result, synchronise
from backpressure.pools import PoolSpec
from support.airflow_api import Airflow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SPECS = [PoolSpec("a", 3, "calls"), PoolSpec("b", -1, "", include_deferred=True)]


class Listed(Airflow):
    """The imagined Airflow, with its listing of pools."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pages(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        """Every pool."""
        yield from self.pools.values()


def written(folder: Path, text: str | bytes, name: str = "pools.json") -> Path:
    """A file of that text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_what_airflow_exports(tmp_path: Path) -> None:
    """The JSON of `airflow pools export` and the same as TOML are the same pools, in the file's order."""
    exported = {
        "b": {"slots": -1, "description": "", "include_deferred": True, "team_name": None},
        "a": {"slots": 3, "description": "calls"},
    }
    toml = '[b]\nslots = -1\ndescription = ""\ninclude_deferred = true\n\n[a]\nslots = 3\ndescription = "calls"\n'
    specs = pool_files.read(written(tmp_path, json.dumps(exported)))
    assert specs == SPECS[::-1]
    assert pool_files.read(written(tmp_path, toml, "pools.toml")) == specs


def test_the_example_is_taken_by_airflow_too(tmp_path: Path) -> None:
    """The page's example has what Airflow's own import asks of each pool."""
    specs = pool_files.read(EXAMPLES / "pools.toml")
    assert [spec.name for spec in specs] == ["partner_x", "warehouse"]
    assert all(spec.slots and spec.description for spec in specs)
    assert pool_files.read(written(tmp_path, "{}")) == []


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("{", "p.json", r"p.json: Expecting property name .*line 1 column 2"),
        ("a = ", "p.toml", r"p.toml: Invalid value \(at end of document\)"),
        ("[a]\n[a]\n", "p.toml", r"p.toml: Cannot declare .*twice"),
        ('{"a": {"slots": 1, "description": ""}, "a": {}}', "p.json", "p.json: 'a' is there twice"),
        (b"\xff\xfe", "p.json", r"p.json: it is not UTF-8 text \(byte 0\)"),
        ("[]", "p.json", "p.json: it must hold an object of pools by name, not a list"),
        ('{"a": 5}', "p.json", "p.json: pool 'a' must be an object with slots and description, not 5"),
        ('{"a": {"description": ""}}', "p.json", "p.json: pool 'a' has no slots"),
        ('{"a": {"slots": 1}}', "p.json", "p.json: pool 'a' has no description"),
        ('{"a": {"slots": "1", "description": ""}}', "p.json", "pool 'a': slots must be a whole number, not '1'"),
        ('{"a": {"slots": true, "description": ""}}', "p.json", "pool 'a': slots must be a whole number, not True"),
        ('{"a": {"slots": 1, "description": null}}', "p.json", "pool 'a': description must be text, not None"),
        ('{"a": {"slots": -2, "description": ""}}', "p.json", "pool 'a': slots must be a whole number, -1 .* got -2"),
        ('{"": {"slots": 1, "description": ""}}', "p.json", "pool '': name must have 1 to 256 characters, got ''"),
        ('{"a": {"slots": 1, "description": "", "size": 2}}', "p.json", "pool 'a' has an unknown key 'size'; known"),
        (
            '{"a": {"slots": 1, "description": "", "team_name": "x"}}',
            "p.json",
            "pool 'a' has a team_name: pools of teams are made with airflow pools import",
        ),
        ("", "p.yaml", r"p.yaml: its name must end in .json or .toml"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str | bytes, name: str, message: str) -> None:
    """ValueError says which file, pool, key and value, and nothing is created of such a file."""
    with pytest.raises(ValueError, match=message):
        pool_files.read(written(tmp_path, text, name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is a ValueError with its path."""
    with pytest.raises(ValueError, match=r"none.json: No such file"):
        pool_files.read(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ValueError, match=r"folder.json: Is a directory"):
        pool_files.read(tmp_path / "folder.json")


def test_doing_it_again_changes_nothing() -> None:
    """The first call creates, the second finds everything as specified; others' pools are reported and kept."""
    api = Listed(other=7)
    assert [str(result) for result in synchronise(api, SPECS)] == [
        "pool a: created",
        "pool b: created",
        "pool other: not in the file",
    ]
    before = {name: dict(pool) for name, pool in api.pools.items()}
    assert [result.state for result in synchronise(api, SPECS)] == ["as specified", "as specified", "not in the file"]
    assert api.pools == before


def test_a_pool_set_by_hand_is_reported_and_resized_when_told() -> None:
    """Drift is told in both values; only --resize changes it, and then all of it."""
    api = Listed(a=9)
    drifted = synchronise(api, SPECS[:1])[0]
    assert drifted == Result("a", "drifted", ("slots 9, in the file 3", "description '', in the file 'calls'"))
    assert api.pools["a"]["slots"] == 9
    assert synchronise(api, SPECS[:1], resize=True)[0].state == "changed"
    assert (api.pools["a"]["slots"], api.pools["a"]["description"]) == (3, "calls")
    assert synchronise(api, SPECS[:1])[0].state == "as specified"


def test_a_dry_run_changes_nothing() -> None:
    """It tells what is missing and what drifted, resizing or not."""
    api = Listed(a=9)
    before = {name: dict(pool) for name, pool in api.pools.items()}
    assert [result.state for result in synchronise(api, SPECS, dry_run=True, resize=True)] == ["drifted", "missing"]
    assert api.pools == before


def test_the_default_pool_can_be_in_the_file() -> None:
    """Airflow's own export has it: its slots are taken, its description is Airflow's."""
    api = Listed()
    spec = PoolSpec("default_pool", 64, "of ours")
    assert synchronise(api, [spec])[0].differences == ("slots 128, in the file 64",)
    assert synchronise(api, [spec], resize=True)[0].state == "changed"
    assert synchronise(api, [spec]) == [Result("default_pool", "as specified")]


def test_a_pool_that_somebody_else_creates_meanwhile() -> None:
    """Two deployments at once: the later one finds the pool there, as it should be or not."""

    class Behind(Listed):
        def pages(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
            yield from ()

    assert synchronise(Behind(a=3), [PoolSpec("a", 3)])[0].state == "as specified"
    assert synchronise(Behind(a=4), [PoolSpec("a", 3)])[0].state == "drifted"
    assert synchronise(Behind(a=4), [PoolSpec("a", 3)], resize=True)[0].state == "changed"


def test_the_commands_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 as the file says, 1 not so, 2 bad file, 3 no Airflow: a pipeline can tell them apart."""
    api = Listed()
    monkeypatch.setattr(subject, "_client", lambda: api)
    file = str(written(tmp_path, '{"a": {"slots": 3, "description": ""}}'))
    assert subject.main([file, "--dry-run"]) == 1
    assert subject.main([file]) == 0
    api.pools["a"]["slots"] = 9
    assert subject.main([file]) == 1
    capsys.readouterr()
    assert subject.main([file, "--resize", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "changed"
    assert subject.main([str(tmp_path / "none.json")]) == 2
    for error in (AirflowUnreachableError("no answer"), AirflowError("GET", "/pools", 401, "who are you")):
        monkeypatch.setattr(api, "pages", _raise(error))
        assert subject.main([file]) == 3
    assert "AIRFLOW_API_TOKEN" in capsys.readouterr().err


def test_no_secret_is_taken_from_the_arguments() -> None:
    """Address and credentials come from the environment: arguments are seen by everybody on the machine."""
    printed = subprocess.run(
        [sys.executable, "-m", "backpressure.airflow.pools", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--password" not in printed
    assert "--token" not in printed
    assert "AIRFLOW_API_PASSWORD" in printed


def _raise(error: Exception) -> Any:
    def pages(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        raise error

    return pages
