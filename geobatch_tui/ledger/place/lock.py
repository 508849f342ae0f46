"""Lets one run at a time work on an output directory, by a kernel lock that dies with its holder.

The lock is ``flock`` on a file that is never unlinked. The file's body is only for the message to
whoever is refused: nothing is decided by it, so it can't go stale.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self, TypedDict, Unpack

from geobatch_tui.errors import LockHeldError, StateError
from geobatch_tui.ledger.place.durable import output_error
from geobatch_tui.ledger.place.regular_file import open_fd, open_read

#: ``is_held`` takes a shared lock for an instant; a run that starts then must not be refused.
_TRIES: Final = 6
_PAUSE: Final = 0.05
_START_TICKS_FIELD: Final = 19  #: of /proc/PID/stat, counted behind the name of the command


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lock. ``start_ticks`` since boot tells a reused pid; ``t0`` is UNIX time."""

    pid: int = 0
    boot_id: str = ""
    start_ticks: int = 0
    host: str = ""
    run_id: str = ""
    epoch: int = 0
    socket: str = ""
    t0: float = 0.0


class RunFields(TypedDict, total=False):
    """Fields of a ``Holder`` that a run fills in; the others are of its process."""

    run_id: str
    epoch: int
    socket: str
    host: str
    t0: float


def describe_self() -> Holder:
    """Describe this process as a holder; the run's own fields are left empty."""
    boot, ticks = "", 0
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError, IndexError, ValueError):
        # The command's name stands in parentheses and may hold spaces and parentheses itself.
        stat = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        ticks = int(stat[_START_TICKS_FIELD])
    return Holder(os.getpid(), boot, ticks, os.uname().nodename, t0=time.time())


def read_holder(path: Path) -> Holder | None:
    """Read the last holder that wrote its name in the lock file; None if nobody did."""
    try:
        with open_read(path) as file:
            return _parse(file.read(1 << 16))
    except OSError:
        return None


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock. A missing file is not held."""
    try:
        fd = open_fd(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"cannot look at the lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def live_holder(path: Path) -> Holder | None:
    """Return who holds the lock now, as far as its file tells; None if nobody does."""
    return (read_holder(path) or Holder()) if is_held(path) else None


class RunLock:
    """A held lock. ``release`` it, leave its ``with`` block, or die: each frees it."""

    def __init__(self, path: Path, fd: int, holder: Holder) -> None:
        self.path = path
        self.holder = holder
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path, **run: Unpack[RunFields]) -> Self:
        """Take the lock by its file, which is made with mode 0600 and never followed as a link.

        Raises:
            LockHeldError: another process has it.
            OutputGoneError, DiskFullError, StateError: the file can't be made or written.
        """
        fd = _take(path)
        lock = cls(path, fd, replace(describe_self(), **run))
        try:
            lock._write()
        except BaseException:
            os.close(fd)
            raise
        return lock

    def update(self, **run: Unpack[RunFields]) -> None:
        self.holder = replace(self.holder, **run)
        self._write()

    def release(self) -> None:
        """Free the lock. The file stays, with the name of its last holder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _write(self) -> None:
        data = json.dumps(asdict(self.holder)).encode() + b"\n"
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, data, 0)
        except OSError as error:
            raise output_error(error, self.path) from error


def _take(path: Path) -> int:
    """Open the file that ``path`` names now, and lock it."""
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            fd = open_fd(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StateError(f"{path} is a symbolic link; remove it") from error
            raise output_error(error, path) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(fd, path):
                return fd
        except BlockingIOError:
            if last:
                holder = _parse(os.pread(fd, 1 << 16, 0))
                os.close(fd)
                raise _refusal(path, holder) from None
        except OSError as error:
            os.close(fd)
            raise StateError(f"cannot lock {path}: {error.strerror}") from error
        os.close(fd)
        time.sleep(_PAUSE)
    raise StateError(f"the lock {path} is replaced again and again by another program")


def _is_same(fd: int, path: Path) -> bool:
    """Whether the descriptor's file still bears this name: it may have been replaced meanwhile."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    locked = os.fstat(fd)
    return (locked.st_dev, locked.st_ino) == (named.st_dev, named.st_ino)


def _parse(data: bytes) -> Holder | None:
    try:
        body = json.loads(data)
        known = {field.name for field in fields(Holder)}
        return Holder(**{key: value for key, value in body.items() if key in known})
    except (ValueError, AttributeError, TypeError):
        return None


def _refusal(path: Path, holder: Holder | None) -> LockHeldError:
    where = path.parent.parent
    if holder is None:
        return LockHeldError(f"another run is starting in {where}", hint="try again in a moment")
    since = datetime.fromtimestamp(holder.t0, UTC).isoformat(timespec="seconds")
    return LockHeldError(
        f"{where} is held by process {holder.pid} on {holder.host} since {since}, "
        f"run {holder.run_id or '(starting)'}",
        hint=f"wait for it, or stop it: kill -INT {holder.pid} (on {holder.host})",
    )
