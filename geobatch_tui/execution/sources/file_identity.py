"""Identities of files: size, time, and a digest of head and tail; those of many files at once."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.protocol.messages import SourceIdentity
from geobatch_tui.execution.sources import object_sources, source_files
from geobatch_tui.execution.stores import request_pool
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EDGE = 64 * 1024
"""Bytes hashed at each end of a source."""


def identify_file(path: str | Path) -> SourceIdentity:
    """Return size, time and a digest of the head and tail of a regular file."""
    # Without O_NONBLOCK the opening of a pipe waits for whoever opens its other end.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeInputError(
                f"{safe(str(path))}: not a regular file", hint="copy what it gives into a file"
            )
        state = hashlib.blake2b(str(status.st_size).encode(), digest_size=16)
        state.update(file.read(EDGE))
        if status.st_size > EDGE:
            file.seek(max(EDGE, status.st_size - EDGE))
            state.update(file.read(EDGE))
    return SourceIdentity(status.st_size, status.st_mtime_ns, state.hexdigest())


def identify_member(path: str) -> SourceIdentity:
    """Return size, time and digest of a file, or of the object at a URL: a copy has the same
    digest. Raises as :func:`identify_file`, and as ``identify_object``."""
    if not is_url(path):
        return identify_file(path)
    identity = object_sources.identify_object(path, EDGE)
    return replace(identity, digest=object_sources.content_of(identity))


def identify_each(
    paths: Sequence[str],
) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Return size and time of each source of one file, over all its files, and the digests of these
    files. Raises as :func:`identify_member`."""
    statuses, digests = [], []
    objects = request_pool.in_order(identify_member, filter(is_url, paths))
    for each in source_files.files_of_each(paths):
        identities = [next(objects)] if is_url(each[0]) else [identify_member(one) for one in each]
        statuses.append(source_files.total((one.size, one.mtime_ns) for one in identities))
        digests += [one.digest for one in identities]
    return tuple(statuses), tuple(digests)
