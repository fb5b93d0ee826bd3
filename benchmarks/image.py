"""Whether the image builds and what it weighs, without an engine: the Dockerfile's steps in clean roots of Debian.

Usage, as root on Linux: ``.venv/bin/python benchmarks/image.py FOLDER``. Each stage gets a root of its own below that
folder, made by debootstrap and entered by chroot: a minimal Debian with the interpreter that the base image has. Every
RUN, COPY and USER is carried out there. At the end the image's command, health check and plugin are tried as its user.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from support.dockerfile import instructions  # noqa: E402 - after its folder

# The Debian release whose own interpreter is that of the base image.
RELEASES = {"3.11": "bookworm", "3.13": "trixie"}
# What reaches an index from here: proxies and certificates, never the caller's other settings.
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Stage:
    """One stage as far as it has been built."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"

    def run(self, command: str, *, user: str | None = None) -> str:
        """Run a shell command in the root, with the stage's environment; returns what it printed."""
        mounts = f"mount -t proc proc {self.root}/proc && mount --rbind /dev {self.root}/dev"
        uid = (user or self.user) if (user or self.user) != "root" else "0:0"
        inside = f"cd {shlex.quote(self.folder)} && {command}"
        enter = shlex.join(["chroot", f"--userspec={uid}", str(self.root), "/bin/sh", "-c", inside])
        done = subprocess.run(
            ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f"{mounts} && exec {enter}"],
            env={"HOME": "/root", "LANG": "C.UTF-8"} | self._way_out() | self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}")
        return done.stdout

    def _way_out(self) -> dict[str, str]:
        return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}

    def path(self, inside: str) -> Path:
        """A path of the root, relative ones seen from its working folder."""
        return self.root / str(Path(self.folder) / inside).lstrip("/")

    def copy(self, sources: list[Path], target: str) -> None:
        """Copy files, and the contents of folders, as COPY does."""
        into = self.path(target)
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, into, dirs_exist_ok=True, symlinks=True, ignore=_ignored)
            else:
                whole = into / source.name if target.endswith("/") or into.is_dir() else into
                whole.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, whole)


def _ignored(_folder: str, names: list[str]) -> set[str]:
    """What .dockerignore leaves out of the folders that are copied."""
    return {name for name in names if name == "__pycache__"}


def base(image: str, root: Path) -> Stage:
    """A minimal Debian with the interpreter of ``python:3.X-slim-RELEASE``, which is called ``python``."""
    version = image.partition(":")[2].partition("-")[0]
    packages = f"python{version},python{version}-venv,ca-certificates"
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", RELEASES[version], str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{version}")
    shutil.copy2("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy2(_CERTIFICATES, root / str(_CERTIFICATES).lstrip("/"))
    certificates = {"PIP_CERT": str(_CERTIFICATES), "SSL_CERT_FILE": str(_CERTIFICATES)}
    return Stage(root, {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"} | certificates)


def build(text: str, folder: Path) -> tuple[Stage, dict[str, str]]:
    """Carry out every step; returns the last stage, and its CMD and HEALTHCHECK."""
    stages: dict[str, Stage] = {}
    clean: dict[str, Path] = {}
    told: dict[str, str] = {}
    name = ""
    for word, rest in instructions(text):
        print(f"{word} {rest[:110]}", flush=True)
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            name = name or "image"
            if image not in clean:
                clean[image] = folder / "base"
                made = base(image, clean[image])
            # Not by Python, which would read device files to their end.
            subprocess.run(["/bin/cp", "--archive", str(clean[image]), str(folder / name)], check=True)
            stages[name] = replace(made, root=folder / name)
            continue
        stage = stages[name]
        if word == "RUN":
            stage.run(rest)
        elif word == "COPY":
            origin = re.match(r"--from=(\S+) ", rest)
            *sources, target = rest.removeprefix(origin[0] if origin else "").split()
            root = stages[origin[1]].root if origin else ROOT
            stage.copy([root / source.lstrip("/") for source in sources], target)
        elif word == "ENV":
            pairs = (pair.split("=", 1) for pair in shlex.split(rest))
            expanded = {key: value.replace("$PATH", stage.environment["PATH"]) for key, value in pairs}
            stages[name] = replace(stage, environment=stage.environment | expanded)
        elif word == "WORKDIR":
            stage.path(rest).mkdir(parents=True, exist_ok=True)
            stages[name] = replace(stage, folder=rest)
        elif word == "USER":
            stages[name] = replace(stage, user=rest)
        else:
            told[word] = rest
    return stages[name], told


def main(folder: Path) -> None:
    """Build, and try what the image is for."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit("This needs root and debootstrap (apt-get install debootstrap).")
    image, told = build((ROOT / "Dockerfile").read_text(encoding="utf-8"), folder)
    words = re.findall(r'"([^"]*)"', told["CMD"])
    health = re.findall(r'"([^"]*)"', told["HEALTHCHECK"].partition("CMD ")[2])
    print("version:", image.run(shlex.join(words)).strip().splitlines()[-1])
    print("user:", image.run("id").strip())
    print("health without a server: exit code", image.run(f"{shlex.join(health)}; echo $?").strip())
    print("plugin:", image.run("python -m airflow plugins --output plain | grep -o backpressure | sort -u").strip())
    files = "find / -xdev -writable \\( -type f -o -type d \\) -not -path '/proc/*' -not -path '/dev/*' 2>/dev/null"
    print("may write to:", ", ".join(image.run(f"{files} | head -20; true").split()))
    checked = "from airflow.dag_processing.dagbag import DagBag; b = DagBag('/opt/lab/dags'); "
    parsed = (
        f'AIRFLOW__CORE__EXECUTOR=CeleryExecutor,LocalExecutor python -c "{checked}print(len(b.dags), b.import_errors)"'
    )
    print("DAGs, broken files:", image.run(f"{parsed} | tail -1").strip())
    print("size:", image.run("du -sxm / 2>/dev/null | cut -f1; true", user="root").strip(), "MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
