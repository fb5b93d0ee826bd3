"""Secrets, paths, ports, settings: what a start prepares."""

from __future__ import annotations

import configparser
import errno
import json
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

import httpx
import pytest

from backpressure_lab import files
from backpressure_lab.errors import DamagedLabError, LabError, NotRunningError
from backpressure_lab.stack import ports, settings
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A lab in a folder of its own."""
    return Layout.of(root=tmp_path, home=tmp_path / "lab")


def test_secrets_are_made_once_and_are_private(layout: Layout) -> None:
    """The second start finds the first one's secrets; only their owner may read them."""
    first = Secrets.load(layout)
    assert Secrets.load(layout) == first
    for path in (layout.secrets_file, layout.token_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.admin_password not in repr(first)
    assert len({*first.__dict__.values()}) == len(first.__dict__)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"admin_password": 1}'])
def test_damaged_secrets_are_told_with_the_way_out(layout: Layout, text: str) -> None:
    """A file that is not what the lab wrote names itself and the command that starts afresh."""
    files.write_text(layout.secrets_file, text)
    with pytest.raises(DamagedLabError, match=r"secrets.json is damaged(?s:.*)./lab reset --all"):
        Secrets.load(layout)


def test_a_database_without_its_secrets_is_damage(layout: Layout) -> None:
    """New secrets would not open the old database."""
    files.write_text(layout.database / "PG_VERSION", "18\n")
    with pytest.raises(DamagedLabError, match="missing while the database is there"):
        Secrets.load(layout)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A reader never sees a part of a file, and nothing temporary is left."""
    path = tmp_path / "file.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "\ud800")
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_what_is_no_regular_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe, a device or a link stays what it is: a rename would put a file in the place of ``/dev/null``."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    link.symlink_to(target)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_text(pipe, "through the pipe")
        assert os.read(reader, 100) == b"through the pipe"
    finally:
        os.close(reader)
    files.write_text(link, "secret", mode=0o600)
    assert (link.is_symlink(), target.read_text(encoding="utf-8")) == (True, "secret")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert pipe.is_fifo()


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    """What can be written passes and leaves no trace; what cannot is named with its option and the reason."""
    (tmp_path / "there").write_text("old", encoding="utf-8")
    good = {"json": Path("-"), "html": None, "csv": tmp_path / "new" / "a.csv", "junit": tmp_path / "there"}
    files.check_targets(good)
    files.check_targets({"junit": Path("/dev/null")})
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]
    for path in (tmp_path, tmp_path / "there" / "a.xml", tmp_path / ("x" * 300), Path("/proc/a.xml")):
        with pytest.raises(LabError, match=f"--junit {re.escape(str(path))} cannot be written: "):
            files.check_targets({"junit": path})


def test_a_folder_of_somebody_elses_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user is told before the work what the system would say after it."""

    def denied(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(LabError, match=r"--html .* cannot be written: Permission denied"):
        files.check_targets({"html": tmp_path / "a.html"})


def test_sockets_move_out_of_a_long_path(tmp_path: Path) -> None:
    """A unix socket's path has a limit of about 100 bytes: a deep or spaced folder gets a private one elsewhere."""
    near = Layout(tmp_path, Path("/srv/lab"))
    assert near.sockets == Path("/srv/lab/run/sockets")
    for home in (Path("/srv") / ("x" * 100), Path("/srv/a lab")):
        far = Layout(tmp_path, home)
        assert len(str(far.sockets / ".s.PGSQL.5432.lock")) < 100
        assert " " not in str(far.sockets)
        assert far.sockets == Layout(tmp_path, home).sockets


def test_a_taken_port_is_passed_over_or_refused() -> None:
    """Without a wish the next free port is taken and the reason told; a wish that cannot be met is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(NotRunningError, match=rf"Port {number} is taken"):
            ports.choose(number)
        chosen, _ = ports.choose(None)
        assert len({chosen.api, chosen.upstream, chosen.metrics, chosen.statsd, number}) == 5


def test_a_port_that_is_kept_for_root_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is this user's rights, and what to do is another number."""

    def bind(_self: socket.socket, _address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "bind", bind)
        with pytest.raises(NotRunningError, match=r"Port 80 is not for this user(?s:.*)Permission(?s:.*)such as 8080"):
            ports.choose(80)


def test_airflows_settings_are_private_and_on_loopback(layout: Layout) -> None:
    """airflow.cfg holds secrets: mode 0600, percent signs escaped, every address on this machine only."""
    secrets = Secrets.generate()
    own = settings.lab_settings(layout, secrets, ports.Ports(8080, 1, 2, 3), light=False)
    settings.write(layout, secrets, own | {"test": {"percent": "100%"}})
    path = layout.airflow_home / "airflow.cfg"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parser = configparser.ConfigParser()
    parser.read(path)
    assert parser["test"]["percent"] == "100%"
    assert parser["api"]["host"] == "127.0.0.1"
    assert parser["core"]["executor"] == "LocalExecutor,CeleryExecutor"
    assert json.loads(parser["dag_processor"]["dag_bundle_config_list"])[1]["kwargs"]["path"] == str(layout.work)
    light = settings.lab_settings(layout, secrets, ports.Ports(8080, 1, 2, 3), light=True)
    assert light["core"]["executor"] == "LocalExecutor"


def test_the_parts_environment_holds_no_secret_and_no_foreign_setting(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller's own AIRFLOW settings do not reach the lab, and no secret is in any process's environment."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_UPSTREAM", "http://elsewhere")
    secrets = Secrets.generate()
    environment = Context(layout, secrets, ports.Ports(1, 2, 3, 4)).environment()
    assert [name for name in environment if name.startswith("AIRFLOW")] == ["AIRFLOW_HOME"]
    assert not set(secrets.__dict__.values()) & set(environment.values())


@pytest.mark.parametrize(
    ("theirs", "lower", "upper"),
    [
        ({}, "127.0.0.1,localhost", "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp, localhost"}, "corp,localhost,127.0.0.1", "corp,localhost,127.0.0.1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1,localhost", "b,127.0.0.1,localhost"),
        ({"no_proxy": "*"}, "*", "*"),
    ],
)
def test_the_parts_reach_each_other_without_a_proxy(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str], lower: str, upper: str
) -> None:
    """The caller's proxy is kept for other hosts, and the hosts that the caller excludes stay excluded."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**theirs, "HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    environment = Context(layout, Secrets.generate(), ports.Ports(1, 2, 3, 4)).environment()
    assert (environment["no_proxy"], environment["NO_PROXY"]) == (lower, upper)
    assert environment["HTTP_PROXY"] == "http://127.0.0.1:9"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, environment[name])
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL("http://127.0.0.1:8080/execution/")) is client._transport
        assert (client._transport_for_url(httpx.URL("http://example.org/")) is client._transport) == (lower == "*")


def test_parallelism_fits_the_cores() -> None:
    """Eight slots a core, within what lessons need and a laptop bears."""
    assert [settings.parallelism(cores) for cores in (1, 2, 3, 4, 64)] == [16, 16, 24, 32, 32]
