"""Part files: unfinished outputs beside their final names.

``.<stem>.<first 8 of the fingerprint>.<epoch>.part`` in the directory of the output, on a cluster
with the node before the epoch. A name begun with a dot and ended in ``.part`` is never an output.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.disk import disk_errors
from geobatch_tui.execution.io.run_node import node_suffix, require_pass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import ItemContext

SUFFIX = ".part"
_NAME_MAX = 255


def part_path(item: ItemContext, epoch: int) -> Path:
    """Return the path of the item's part file in this epoch, which is about to be written.

    Names are bytes: any stem works, and one too long for the filesystem is cut, with a hash of the
    whole name in its place. Raises ClusterError if the run counts this node in no more.
    """
    require_pass()
    final = Path(item.out_path)
    stem = os.fsencode(final.stem)
    tail = f".{item.fingerprint[:8]}{node_suffix()}.{epoch}{SUFFIX}".encode()
    room = _name_max(final.parent) - len(tail) - 1
    if len(stem) > room:
        digest = hashlib.blake2b(os.fsencode(final.name), digest_size=4).hexdigest()
        stem = stem[: room - len(digest) - 1] + b"~" + digest.encode()
    return final.parent / os.fsdecode(b"." + stem + tail)


def _name_max(directory: Path) -> int:
    """Return the longest name in bytes; the directory itself may not be there yet."""
    try:
        limit = os.pathconf(directory, "PC_NAME_MAX")
    except OSError:
        return _NAME_MAX if directory == directory.parent else _name_max(directory.parent)
    return limit if limit > 0 else _NAME_MAX


@contextmanager
def new_file(path: Path, *, later: bool = False) -> Iterator[int]:
    """Open a new file at ``path`` for writing; sync and close it at the end, remove it on error.

    ``later``: it need only be on disk before the task is answered for.

    What lies at ``path`` is unlinked, not truncated: a straggler that still writes to it only
    reaches a file without a name. Links are not followed. Missing directories are made.

    Raises:
        DiskFullError: no space, or the file may not grow any further.
        OutputGoneError: the directory vanished or became read-only.
        OSError: another failure of the disk; a failed fsync is never tried again.
    """
    with disk_errors("cannot write", path):
        fd = _create(path)
        with removed_on_error(path):
            try:
                yield fd
                if not later:
                    os.fsync(fd)
            except BaseException:
                os.close(fd)
                raise
            if later:
                syncing.finish_later(fd, path)
            else:
                os.close(fd)


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        path.unlink(missing_ok=True)
    return os.open(path, flags, 0o666)


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Remove ``path`` if the block raises, and raise that error on."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


@contextmanager
def readable_name(path: str | Path) -> Iterator[str]:
    """Give a name of an existing file that GDAL can open: rasterio encodes names as UTF-8, so a
    file whose name has other bytes is opened here (OSError), and named as descriptor."""
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield f"/dev/fd/{fd}"
        finally:
            os.close(fd)
    else:
        yield name
