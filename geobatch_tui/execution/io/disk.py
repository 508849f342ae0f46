"""Writes that either reach the disk or raise, and errors of the disk by cause.

Short writes go on where they stopped; an interrupted call is repeated by Python itself (PEP 475).
A failed fsync is never repeated: the kernel may have marked the lost pages clean.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import DiskFullError, OpenFilesError, OutputGoneError, VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: EFBIG is RLIMIT_FSIZE, or a filesystem's largest file.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_GONE = frozenset({errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE})
_OPEN_FILES = frozenset({errno.EMFILE, errno.ENFILE})

#: Where one filesystem, kernel or seccomp filter cannot, plain reads and writes can.
_NO_KERNEL_COPY = frozenset({
    errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF,
    errno.ETXTBSY,
})  # fmt: skip
_PIECE = 1 << 20


@contextmanager
def disk_errors(what: str, path: str | Path) -> Iterator[None]:
    """Turn an OSError within into an error that says what to do.

    Raises:
        DiskFullError: no space, quota used up, or the file may not grow any further.
        OutputGoneError: the filesystem went away or became read-only.
        OpenFilesError: too many open files.
        OSError: any other cause, unchanged.
    """
    try:
        yield
    except OSError as error:
        message = f"{what} {os.fspath(path)!r}: {os.strerror(error.errno or 0)}"
        if error.errno in _FULL:
            raise DiskFullError(message) from error
        if error.errno in _GONE:
            raise OutputGoneError(message) from error
        if error.errno in _OPEN_FILES:
            raise OpenFilesError(message) from error
        raise


def write_all(fd: int, data: Any) -> None:
    """Write every byte of ``data`` at the file's position.

    Raises:
        OSError: not all could be written. What was written before stays.
    """
    rest = memoryview(data).cast("B")
    while rest:
        written = os.write(fd, rest)
        if not written:
            raise OSError(errno.EIO, "a write of 0 bytes")
        rest = rest[written:]


def write_at(fd: int, offset: int, data: Any) -> None:
    """Write every byte of ``data`` from ``offset``; the file's position stays where it is.

    Raises:
        OSError: not all could be written. What was written before stays.
    """
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(fd, rest, offset)
        if not written:
            raise OSError(errno.EIO, "a write of 0 bytes")
        offset, rest = offset + written, rest[written:]


def read_exactly(fd: int, offset: int, length: int) -> bytes:
    """``length`` bytes from ``offset``.

    Raises:
        VerifyError: the file ends before.
    """
    pieces = []
    while length:
        piece = os.pread(fd, length, offset)
        if not piece:
            raise VerifyError(f"the file ends at byte {offset}; {length} more bytes were expected")
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def fill(fd: int, offset: int, view: memoryview) -> None:
    """Read as many bytes from ``offset`` as ``view`` holds.

    Raises:
        VerifyError: the file ends before.
    """
    while view:
        count = os.preadv(fd, [view], offset)
        if not count:
            raise VerifyError(f"the file ends at byte {offset}; {len(view)} more were expected")
        offset, view = offset + count, view[count:]


def forget(fd: int, offset: int, length: int) -> None:
    """Tell the system that nobody will read these bytes soon, so that it can use their memory for
    others at once, as for what is written next. Where it cannot be told, it finds out later."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def copy_range(source: int, target: int, offset: int, length: int) -> None:
    """Append ``length`` bytes from ``offset`` of one file at another's position.

    The kernel copies if it can; else through memory, a piece at a time.

    Raises:
        VerifyError: the source ends before.
        OSError: the target cannot be written.
    """
    while length:
        try:
            copied = os.copy_file_range(source, target, length, offset_src=offset)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            copied = 0
        if not copied:  # refused, or the source ends here: the plain way tells which
            piece = read_exactly(source, offset, min(length, _PIECE))
            write_all(target, piece)
            copied = len(piece)
        offset += copied
        length -= copied


def sync_directory(path: str | Path) -> None:
    """Make a new name in ``path`` durable.

    Raises:
        OSError: the directory cannot be opened or synced.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_spool(path: Path) -> tuple[int, int]:
    """Open a spool to append to it, and to read; made if it is not there. Its size, too.

    The name of a new one is on disk before its first byte is written, and so are those of the
    item's folder and of ``work``: else a power cut could take a file whose bytes were synced.

    Raises:
        OSError: it cannot be made or opened, or a folder cannot be synced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        if not size:
            for folder in path.parents[:3]:
                sync_directory(folder)
    except BaseException:
        os.close(fd)
        raise
    return fd, size
