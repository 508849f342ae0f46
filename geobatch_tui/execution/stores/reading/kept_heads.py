"""The heads of objects: each is asked for once, whoever reads it.

The engine reads the first bytes of an object to identify it. One worker probes the item, and
several compute its chunks; each of them needs the directories of the source, and small objects are
their heads. A process keeps heads in memory; the engine also leaves them with the copies of the
run, where workers find them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import SourceChangedError
from geobatch_tui.execution.stores import local_copy, store_client, store_settings
from geobatch_tui.execution.stores.reading import foreseen

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.execution.stores.store_client import StoreClient, Version

#: Bytes of the first request, which hold the directories of most GeoTIFFs.
HEAD = 32 * 1024
#: Bytes of an object that is read whole at once, where its size is known.
SMALL = 256 * 1024
#: Bytes of all heads that a process keeps, and of those that an engine leaves for workers: the
#: first of a plan are the first to be computed.
KEPT, LEFT = 16 * 2**20, 128 * 2**20


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What is known of one version of an object: ``parts`` by where they begin. Readers add to
    them."""

    version: Version
    parts: list[tuple[int, bytes]]

    @property
    def bytes(self) -> int:
        return sum(len(data) for _, data in self.parts)


class KeptHeads:
    """Heads of objects, up to a number of bytes: those go that were used longest ago. A plan has
    very many small ones, so their bytes are not summed up each time. Not for several threads."""

    def __init__(self) -> None:
        self._heads: OrderedDict[tuple[ObjectUrl, Version], tuple[ObjectHead, int]] = OrderedDict()
        self._size = 0

    def get(self, url: ObjectUrl, version: Version) -> ObjectHead | None:
        """Return a head, None if it is not kept. What readers added to it counts from now on."""
        found = self._heads.get((url, version))
        if found is None:
            return None
        self.put(url, found[0])
        return found[0]

    def put(self, url: ObjectUrl, head: ObjectHead) -> None:
        """Keep a head, in place of an older one of its version."""
        key, size = (url, head.version), head.bytes
        self._size += size - self._heads.pop(key, (head, 0))[1]
        self._heads[key] = head, size
        while self._size > KEPT and len(self._heads) > 1:
            self._size -= self._heads.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all."""
        self._heads.clear()
        self._size = 0


_kept = KeptHeads()
_lock = threading.Lock()


def head_of(url: ObjectUrl, wanted: Version | None) -> ObjectHead:
    """Return the head of the version of an object that is ``wanted`` (None: any), by one request if
    it is not known; errors as the client's ``read``."""
    known = _known(url, wanted)
    if known is None:
        client = store_client.client_of(url)
        answer = foreseen.taken((url, wanted), first_bytes, client, url, wanted)
        data, version = answer.result()
        if wanted is not None and not version.is_same(wanted):
            raise SourceChangedError(f"{url} was replaced")
        known = _keep(url, ObjectHead(version, [(0, data)]))
    return known


def foresee(url: ObjectUrl, wanted: Version | None) -> None:
    """Begin to ask for the head of an object that will be opened soon."""
    if _known(url, wanted) is None:
        client = store_client.client_of(url)
        foreseen.begin((url, wanted), first_bytes, client, url, wanted)


def first_bytes(
    client: StoreClient, url: ObjectUrl, wanted: Version | None
) -> tuple[bytes, Version]:
    """Read the first bytes of an object, and its version; errors as the client's ``read``."""
    small = wanted is not None and 0 < wanted.size <= SMALL
    end = wanted.size if wanted is not None and small else HEAD
    try:
        return client.read(url, 0, end, wanted)
    except SourceChangedError:
        version = client.version(url)
        if version.size or (wanted and not version.is_same(wanted)):
            raise
        return b"", version  # an empty object has no byte that could be asked for


def _known(url: ObjectUrl, wanted: Version | None) -> ObjectHead | None:
    """Return the kept head of a version. Of any version there is none: it may be another now."""
    if wanted is None:
        return None
    with _lock:
        head = _kept.get(url, wanted)
    if head is not None:
        return head
    data = _left_for(url, wanted)
    return _keep(url, ObjectHead(wanted, [(0, data)])) if data else None


_left_bytes = 0


def leave(url: ObjectUrl, version: Version, first: bytes) -> None:
    """Leave the first bytes of an object for the workers of this run, if it has a directory for
    copies, and they are not too many. They are a help, and nothing fails without them."""
    global _left_bytes  # noqa: PLW0603 - of the process, as the memory that it stands for
    data = first if len(first) == version.size else first[:HEAD]
    with _lock:
        if not store_settings.current().scratch or _left_bytes + len(data) > LEFT:
            return
        _left_bytes += len(data)
    with contextlib.suppress(OSError):
        path = str(local_copy.head_path(url, version))
        with open(f"{path}.part", "wb") as file:  # noqa: PTH123 - of each of many objects
            file.write(data)
        os.rename(f"{path}.part", path)  # noqa: PTH104 - the same


def _left_for(url: ObjectUrl, version: Version) -> bytes:
    """Return the first bytes that the engine left of a version; none if there are not."""
    if not store_settings.current().scratch:
        return b""
    try:
        fd = os.open(local_copy.head_path(url, version), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
        return file.read()


def _keep(url: ObjectUrl, head: ObjectHead) -> ObjectHead:
    with _lock:
        _kept.put(url, head)
    return head
