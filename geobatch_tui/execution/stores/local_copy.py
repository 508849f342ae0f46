"""Copies of objects on the local disk, for readers that know only files.

A copy is of one version of an object. It is written under another name, continued where an answer
broke off, and renamed once it has all its bytes; workers that need the same one wait for whoever
fetches it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import DiskFullError
from geobatch_tui.execution.stores import request_pool, store_client, store_settings
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import ObjectUrl, relative_name, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.stores.store_client import Range, StoreClient, Version

#: Copies take at most this share of what the disk has left: spools and outputs need the rest.
SHARE = 0.5
#: Requests of a copy that run ahead of what is written.
AHEAD = 8
#: Characters of the longest suffix of a copy; the suffix of the first bytes alone.
_SUFFIX, _HEAD = 24, ".head"


def directory() -> Path:
    """Return the directory of copies, made if missing: that of the run, else one of this user for
    temporary files."""
    place = _directory()
    try:
        status = place.lstat()
    except FileNotFoundError:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = place.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(errno.EPERM, "it is another user's", str(place))
    return place


def _directory() -> Path:
    chosen = store_settings.current().scratch
    return Path(chosen or Path(tempfile.gettempdir(), f"geobatch-objects-{os.getuid()}"))


@lru_cache(maxsize=256)
def _digest(url: ObjectUrl, version: Version) -> str:
    known = f"{url}\n{version.size}\n{version.mtime_ns}\n{version.tag}"
    return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()


def _place(url: ObjectUrl, version: Version, *, named: bool = False) -> Path:
    """Return the path of the copy; its name is ours, but for a plain suffix, or, if it is to be
    ``named`` as the object, in a directory of ours."""
    if named:
        folder = directory() / _digest(url, version)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / relative_name(url.name)
    return directory() / _plain_name(url, version)


def _plain_name(url: ObjectUrl, version: Version) -> str:
    suffix = os.path.splitext(relative_name(url.name))[1].lower()  # noqa: PTH122 - of each of many
    plain = suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) < _SUFFIX else ""
    return f"{_digest(url, version)}{plain}"


def head_path(url: ObjectUrl, version: Version) -> Path:
    """Return the path of the first bytes of an object, where the engine leaves them for workers."""
    return directory() / f"{_digest(url, version)}{_HEAD}"


def local_copy(url: ObjectUrl, version: Version, *, named: bool = False) -> Path:
    """Return the path of a whole copy of an object, ``named`` as it is or not; it is fetched if it
    is not there.

    Raises:
        SourceChangedError: it is another object now.
        DiskFullError: the disk has no room for it.
        SourceNotFoundError, RemoteIOError and its kin: it cannot be read.
    """
    path = _place(url, version, named=named)
    if not path.is_file():
        with _alone(path):
            if not path.is_file():
                _fetch(url, version, path)
    return path


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other worker fetches to ``path``."""
    fd = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _fetch(url: ObjectUrl, version: Version, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("ab") as file:
        done = file.tell()
        _refuse_without_room(url, version.size - done, path)
        client = store_client.client_of(url)
        try:
            _append(file.fileno(), url, version, client, done)
        except RangesRefusedError:
            file.truncate(0)
            for data in client.stream(url, version):
                os.write(file.fileno(), data)
    part.rename(path)


def _append(fd: int, url: ObjectUrl, version: Version, client: StoreClient, done: int) -> None:
    """Fetch what is missing, some requests ahead of what is written."""
    starts = range(done, version.size, store_client.LONGEST)
    ranges = [(start, min(start + store_client.LONGEST, version.size)) for start in starts]

    def read(place: Range) -> bytes:
        return client.read_bytes(url, *place, wanted=version)

    for data in request_pool.in_order(read, ranges, AHEAD):
        os.write(fd, data)


def _refuse_without_room(url: ObjectUrl, size: int, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free * SHARE:
        raise DiskFullError(
            f"{shown(str(url))} has to be copied to {path.parent}, {size} bytes, and {free} are "
            "free there"
        )


def drop(url: ObjectUrl, version: Version) -> None:
    """Remove the copy of an object, if there is one: nothing will need it any more."""
    place, digest = str(directory()), _digest(url, version)
    with contextlib.suppress(OSError):
        os.unlink(f"{place}/{digest}{_HEAD}")  # noqa: PTH108 - of each of many objects
    path = f"{place}/{_plain_name(url, version)}"
    if os.path.isfile(f"{path}.lock"):  # noqa: PTH113 - each copy has one; most have no copy
        for ending in ("", ".aux.xml", ".lock"):
            with contextlib.suppress(OSError):
                Path(f"{path}{ending}").unlink()
    if os.path.isdir(f"{place}/{digest}"):  # noqa: PTH112 - the same
        shutil.rmtree(f"{place}/{digest}", ignore_errors=True)
