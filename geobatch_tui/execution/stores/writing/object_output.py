"""A finished file goes to a store: in parts that survive the process, checked, under its final
name whole or not at all. It is read where it lies: as a file, or in pieces from its spools.

Each byte that is sent is read once, in the order of the file, and its digest is held against the
one that the file was verified with; each part against what the store says it got; the object's
size, ETag, head and tail against the file's.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import shutil
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.errors import DiskFullError, GeobatchError, RemoteIOError, VerifyError
from geobatch_tui.execution.io.digest import alike
from geobatch_tui.execution.io.pieced_file import PiecedFile
from geobatch_tui.execution.stores import local_copy, request_pool, store_client, write_faults
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.execution.stores.write_faults import NameTakenError
from geobatch_tui.execution.stores.writing import part_upload
from geobatch_tui.execution.stores.writing.part_upload import Part, Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from geobatch_tui.execution.io.digest import Digest
    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.execution.stores.writing.part_upload import PartUploads

#: Bytes of a part, unless the object has more than the most parts of it: below, all is one request.
PART_BYTES = 8 * 2**20
MOST_PARTS = 10_000
#: Bytes of parts that are held in memory at once, of all uploads of this process.
IN_MEMORY = 8 * PART_BYTES
_slots = threading.BoundedSemaphore(IN_MEMORY // PART_BYTES)
#: Bytes that are read back from each end of an object, if the store's checksums agree with ours.
ENDS = 32 * 1024
#: Bytes of the largest object that is written on a condition by a store without parts.
MOST_CONDITIONAL = 64 * 2**20
#: Metadata of each object: what tells our outputs from others, and from those of other plans.
FINGERPRINT, DIGEST = "geobatch-fp", "geobatch-digest"


class StoppedError(Exception):
    """The run ends before the object is whole: the next one goes on."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send, and what is known of its upload.

    ``begun`` is the id of an upload of an earlier run; ``known``: an earlier run may have sent it,
    so that it may be there. ``keep`` is given the id of a new one, and returns once that is
    durable. ``absent``: nothing may have its name. ``spools`` have pieces of it; None: the file at
    ``path`` is the whole.
    """

    path: Path
    url: ObjectUrl
    size: int
    digest: str
    fingerprint: str
    keep: Callable[[str], None]
    begun: str = ""
    known: bool = False
    absent: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    progressed: Callable[[int], None] = lambda _: None
    spools: tuple[Path, ...] | None = None

    def opened(self) -> io.BufferedReader:
        """Open the file to read it; errors as those of :class:`PiecedFile`."""
        if self.spools is None:
            return self.path.open("rb")
        return io.BufferedReader(PiecedFile(self.path, self.spools))

    @property
    def about(self) -> Mapping[str, str]:
        return {FINGERPRINT: self.fingerprint, DIGEST: self.digest}

    @property
    def part_bytes(self) -> int:
        whole = -(-self.size // MOST_PARTS)
        return PART_BYTES if whole <= PART_BYTES else -(-whole // 2**20) * 2**20


def send(upload: Upload) -> Version:
    """Send a file, and return the version of the object once it has been checked. Blocks.

    Raises:
        StoppedError: it was told to stop.
        NameTakenError: another object has its name, and may not be replaced.
        VerifyError: the file, or what the store has of it, is not what was verified.
        RemoteIOError and its kin: to be tried again.
        OutputGoneError: the store takes nothing from this run.
        OSError: the file cannot be read.
    """
    if upload.known and (version := _there(upload)) is not None:
        return version
    if upload.url.scheme != "s3":
        _put_whole(upload)
        return _checked(upload, None)
    uploads = part_upload.uploads_of(upload.url.root)
    try:
        tag = _put(upload, uploads) if upload.size <= PART_BYTES else _in_parts(upload, uploads)
    except NameTakenError:
        # The answer to our own request may have been lost, and the client asked once more.
        if (version := _there(upload)) is None:
            raise
        return version
    return _checked(upload, tag)


class Reader(Protocol):
    """Reads outputs back."""

    def described(self, url: ObjectUrl) -> tuple[Version, Mapping[str, str]] | None:
        """Return the version of an object, and its metadata; None: there is none."""

    def read_bytes(self, url: ObjectUrl, start: int, end: int, *, wanted: Version) -> bytes:
        """Read bytes of the version that is ``wanted``."""

    def listed(self, prefix: OutputPrefix) -> Iterator[tuple[str, Version]]:
        """Yield the keys below a prefix, and the versions of their objects."""


def reader_of(url: ObjectUrl) -> Reader:
    """Return what reads the outputs of a store."""
    return part_upload.uploads_of(url.root) if url.scheme == "s3" else store_client.client_of(url)


@contextlib.contextmanager
def fetched(url: ObjectUrl, version: Version) -> Iterator[Path]:
    """Copy an output to the local disk for a while. Raises DiskFullError where it has no room."""
    place = local_copy.directory()
    if version.size > shutil.disk_usage(place).free * local_copy.SHARE:
        raise DiskFullError(f"{shown(str(url))} has to be copied to {place}, which has no room")
    with tempfile.NamedTemporaryFile(dir=place, suffix=PurePosixPath(url.name).suffix) as file:
        for data in _read(url, version):
            file.write(data)
        file.flush()
        yield Path(file.name)


def put_file(path: Path, url: ObjectUrl, about: Mapping[str, str]) -> None:
    """Write a small file, by one request, over whatever is there. Errors as those of
    :func:`send`."""
    if url.scheme == "s3":
        part_upload.uploads_of(url.root).put(url, path.read_bytes(), about, absent=False)
    else:
        store_client.client_of(url).put(url, path, about)


def _there(upload: Upload) -> Version | None:
    """Return the version of the object if it is this file already: an earlier run, or a request
    whose answer was lost, wrote it."""
    found = reader_of(upload.url).described(upload.url)
    if found is None:
        return None
    version, about = found
    if version.size != upload.size or {**about, **upload.about} != about:
        return None
    return _read_whole(upload, version)


def _put_whole(upload: Upload) -> None:
    """Write by a store that has no parts to resume: whole, or again."""
    client = store_client.client_of(upload.url)
    conditional = upload.absent and upload.size <= MOST_CONDITIONAL
    if upload.absent and not conditional and client.described(upload.url) is not None:
        raise NameTakenError(f"{shown(str(upload.url))}: there is an object of that name")
    client.put(upload.url, upload.path, upload.about, absent=conditional)
    upload.progressed(upload.size)


def _put(upload: Upload, uploads: PartUploads) -> str:
    """Write a small file by one request, and return its ETag, if that is the MD5."""
    with upload.opened() as file:
        data = file.read()
    state = alike(upload.digest)
    state.update(data)
    _refuse_other_bytes(upload, state)
    uploads.put(upload.url, data, upload.about, absent=upload.absent)
    upload.progressed(len(data))
    return f'"{Sums.of(data).md5.hex()}"'


def _in_parts(upload: Upload, uploads: PartUploads) -> str | None:
    """Write by parts, and return the ETag, or what :func:`_checked` is to know of it."""
    ident, there = upload.begun, None
    if ident:
        there = uploads.sent(upload.url, ident)
    if there is None:
        upload.keep("")  # so that it is found if this process dies before it knows the id
        ident, there = uploads.begin(upload.url, upload.about), {}
        upload.keep(ident)
        if upload.known:  # an earlier request may have begun one, and its answer was lost
            uploads.give_up_lost(upload.url, ident)
    try:
        parts, sums = _send_parts(upload, uploads, ident, there)
        if upload.stop.is_set():
            raise StoppedError
        completed = uploads.complete(upload.url, ident, parts, absent=upload.absent)
    except VerifyError:
        with contextlib.suppress(GeobatchError):  # the next run finds it in the ledger
            uploads.give_up(upload.url, ident)
        raise
    # Else completed by a request whose answer was lost, or given up by somebody.
    if not completed and _there(upload) is None:
        raise write_faults.upload_gone(upload.url)
    md5 = all(part.tag.strip('"') == sum_.md5.hex() for part, sum_ in zip(parts, sums, strict=True))
    if md5:
        return part_upload.joined_tag(sums)
    return "" if all(part.crc32 for part in parts) else None


def _send_parts(
    upload: Upload, uploads: PartUploads, ident: str, there: Mapping[int, Part]
) -> tuple[list[Part], list[Sums]]:
    """Send the parts that the store does not have, some at once; return all, in order."""
    state = alike(upload.digest)
    ahead = max(1, IN_MEMORY // upload.part_bytes)
    sent: list[tuple[Part, Sums]] = []
    under_way: deque[Future[tuple[Part, Sums]]] = deque()
    for number, data in enumerate(_pieces(upload), 1):
        if upload.stop.is_set():
            raise StoppedError
        if len(under_way) >= ahead:
            sent.append(under_way.popleft().result())
        _slots.acquire()
        part = in_background(_send_part, upload, uploads, ident, number, data, there.get(number))
        part.add_done_callback(lambda _: _slots.release())
        under_way.append(part)
        state.update(data)
    sent += [part.result() for part in under_way]
    _refuse_other_bytes(upload, state)
    return [part for part, _ in sent], [sums for _, sums in sent]


def _send_part(
    upload: Upload,
    uploads: PartUploads,
    ident: str,
    number: int,
    data: bytes,
    there: Part | None,
) -> tuple[Part, Sums]:
    """Send a part, unless the store has it already; return it, and its checksums."""
    sums = Sums.of(data)
    if there is not None and there.holds(len(data), sums):
        return there, sums
    part = uploads.send(upload.url, ident, number, data, sums)
    if part.crc32 and part.crc32 != sums.crc32:
        raise RemoteIOError(f"{shown(str(upload.url))}: the store got other bytes of part {number}")
    upload.progressed(part.size)
    return part, sums


def _pieces(upload: Upload) -> Iterator[bytes]:
    with upload.opened() as file:
        while data := file.read(upload.part_bytes):
            yield data


def _refuse_other_bytes(upload: Upload, state: Digest) -> None:
    if state.hexdigest() != upload.digest:
        raise VerifyError(f"{upload.path} is not what was verified: it changed on the disk")


def _checked(upload: Upload, tag: str | None) -> Version:
    """Hold the object against the file: its size and both of its ends, if it has the ETag ``tag``,
    or that tells nothing of its bytes and the store's checksums do (empty); else all of it."""
    reader = reader_of(upload.url)
    found = reader.described(upload.url)
    if found is None:
        return _differs(upload)
    version, _ = found
    if version.size != upload.size:
        raise VerifyError(
            f"{shown(str(upload.url))} has {version.size} bytes, {upload.size} were sent"
        )
    if tag is None or tag not in {"", version.tag}:
        return _read_whole(upload, version) or _differs(upload)
    with upload.opened() as file:
        for start in {0, max(0, upload.size - ENDS)} if upload.size else ():
            file.seek(start)
            end = min(start + ENDS, upload.size)
            if reader.read_bytes(upload.url, start, end, wanted=version) != file.read(end - start):
                return _differs(upload)
    return version


