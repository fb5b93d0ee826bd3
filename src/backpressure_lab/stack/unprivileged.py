"""Runs a command that refuses to be root (PostgreSQL) as an ordinary user that may still read this user's folders.

``python -m backpressure_lab.stack.unprivileged UID GID COMMAND…`` gives up user and group, keeps the right to pass
folders that are closed to others (a checkout in root's own home, say), and becomes the command. Linux only: elsewhere
nobody develops as root.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
import sys

_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPS = (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH)


def user() -> tuple[int, int]:
    """User and group that a server runs as when this process is root."""
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def prefix() -> list[str]:
    """What to put before a command that refuses to be root: nothing for an ordinary user."""
    if os.geteuid() != 0:
        return []
    uid, gid = user()
    return [sys.executable, "-m", "backpressure_lab.stack.unprivileged", str(uid), str(gid)]


def _keep_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    mask = sum(1 << cap for cap in _CAPS)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("=IIIIII", mask, mask, mask, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    for cap in _CAPS:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, cap, 0, 0)


def main(arguments: list[str]) -> None:
    """Become the command given after UID and GID."""
    uid, gid, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # Or access(2), which initdb asks whether its programs are there, would leave the capabilities out of account.
        ctypes.CDLL(None).prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    if sys.platform == "linux":
        _keep_capabilities()
    os.execv(command[0], command)  # noqa: S606 - the command is the lab's own


if __name__ == "__main__":
    main(sys.argv[1:])
