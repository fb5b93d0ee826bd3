"""A filter of system calls (Linux, x86-64 and ARM): what is refused to a process for good, whatever it becomes.

New processes are refused, so that limits of one process are limits of all, and so are memory and queues that belong to
no process, which no such limit counts, and what namespaces, mounts, tracing and the newer, larger parts of the kernel
would offer to somebody who wants out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
# Instructions of the classic packet filter, and offsets in the data that it sees.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
# The same on every architecture: io_uring, the newer calls for mounts, and landlock's neighbours; memfd_secret.
_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 447)


@dataclass(frozen=True)
class _Machine:
    """An architecture's mark, its number of clone, and the numbers of what is refused."""

    mark: int
    clone: int
    refused: tuple[int, ...]


_CLONE3 = 435
_MACHINES = {
    "x86_64": _Machine(
        mark=0xC000003E,
        clone=56,
        refused=(
            *(41, 57, 58, 59, 322),  # socket, fork, vfork, execve, execveat
            *(101, 310, 311),  # ptrace, process_vm_readv, process_vm_writev
            *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
            *(175, 176, 313, 246, 320, 321),  # init_module, delete_module, finit_module, kexec twice, bpf
            *(248, 249, 250, 298, 323),  # add_key, request_key, keyctl, perf_event_open, userfaultfd
            *(29, 30, 31, 64, 68, 240, 319),  # shmget, shmat, shmctl, semget, msgget, mq_open, memfd_create
        ),
    ),
    "aarch64": _Machine(
        mark=0xC00000B7,
        clone=220,
        refused=(
            *(198, 221, 281),  # socket, execve, execveat
            *(117, 270, 271),  # ptrace, process_vm_readv, process_vm_writev
            *(41, 51, 40, 39, 97, 268),  # pivot_root, chroot, mount, umount2, unshare, setns
            *(105, 106, 273, 104, 294, 280),  # init_module, delete_module, finit_module, kexec twice, bpf
            *(217, 218, 219, 241, 282),  # add_key, request_key, keyctl, perf_event_open, userfaultfd
            *(194, 196, 195, 190, 186, 180, 279),  # shmget, shmat, shmctl, semget, msgget, mq_open, memfd_create
        ),
    ),
}


def known() -> bool:
    """Whether there is a filter for this machine."""
    return platform.machine() in _MACHINES


def program(machine: str) -> bytes:
    """The filter: refuse what is listed, and clone unless it makes a thread; allow the rest."""
    here = _MACHINES[machine]
    refuse = _instruction(_RETURN, _ERROR | errno.EPERM)
    lines = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, here.mark, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32, 0, 1),
        refuse,
    ]
    for number in (*here.refused, *_EVERYWHERE):
        lines += [_instruction(_EQUAL, number, 0, 1), refuse]
    # The C library then makes threads with clone, whose flags can be looked at.
    lines += [_instruction(_EQUAL, _CLONE3, 0, 1), _instruction(_RETURN, _ERROR | errno.ENOSYS)]
    lines += [
        _instruction(_EQUAL, here.clone, 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _CLONE_THREAD, 1, 0),
        refuse,
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> None:
    """Put the filter into force for this process, its threads and whatever they become.

    Raises:
        OSError: the kernel refuses it.
    """
    code = program(platform.machine())
    filled = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filled), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")
