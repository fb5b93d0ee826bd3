"""The bootstrap script ``./lab`` in folders of its own: what it installs and when, and how it says why it can't.

Interpreters and installers are small scripts, so that each thing that goes wrong on somebody's machine can be had on
any; the network, the file system and its rights are real.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = "65534"
# A Python that makes a folder with itself in it of `-m venv`, and says what it was asked for otherwise.
PYTHON = """\
#!/bin/sh
case "$1 $2" in
    "--version "*) echo Python 3.13.0 ;;
    "-c "*) ;;
    "-m venv") mkdir -p "$3/bin" "$3/lib/python3.13/site-packages" && cp "$0" "$3/bin/python" ;;
    "-m pip") echo "pip${PYTHONSAFEPATH:+ safe} $*" >>"$CALLS"; {pip} ;;
    *) echo "handed over:" "$@" ${PYTHONSAFEPATH:+safe} ;;
esac
"""
UV = """\
#!/bin/sh
echo "uv $*" >>"$CALLS"
{uv}
"""


class Checkout:
    """A folder with the script, a short list of pins, and a path on which Python and uv are ours."""

    def __init__(self, root: Path, tools: Path) -> None:
        self.root = root
        self.tools = tools
        self.calls = tools / "calls.txt"
        self.env = {"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(self.calls), "TMPDIR": str(tools)}
        root.mkdir(exist_ok=True)
        tools.mkdir(exist_ok=True)
        shutil.copy(ROOT / "lab", root / "lab")
        (root / "constraints.txt").write_text("uv==1.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
        self.python()
        self.uv()

    def tool(self, name: str, text: str) -> None:
        """Put a command on the path."""
        path = self.tools / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def python(self, pip: str = "exit 0") -> None:
        """Provide a Python whose pip ends like this."""
        self.tool("python3", PYTHON.replace("{pip}", pip))

    def uv(self, uv: str = "exit 0") -> None:
        """Provide a uv that ends like this."""
        self.tool("uv", UV.replace("{uv}", uv))

    def lab(self, *arguments: str, before: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            [*before, str(self.root / "lab"), *arguments],
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def asked(self) -> list[str]:
        """The installers that were run, in order."""
        return [line.split()[0] for line in self.calls.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which everything works."""
    return Checkout(tmp_path / "a clone", tmp_path / "tools")


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The script ended with code 3, said why and what to do in lines of its own, and handed nothing over."""
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_it_installs_once_and_hands_over(checkout: Checkout) -> None:
    """The first call installs; later ones only hand their arguments over, as they are."""
    first = checkout.lab("up", "--port", "1")
    assert (first.returncode, first.stdout) == (0, "handed over: -P -m backpressure_lab up --port 1\n")
    assert "making .venv with Python 3.13.0" in first.stderr
    again = checkout.lab("run", "a b")
    assert (again.stdout, again.stderr) == ("handed over: -P -m backpressure_lab run a b\n", "")
    assert checkout.asked() == ["uv"]
    assert not (checkout.root / ".venv.lock").exists()
    assert not list(checkout.tools.glob("lab-install*"))


def test_a_module_of_the_callers_folder_is_not_run(checkout: Checkout, tmp_path: Path) -> None:
    """A file that is called as one of the lab's libraries stays a file."""
    (tmp_path / "typer.py").write_text("raise SystemExit(7)", encoding="utf-8")
    checkout.lab()
    checkout.tool("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shutil.copy(checkout.tools / "python", checkout.root / ".venv" / "bin" / "python")
    done = subprocess.run(
        [checkout.root / "lab", "--help"], cwd=tmp_path, env=checkout.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Start the lab" in done.stdout


def test_changed_pins_are_installed_by_themselves(checkout: Checkout) -> None:
    """After a pull with other pins, the next call brings .venv in step, and keeps it otherwise."""
    checkout.lab()
    (checkout.root / ".venv" / "kept").touch()
    with (checkout.root / "constraints.txt").open("a", encoding="utf-8") as pins:
        pins.write("wheel==1.0 \\\n    --hash=sha256:11\n")
    assert "installing 2 packages" in checkout.lab().stderr
    assert checkout.asked() == ["uv", "uv"]
    assert (checkout.root / ".venv" / "kept").exists()


def test_pip_has_the_last_word(checkout: Checkout) -> None:
    """Where uv fails (it does not read pip's own settings), pip installs the same pins."""
    checkout.uv("exit 1")
    assert checkout.lab().returncode == 0
    assert checkout.asked() == ["uv", "pip"]
    assert "pip safe -m pip install" in checkout.calls.read_text(encoding="utf-8")


def test_an_installation_that_failed_is_tried_again(checkout: Checkout) -> None:
    """Half an installation is never taken for a whole one."""
    checkout.uv("exit 1")
    checkout.python(pip="echo something else went wrong >&2; exit 1")
    refused(checkout.lab(), "something else went wrong", "the whole output is in")
    checkout.uv()
    assert checkout.lab().returncode == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("error: No space left on device (os error 28)", ("the disk is full", "Free some room")),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", ("does not have the hash",)),
        ("error: Hash mismatch for `numpy==2.4.6`", ("does not have the hash",)),
        ("error: error sending request for url", ("no network", "run ./lab again")),
        ("Temporary failure in name resolution", ("no network", "run ./lab again")),
        ("ERROR: No matching distribution found for uv==1.0", ("no network, or the package index",)),
    ],
)
def test_what_kept_the_installers_is_told_in_a_sentence(checkout: Checkout, said: str, words: tuple[str, ...]) -> None:
    """The tools' own words are many; the reason and the next step are two lines."""
    checkout.uv(f"echo '{said}' >&2; exit 1")
    checkout.python(pip=f"echo '{said}' >&2; exit 1")
    refused(checkout.lab("up"), *words)


