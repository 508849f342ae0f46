"""Takes from a worker process what its job does not need: files to write elsewhere, TCP, signals.

A worker opens files that strangers made, by libraries in C. Should one of them be turned against
its user, Linux's Landlock leaves it the folders of its job to write to, no connection by TCP, and
no process to signal but its children. Reading is not restricted: links, sidecars and the files that
a VRT names lie anywhere, and a mask that could not be read would be missing in the output without a
word.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_NO_NEW_PRIVILEGES = 38
_BENEATH, _PORT = 1, 2
_VERSION = 1
#: LANDLOCK_ACCESS_FS_*: to write to a file, to remove and make entries of a directory; and what
#: later versions added: to move between directories, to cut a file.
_WRITE = 1 << 1
_ENTRIES = sum(1 << bit for bit in range(4, 13))
_MOVE, _CUT = (2, 1 << 13), (3, 1 << 14)
#: To listen and to connect by TCP, from this version on.
_NET, _TCP, _CONNECT = 4, 0b11, 0b10
#: To connect to abstract sockets and to signal processes of others, from this version on.
_SCOPES, _OTHERS = 6, 0b11
#: Folders that this worker may write to, once it is confined.
_applied: list[tuple[str, ...]] = []
HINT = (
    "the sandbox of workers lets them write only where the job does: let the operation mark the "
    'parameter that names the folder (writes), or set engine.sandbox = "off"'
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


class _Ruleset(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("files", "net", "scoped"))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32))


class _ToPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


@cache
def landlock() -> int:
    """Return the version of Landlock's interface in this kernel; 0: there is none, or it is off."""
    if not sys.platform.startswith("linux"):
        return 0
    version = int(ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION))
    return max(version, 0)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The limits of a worker, which may write in and below the directories ``write``; one of them,
    ``temporary``, is for temporary files. ``ports``: those that it may connect to by TCP."""

    write: tuple[str, ...]
    temporary: str
    ports: tuple[int, ...] = ()

    def apply(self, *more: str) -> None:
        """Restrict this thread, and all that it starts, for good, if there is Landlock; it may
        write to the directories ``more``, too. Raises OSError if the kernel refuses."""
        version = landlock()
        if not version:
            return
        os.environ["TMPDIR"] = tempfile.tempdir = self.temporary
        libc = ctypes.CDLL(None, use_errno=True)
        on_files = _WRITE | (_CUT[1] if version >= _CUT[0] else 0)
        on_all = on_files | _ENTRIES | (_MOVE[1] if version >= _MOVE[0] else 0)
        ruleset = _Ruleset(on_all, _TCP, _OTHERS)
        # A version refuses rules that it does not know.
        size = 8 * (1 + (version >= _NET) + (version >= _SCOPES))
        rules = _call(libc, _CREATE, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
        try:
            for path in (*self.write, *more, "/dev/shm"):  # noqa: S108
                _allow(libc, rules, path, on_all)
            # A thread's name is set in /proc/self.
            for path in (*_DEVICES, "/proc/self"):
                _allow(libc, rules, path, on_files)
            for port in self.ports if version >= _NET else ():
                _call(libc, _ADD, rules, _PORT, ctypes.byref(_ToPort(_CONNECT, port)), 0)
            if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "no_new_privs")
            _call(libc, _RESTRICT, rules, 0)
        finally:
            os.close(rules)
        _applied.append(tuple(map(os.path.realpath, (*self.write, "/dev", "/proc"))))


def refused(error: BaseException) -> bool:
    """Whether the sandbox of this process is why a file could not be written."""
    name = getattr(error, "filename", None)
    if not _applied or not isinstance(error, PermissionError) or not isinstance(name, str | bytes):
        return False
    real = Path(os.path.realpath(os.fsdecode(name)))
    # Landlock is not asked by access(): what that refuses, modes refuse.
    if not os.access(real if real.exists() else real.parent, os.W_OK):
        return False
    return not any(real.is_relative_to(each) for each in _applied[0])


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    """Allow ``access`` at ``path`` and below; nothing if it is not there."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _call(libc, _ADD, rules, _BENEATH, ctypes.byref(_Beneath(access, fd)), 0)
    finally:
        os.close(fd)


def _call(libc: ctypes.CDLL, number: int, *values: object) -> int:
    result = int(libc.syscall(number, *values))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def state(*, wanted: bool, executor: str) -> str:
    """Say whether workers are confined, or why not."""
    if not wanted:
        return "off (engine.sandbox)"
    if executor == "thread":
        return 'none: workers are threads (engine.executor = "thread")'
    version = landlock()
    return f"Landlock {version}" if version else "none: this kernel has no Landlock"


def words(state: str) -> str:
    """Add to the text of :func:`state` what it means for workers."""
    if not state.startswith("Landlock"):
        return state
    return f"{state}: workers write only where their job does, and use no TCP but to its stores"
