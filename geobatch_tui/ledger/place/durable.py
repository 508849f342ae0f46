"""Writes that survive a crash: files replaced whole, names in directories, bytes set aside.

``failpoint`` marks the places between two such steps at which a test kills the process.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import (
    DISK_FULL,
    DISK_GONE,
    DiskFullError,
    OutputGoneError,
    StateError,
)
from geobatch_tui.execution.io.disk import replacing, sync_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESERVE_BYTES: Final = 4 << 20
_PIECE: Final = 1 << 20
_NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM})
VARIABLE: Final = "GEOBATCH_FAILPOINT"


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    return name, int(count or 1)


_name, _left = _parse(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Die by SIGKILL at the n-th passage of the place that ``GEOBATCH_FAILPOINT=name[:n]`` names.

    Does nothing when the variable was unset or named another place as this module was imported.
    """
    global _left  # noqa: PLW0603
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def write_json_atomic(path: Path, obj: Mapping[str, object]) -> None:
    """Write ``obj`` so that a reader, or a crash, sees the old file or the new one, whole.

    Raises:
        DiskFullError: no space; the old file stays.
        OutputGoneError: the directory is gone or read-only.
        StateError: any other reason of the system's.
    """
    try:
        with replacing(path, 0o600) as file:
            file.write(json.dumps(obj, indent=1).encode() + b"\n")
            failpoint("json_before_rename")
        failpoint("json_after_rename")
        sync_directory(path.parent)
    except OSError as error:
        raise output_error(error, path) from error


def output_error(error: OSError, where: Path) -> StateError | DiskFullError:
    """Make the typed error for an OSError on something below the output directory."""
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        return DiskFullError(f"no space left to write {where}: {reason}")
    if error.errno in DISK_GONE | _NO_PLACE:
        return OutputGoneError(f"cannot write {where}: {reason}")
    return StateError(f"cannot write {where}: {reason}")


@dataclass(frozen=True, slots=True)
class Reserve:
    """Real bytes set aside, so that a ledger on a full disk can still record how the run ended."""

    path: Path
    size: int = RESERVE_BYTES

    def ensure(self) -> bool:
        """Set the bytes aside, unless they are. False if there is no space for them."""
        with suppress(OSError):
            if self.path.lstat().st_size == self.size:
                return True
        try:
            self.path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(self.path, flags, 0o600), "wb") as file:
                # Random, since a compressing filesystem would store zeros in nothing; what it
                # compresses at once is less than what is repeated here. Random bytes take time.
                piece = os.urandom(_PIECE)
                file.write((piece * -(-self.size // _PIECE))[: self.size])
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.release()
            return False
        return True

    def has_room(self) -> bool:
        """Whether setting the bytes aside would leave plenty."""
        try:
            return shutil.disk_usage(self.path.parent).free > 16 * self.size
        except OSError:
            return False

    def release(self) -> bool:
        """Give the bytes back. False if there were none."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
