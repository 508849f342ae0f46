"""Sources that are objects of a store: their identity, and whether it still holds."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from geobatch_tui.errors import SourceChangedError
from geobatch_tui.execution.protocol.messages import SourceIdentity
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import ObjectUrl

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.store_client import StoreClient, Version


#: What is looked for beside an image: a mask, GDAL's own metadata, its place on the ground.
MASK, METADATA = ".msk", ".aux.xml"
WORLD = (".tfw", ".wld", ".pgw", ".jgw")
BESIDE = (MASK, METADATA, *WORLD)


def key_beside(key: str, ending: str) -> str:
    """Return the key of what may lie beside an object: a world file has no suffix of the image."""
    stem = key.removesuffix(PurePosixPath(key).suffix) if ending in WORLD else key
    return stem + ending


def _client_of(url: ObjectUrl) -> StoreClient:
    """Return the client of a store, which is imported when there is an object."""
    from geobatch_tui.execution.stores.store_client import client_of

    return client_of(url)


def identify_object(text: str, edge: int, *, leave: bool = False) -> SourceIdentity:
    """Return the identity of the object at a URL, by two requests, of a small one by one: its first
    and last ``edge`` bytes are hashed as those of a file, so that a copy on a disk gives the same
    outputs. ``leave``: the first for the workers of a run.

    Raises: as the client's ``read``.
    """
    from geobatch_tui.execution.stores.reading import kept_heads

    url = ObjectUrl.of(text)
    client = _client_of(url)
    try:
        first, version = client.read(url, 0, 2 * edge, None)
    except (SourceChangedError, RangesRefusedError):  # an empty one, or a server without ranges
        version = client.version(url)
        whole = f"{version.size} {version.mtime_ns} {version.tag}".encode()
        return _identity(version, hashlib.blake2b(whole, digest_size=16).hexdigest())
    state = hashlib.blake2b(str(version.size).encode(), digest_size=16)
    state.update(first[:edge])
    start = max(edge, version.size - edge)
    if version.size > len(first):
        state.update(client.read_bytes(url, start, version.size, wanted=version))
    else:
        state.update(first[start:])
    if leave:
        kept_heads.leave(url, version, first)
    return _identity(version, state.hexdigest())


def _identity(version: Version, digest: str) -> SourceIdentity:
    return SourceIdentity(version.size, version.mtime_ns, f"{digest}:{version.tag}")


def content_of(identity: SourceIdentity) -> str:
    """Return the digest alone: a copy of the source has the same, wherever it is."""
    return identity.digest.partition(":")[0]


def tag_of(identity: SourceIdentity) -> str:
    """Return the ETag of an object; empty: it has none, or is a file."""
    return identity.digest.partition(":")[2]


def version_in(identity: SourceIdentity) -> Version:
    """Return the version of an object that an identity says."""
    from geobatch_tui.execution.stores.store_client import Version

    return Version(identity.size, identity.mtime_ns, tag_of(identity))


def status_of(text: str) -> tuple[int, int]:
    """Return size and time of last change (ns) of the object at a URL, by one request; errors as
    :func:`identify_object`."""
    url = ObjectUrl.of(text)
    version = _client_of(url).version(url)
    return version.size, version.mtime_ns


def place_of_version(version: Version) -> tuple[int, int]:
    """Return the size of an object and a number that stands for its version, where a table keeps
    size and time of a file: a time has seconds only in most stores."""
    if not version.tag:
        return version.size, version.mtime_ns
    number = hashlib.blake2b(version.tag.encode(), digest_size=8).digest()
    return version.size, int.from_bytes(number) >> 1


def is_still(text: str, known: SourceIdentity) -> bool:
    """Whether the object at a URL is the one that is ``known``, by one request; errors as
    :func:`identify_object`."""
    url = ObjectUrl.of(text)
    return _client_of(url).version(url).is_same(version_in(known))