@pytest.mark.parametrize(
    "said",
    [
        "/usr/bin/python3: No module named venv",
        "The virtual environment was not created successfully because ensurepip is not available.",
    ],
)
def test_a_python_without_venv_is_named_with_the_cure(checkout: Checkout, said: str) -> None:
    """Debian and Ubuntu ship Python without it."""
    checkout.tool("python3", PYTHON.replace('"-m venv")', f'"-m venv") echo "{said}" >&2; exit 1 ;; "never")'))
    refused(checkout.lab("up"), "no venv module", "apt-get install python3-venv")
    assert not checkout.calls.exists()


def test_a_wrong_python_is_named(checkout: Checkout) -> None:
    """Without any Python that will do, the one that there is is named, and how to name another."""
    old = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\n[ "$1" != -c ]\n'
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        checkout.tool(name, old)
    refused(checkout.lab("up"), "found no Python 3.11 to 3.14 (python3 is Python 3.9.2)", "LAB_PYTHON=/path/to/")
    chosen = str(checkout.tools / "python3")
    refused(checkout.lab("up", LAB_PYTHON=chosen), f"LAB_PYTHON={chosen} is not a Python 3.11 to 3.14")
    refused(checkout.lab("up", LAB_PYTHON="/no/such/python"), "LAB_PYTHON=/no/such/python is not")


def test_another_python_on_the_path_will_do(checkout: Checkout) -> None:
    """An old python3 does not matter where a newer one stands beside it."""
    shutil.copy(checkout.tools / "python3", checkout.tools / "python3.13")
    checkout.tool("python3", "#!/bin/sh\nexit 1\n")
    assert checkout.lab("up").stdout == "handed over: -P -m backpressure_lab up\n"


def test_two_installations_at_once_are_kept_apart(checkout: Checkout) -> None:
    """The second says that there is a first; what a killed one left behind is no obstacle."""
    lock = checkout.root / ".venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(str(os.getpid()), encoding="utf-8")
    refused(checkout.lab("up"), "another ./lab is installing", f"remove {lock}")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (lock / "pid").write_text(str(ended.pid), encoding="utf-8")
    assert checkout.lab("up").returncode == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="lab-bootstrap-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_is_not_ours_is_named(open_folder: Path) -> None:
    """Who may read the folder only is told to clone it elsewhere."""
    checkout = Checkout(open_folder / "clone", open_folder / "tools")
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write anywhere, and there is no setpriv to become somebody else")
        before = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    else:
        checkout.root.chmod(0o555)
    done = checkout.lab("up", before=before)
    checkout.root.chmod(0o755)
    refused(done, f"cannot write to {checkout.root}", "a folder of your own")


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A file system of its own with room for next to nothing."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(open_folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield open_folder
    subprocess.run(["umount", open_folder], check=True)  # noqa: S607 - the system's own, wherever it is


def test_a_full_disk_is_named(small_disk: Path, tmp_path: Path) -> None:
    """With a real file system that is full, also when not even a log can be written there."""
    checkout = Checkout(small_disk, tmp_path / "tools")
    made = 'head -c 200000 /dev/zero >"$3/lib/python3.13/big"'
    checkout.tool("python3", PYTHON.replace('cp "$0" "$3/bin/python"', f'{made} && cp "$0" "$3/bin/python"'))
    refused(checkout.lab("up"), "the disk is full", "Free some room")
    refused(checkout.lab("up"), "the disk is full", "Free some room")


@pytest.fixture
def closed_port() -> Callable[[], int]:
    """A loopback port that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.mark.slow  # makes a real environment, whose pip tries more than once
def test_an_index_that_does_not_answer_is_told(tmp_path: Path, closed_port: Callable[[], int]) -> None:
    """The real pip and the real uv, with an index at a closed port of this machine."""
    checkout = Checkout(tmp_path / "clone", tmp_path / "tools")
    shutil.copy(ROOT / "constraints.txt", checkout.root / "constraints.txt")
    (checkout.tools / "python3").unlink()
    (checkout.tools / "uv").unlink()
    (checkout.tools / "uv").symlink_to(Path(sys.executable).parent / "uv")
    index = f"http://127.0.0.1:{closed_port()}/simple"
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    indices = {"UV_DEFAULT_INDEX": index, "UV_NO_CACHE": "1", "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull}
    done = checkout.lab("up", LAB_PYTHON=str(base), **indices)
    refused(done, "the packages could not be downloaded: no network", "Details: ")