def _differs(upload: Upload) -> Version:
    raise VerifyError(f"{shown(str(upload.url))} does not hold the bytes that were sent")


def _read_whole(upload: Upload, version: Version) -> Version | None:
    """Return the version if all bytes of the object have the digest of the file."""
    return version if has_digest(upload.url, version, upload.digest) else None


def has_digest(url: ObjectUrl, version: Version, digest: str) -> bool:
    """Whether the bytes of an object have this digest; all are read. Raises RemoteIOError and its
    kin, or SourceChangedError."""
    state = alike(digest)
    for data in _read(url, version):
        state.update(data)
    return state.hexdigest() == digest


def _read(url: ObjectUrl, version: Version) -> Iterator[bytes]:
    """Yield all bytes of an object, by some requests at once."""
    client, step = reader_of(url), store_client.LONGEST
    spans = [(start, min(start + step, version.size)) for start in range(0, version.size, step)]
    for first in range(0, len(spans), request_pool.TOGETHER):
        group = spans[first : first + request_pool.TOGETHER]
        reads = [request_pool.submit(client.read_bytes, url, *one, wanted=version) for one in group]
        yield from (read.result() for read in reads)


def in_background[**P, T](call: Callable[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
    """Begin a call in a thread of its own, under the settings that hold here. The end of the
    process does not wait for it, as it would for those of a pool: a store may not answer for
    minutes."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(call, *args, **named)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="upload", daemon=True).start()
    return future
