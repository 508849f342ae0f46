"""Writes that either reach the disk or raise, and errors of the disk by cause.

Short writes go on where they stopped; an interrupted call is repeated by Python itself (PEP 475).
A failed fsync is never repeated: the kernel may have marked the lost pages clean.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    DISK_FULL,
    DISK_GONE,
    TOO_MANY_FILES,
    DiskFullError,
    OpenFilesError,
    OutputGoneError,
    VerifyError,
)

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

#: Where one filesystem, kernel or seccomp filter cannot, plain reads and writes can.
_NO_KERNEL_COPY = frozenset({
    errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF,
    errno.ETXTBSY,
})  # fmt: skip
_PIECE = 1 << 20
#: Parts that one call writes; systems take 1024 of them.
_AT_ONCE = 512
_CAUSES = (
    (DISK_FULL, DiskFullError),
    (DISK_GONE, OutputGoneError),
    (TOO_MANY_FILES, OpenFilesError),
)


@contextmanager
def disk_errors(what: str, path: str | Path) -> Iterator[None]:
    """Turn an OSError within into an error that says what to do.

    Raises:
        DiskFullError: no space, quota used up, or the file may not grow any further.
        OutputGoneError: the disk failed, went away or became read-only.
        OpenFilesError: too many open files.
        OSError: any other cause, unchanged.
    """
    try:
        yield
    except OSError as error:
        for numbers, kind in _CAUSES:
            if error.errno in numbers:
                text = os.strerror(error.errno)
                raise kind(f"{what} {os.fspath(path)!r}: {text}") from error
        raise


def write_all(fd: int, data: Buffer) -> None:
    """Write every byte of ``data`` at the file's position. Raises OSError; what was written before
    stays."""
    left = memoryview(data).cast("B")
    while left:
        left = left[_nonzero(os.write(fd, left)) :]


def write_parts(fd: int, parts: Sequence[bytes]) -> None:
    """Write ``parts`` one behind the other, as :func:`write_all`, without joining them first."""
    for first in range(0, len(parts), _AT_ONCE):
        some = parts[first : first + _AT_ONCE]
        length = sum(map(len, some))
        if not length:
            continue
        written = _nonzero(os.writev(fd, some))
        if written < length:
            write_all(fd, memoryview(b"".join(some))[written:])


def write_at(fd: int, offset: int, data: Buffer) -> None:
    """Write every byte of ``data`` from ``offset``, as :func:`write_all`; the file's position stays
    where it is."""
    left = memoryview(data).cast("B")
    while left:
        written = _nonzero(os.pwrite(fd, left, offset))
        offset, left = offset + written, left[written:]


def _nonzero(written: int) -> int:
    """Take a write of no byte, of which the system gives no reason, for a full disk."""
    if not written:
        raise OSError(errno.ENOSPC, "a write of 0 bytes")
    return written


def read_exactly(fd: int, offset: int, length: int) -> bytes:
    """Read ``length`` bytes from ``offset``. Raises VerifyError if the file ends before."""
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
    """Read as many bytes from ``offset`` as ``view`` holds. Raises VerifyError if the file ends
    before."""
    while view:
        count = os.preadv(fd, [view], offset)
        if not count:
            raise VerifyError(f"the file ends at byte {offset}; {len(view)} more were expected")
        offset, view = offset + count, view[count:]


def forget(fd: int, offset: int, length: int) -> None:
    """Tell the system, where it can be told, that nobody will read these bytes soon: their memory
    is then free at once for what is written next."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def copy_range(source: int, target: int, offset: int, length: int) -> None:
    """Append ``length`` bytes from ``offset`` of one file at another's position: by the kernel if
    it can, else through memory. Raises VerifyError if the source ends before, and OSError."""
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
    """Make the names in a directory durable. Raises OSError; it must not be tried again, see
    fsync(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write a file that takes the name ``path`` once all its bytes are on disk, or never.

    Args:
        path: of the file; what is there is replaced: a link too, and not what it leads to.
        mode: of the new file, less the umask.

    Raises:
        OSError: it cannot be written or named.
    """
    import secrets  # which workers, that replace no file, need not load

    part = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
