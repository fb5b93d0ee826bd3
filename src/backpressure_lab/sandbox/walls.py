"""Walls around a process (Linux): namespaces of its own, a root folder of little that it may read, no rights.

As root the process becomes a user whom nobody else is; as an ordinary user it needs a user namespace, and stays who it
is, in a world where that owns nothing. So what the kernel counts by user, such as threads, is counted for each cell by
itself. Nothing here needs a program of the system, or Python newer than the lab's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import pwd
import signal
from collections.abc import Iterable
from pathlib import Path

_NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x02000000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET, _NEW_MOUNTS = 0x10000000, 0x20000000, 0x40000000, 0x00020000
_APART = _NEW_CGROUP | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET | _NEW_MOUNTS
_BIND, _RECURSIVE, _PRIVATE, _NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 0x1000, 0x4000, 1 << 18, 2, 4, 8
_DETACH = 2
_ATTRIBUTE_READ_ONLY, _ATTRIBUTE_NO_SETUID, _ATTRIBUTE_NO_DEVICES = 1, 2, 4
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_HERE, _WHOLE_TREE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
# systemd's list of who uses which numbers (UIDS-GIDS.md) has nobody from here to 2147352575.
_FIRST_OWN = 0x70000000
_DEVICES = ("null", "zero", "random", "urandom")
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc/ld.so.cache")
"""What of the system every cell may read."""
SCRATCH = "16m"
"""What may be written, in all: into /tmp, in memory."""

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have this process killed when its parent ends, however that ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def part() -> tuple[int, int]:
    """Leave the machine's namespaces, that of process ids for children only; returns the user and group to become.

    Raises:
        OSError: the kernel, or its administrator, does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        uid, gid = _nobody_else()
    else:
        _checked(_libc.unshare(_NEW_USER), "unshare of the user namespace")
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    _checked(_libc.unshare(_APART), "unshare")
    return uid, gid


def _nobody_else() -> tuple[int, int]:
    """A user and group that no other cell has; ``nobody`` where a container's numbers do not go as far."""
    own = _FIRST_OWN + os.getpid()
    if all(_is_mapped(own, kind) for kind in ("uid", "gid")):
        return own, own
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _is_mapped(number: int, kind: str) -> bool:
    """Whether this user namespace, the machine's own or a container's, has the number."""
    try:
        lines = Path(f"/proc/self/{kind}_map").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # a kernel without user namespaces
        return True
    ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
    return any(first <= number < first + count for first, count in ranges)


def confine(root: Path, shown: Iterable[Path], uid: int) -> None:
    """Make ``root``, an empty folder, the root of all: the system's programs, these folders, devices, a /tmp.

    All but /tmp is read-only, and nothing of the machine's processes, settings and other files is there.
    """
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NO_SETUID | _NO_DEVICES, "size=1m,mode=755")
    (root / "tmp").mkdir()
    # First, since what is shown may lie in /tmp.
    options = f"size={SCRATCH},nr_inodes=1k,mode=1777"
    _mount("tmpfs", root / "tmp", "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS, options)
    for path in dict.fromkeys([*map(Path, SYSTEM), *shown]):
        _show(path, root)
    for name in _DEVICES:
        _bind(Path("/dev") / name, root, _ATTRIBUTE_READ_ONLY | _ATTRIBUTE_NO_SETUID)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"student:x:{uid}:{uid}::/tmp:/none\n", encoding="ascii")
    _restrict(root, _ATTRIBUTE_READ_ONLY, whole=False)
    os.chdir(root)
    _checked(_libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount2")
    os.chdir("/tmp")  # noqa: S108 - the cell's own


def _show(path: Path, root: Path) -> None:
    if path.is_symlink() and path.parent == Path("/"):
        (root / path.name).symlink_to(path.readlink())
    elif path.exists() and not (root / path.relative_to("/")).exists():
        _bind(path, root, _ATTRIBUTE_READ_ONLY | _ATTRIBUTE_NO_SETUID | _ATTRIBUTE_NO_DEVICES)


def _bind(path: Path, root: Path, attributes: int) -> None:
    target = root / path.relative_to("/")
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(path, target, None, _BIND | _RECURSIVE)
    _restrict(target, attributes, whole=True)


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "cleared", "propagation", "users"))


def _restrict(path: Path, attributes: int, *, whole: bool) -> None:
    wanted = _Attributes(set=attributes)
    flags = _WHOLE_TREE if whole else 0
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    done = _libc.syscall(_MOUNT_SETATTR, _HERE, os.fsencode(path), flags, ctypes.byref(wanted), size)
    _checked(done, f"mount_setattr of {path}")


def _mount(source: Path | str, target: Path | str, kind: str | None, flags: int, options: str = "") -> None:
    names = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    _checked(_libc.mount(*names, ctypes.c_ulong(flags), options.encode()), f"mount of {target}")


def give_up_rights(uid: int, gid: int) -> None:
    """Become this user, without any capability, now or later."""
    for capability in range(_LAST_CAPABILITY + 1):
        with contextlib.suppress(OSError):  # the kernel knows fewer
            _checked(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
