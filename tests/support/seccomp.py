"""Make system calls fail for good in this process and its children.

A filter by prctl(2) in classic BPF, include/uapi/linux/seccomp.h: the way that
container run-times refuse them. To run a command so: seccomp.py ERROR CALL,CALL
COMMAND...
"""
from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_NO_NEW_PRIVS = 38
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000

NUMBERS = {
    'x86_64': {
        'inotify_init': 253, 'inotify_add_watch': 254, 'inotify_init1': 294,
        'memfd_create': 319, 'pidfd_send_signal': 424, 'pidfd_open': 434,
    },
    'aarch64': {  # has no inotify_init
        'inotify_init1': 26, 'inotify_add_watch': 27,
        'memfd_create': 279, 'pidfd_send_signal': 424, 'pidfd_open': 434,
    },
}


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (('length', ctypes.c_ushort), ('filter', ctypes.c_void_p))


def refuse(calls: Sequence[str], error: int = errno.ENOSYS) -> None:
    """Let system calls fail with an error from now on; no way back."""
    numbers = [NUMBERS[platform.machine()][call] for call in calls]
    lines = [(LOAD, 0, 0, 0)]
    for number in numbers:
        lines += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | error)]
    lines.append((RETURN, 0, 0, ALLOW))
    packed = b''.join(struct.pack('HBBI', *line) for line in lines)
    code = ctypes.create_string_buffer(packed)
    program = Program(len(lines), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if (
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == '__main__':
    refuse(sys.argv[2].split(','), getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[3], sys.argv[3:])
