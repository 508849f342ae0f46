"""The one client of all stores: conditional reads of ranges, many at a time, and listings.

Every read of an object says which version it wants, and what comes is held against it once more:
its version, its size, and the number of bytes. A server that ignores a condition is found out.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import (
    AuthExpiredError,
    GeobatchError,
    InvalidInputError,
    SourceNotFoundError,
    ThrottledError,
    TransientError,
)
from geobatch_tui.execution.stores import (
    network_faults,
    store_library,
    store_settings,
    write_faults,
)
from geobatch_tui.execution.stores.host_limits import PATIENCE, limit_of
from geobatch_tui.execution.stores.host_traffic import traffic
from geobatch_tui.execution.stores.object_url import ObjectUrl, shown
from geobatch_tui.execution.stores.request_pool import TOGETHER
from geobatch_tui.execution.stores.retry_after import seconds_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_settings import StoreSettings

#: Ranges nearer than this are one request: it is less than what a request takes to come back.
GAP = 64 * 1024
#: The longest request: a slow store still gives it within its time limit.
LONGEST = 4 * 2**20
#: Seconds before the second attempt at what failed for now, and before those that follow; each is
#: drawn from the upper half. A time limit that ran out is tried once more only.
WAITS = (0.1, 0.4, 1.6)
#: How often the library itself tries requests again that write.
RETRIES = 2
_EPOCH = datetime.fromtimestamp(0, UTC)

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Version:
    """What tells an object from another of its name: size, time of change (ns), and ``tag``, its
    ETag or version; empty where the store has none."""

    size: int
    mtime_ns: int
    tag: str

    @classmethod
    def of(cls, meta: Any, url: ObjectUrl) -> Version:
        """Read the version in an answer. Raises InvalidInputError if there is none."""
        tag = str(meta.get("e_tag") or meta.get("version") or "")
        moment: datetime = meta["last_modified"]
        if not tag and moment == _EPOCH:
            raise InvalidInputError(
                f"{shown(str(url))}: {url.host} tells neither ETag nor time of change, so that "
                "nobody knows whether the object changes while it is read",
                hint="fetch it to a local file",
            )
        return cls(int(meta["size"]), nanoseconds(moment), tag)

    def is_same(self, other: Version) -> bool:
        """Whether two versions are one: by their tags, or by their times where there is none."""
        if self.tag or other.tag:
            return (self.size, self.tag) == (other.size, other.tag)
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    def condition(self) -> dict[str, object]:
        """Return the condition of a request that wants this version."""
        if self.tag.startswith('"'):
            return {"if_match": self.tag}
        if self.tag or not self.mtime_ns:  # a weak tag matches nothing, by the rules of HTTP
            return {}
        return {"if_unmodified_since": _EPOCH + timedelta(microseconds=self.mtime_ns // 1000)}


def nanoseconds(moment: datetime) -> int:
    """Return the time since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


class StoreClient:
    """A store, as the client library has it."""

    def __init__(
        self,
        root: str,
        settings: StoreSettings,
        proxy: tuple[str, str] = ("", ""),
        query: str = "",
    ) -> None:
        self._library = store_library.library()
        # Reads are tried again here, where the limits of hosts are.
        self._store = store_library.opened(root, settings, proxy, query)
        self._open_again = partial(store_library.opened, root, settings, proxy, retries=RETRIES)

    @cached_property
    def _writer(self) -> Any:
        return self._open_again()

    def version(self, url: ObjectUrl) -> Version:
        """Ask for the version of an object without its bytes; errors as :meth:`read`."""
        return self._tried(url, lambda: self._version(url))

    def _version(self, url: ObjectUrl) -> Version:
        try:
            meta = self._library.head(self._store, url.key)
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise network_faults.fault(error, url) from None
        traffic.count(url.root)
        return Version.of(meta, url)

    def answers(self, url: ObjectUrl) -> None:
        """Ask once whether the store of ``url`` answers, whatever it says of that object.

        Raises:
            RemoteIOError and its kin: it does not, or asks to slow down; then ``retry_after`` says
                for how long, if it does.
        """
        try:
            self._version(url)
        except ThrottledError as error:
            error.retry_after = seconds_asked(url) or None
            raise
        except TransientError:
            raise
        except GeobatchError:
            pass
        limit_of(url.root).back()

    def _tried[T](self, url: ObjectUrl, call: Callable[[], T]) -> T:
        """Make a request when its host may be asked, and again where it failed for now."""
        limit = limit_of(url.root)
        attempt = 0
        while True:
            if limit.is_away or limit.pause > PATIENCE:
                raise network_faults.still_away(url, limit.pause)
            with limit.turn() as began:
                try:
                    found = call()
                except TransientError as error:
                    failed: TransientError = error
                else:
                    limit.answered()
                    return found
            wait = _wait(failed, attempt)
            if isinstance(failed, ThrottledError):
                failed.retry_after = seconds_asked(url) or None
                limit.slowed(began, max(failed.retry_after or 0.0, wait or 0.0))
            if wait is None:
                break
            attempt += 1
            traffic.tried_again(url.root)
            time.sleep(wait)
        if failed.evidence.get("store"):
            limit.away()
        raise failed

    def version_if_there(self, url: ObjectUrl) -> Version | None:
        """Ask for the version of an object; None if there is none that may be read."""
        try:
            return self.version(url)
        except SourceNotFoundError:
            return None

    def described(self, url: ObjectUrl) -> tuple[Version, Mapping[str, str]] | None:
        """Ask for the version of an object and the metadata that it was written with; None if there
        is none that may be read."""
        try:
            return self._tried(url, lambda: self._described(url))
        except SourceNotFoundError:
            return None

    def _described(self, url: ObjectUrl) -> tuple[Version, Mapping[str, str]]:
        try:
            answer = self._library.get(self._store, url.key, options={"head": True})
            version, about = Version.of(answer.meta, url), _metadata_of(url, answer.attributes)
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise network_faults.fault(error, url) from None
        traffic.count(url.root)
        return version, about

    def put(
        self, url: ObjectUrl, path: Path, about: Mapping[str, str], *, absent: bool = False
    ) -> None:
        """Write a whole file; its name is there once all of it is. ``absent``: only if there is no
        object of that name; the file is held in memory then.

        Raises:
            NameTakenError: there is one.
            OutputGoneError, RemoteIOError and its kin: it cannot be written.
        """
        try:
            self._library.put(
                self._writer,
                url.key,
                path,
                attributes=_metadata_for(url, about),
                mode="create" if absent else "overwrite",
                chunk_size=2 * LONGEST,
                max_concurrency=TOGETHER,
            )
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise write_faults.by_reader(error, url) from None
        traffic.count(url.root, sent=path.stat().st_size)

    def remove(self, url: ObjectUrl) -> None:
        """Remove an object; errors as :meth:`version`."""
        try:
            self._library.delete(self._store, url.key)
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise network_faults.fault(error, url) from None
        traffic.count(url.root)

    def read(
        self, url: ObjectUrl, start: int, end: int, wanted: Version | None
    ) -> tuple[bytes, Version]:
        """Read the bytes from ``start`` to ``end``, or to the end of the object, of the version
        that is ``wanted`` (None: any); return them and their version.

        Raises:
            SourceChangedError: the object is another one.
            SourceNotFoundError, RemoteIOError and its kin: it cannot be read; see
                :mod:`.network_faults`.
        """
        return self._tried(url, lambda: self._read(url, start, end, wanted))

    def _read(
        self, url: ObjectUrl, start: int, end: int, wanted: Version | None
    ) -> tuple[bytes, Version]:
        options = {"range": (start, end), **(wanted.condition() if wanted else {})}
        try:
            answer = self._library.get(self._store, url.key, options=options)
            data, meta = bytes(answer.bytes()), answer.meta
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise network_faults.fault(error, url) from None
        traffic.count(url.root, got=len(data))
        version = Version.of(meta, url)
        if wanted is not None and not version.is_same(wanted):
            raise network_faults.changed(url)
        if tuple(answer.range) != (start, min(end, version.size)):
            raise network_faults.cut_short(url, len(data), end - start)
        if len(data) != min(end, version.size) - start:
            raise network_faults.cut_short(url, len(data), min(end, version.size) - start)
        return data, version

    def read_bytes(self, url: ObjectUrl, start: int, end: int, *, wanted: Version) -> bytes:
        """Read the bytes from ``start`` to ``end`` of the version that is ``wanted``; errors as
        :meth:`read`, and CorruptSourceError if they lie beyond the end."""
        if end > wanted.size:
            raise network_faults.beyond(url, wanted.size)
        return self.read(url, start, end, wanted)[0]

    def stream(self, url: ObjectUrl, wanted: Version) -> Iterator[bytes]:
        """Yield the bytes of a whole object, from a server that gives no parts; errors as
        :meth:`read`."""
        got = 0
        try:
            answer = self._library.get(self._store, url.key, options=wanted.condition())
            same = Version.of(answer.meta, url).is_same(wanted)
            for data in answer.stream(min_chunk_size=1 << 20) if same else ():
                got += len(data)
                yield bytes(data)
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise network_faults.fault(error, url) from None
        traffic.count(url.root, got=got)
        if not same:
            raise network_faults.changed(url)
        if got != wanted.size:
            raise network_faults.cut_short(url, got, wanted.size)

    def listed(self, prefix: OutputPrefix) -> Iterator[tuple[str, Version]]:
        """Yield the keys below a prefix of outputs, and the versions of their objects."""
        url = ObjectUrl(prefix.root, prefix.prefix)
        for page in self.list(url):
            yield from ((str(one["path"]), Version.of(one, url)) for one in page)

    def list(self, url: ObjectUrl) -> Iterator[Sequence[Any]]:
        """Yield what the store has below the prefix ``url``, a page at a time."""
        last, failures = None, 0
        while True:
            try:
                for page in self._library.list(
                    self._store, url.key or None, offset=last, chunk_size=1000
                ):
                    yield page
                    last, failures = page[-1]["path"] if page else last, 0
            except Exception as error:  # noqa: BLE001 - boundary: of the client library
                failed = network_faults.fault(error, url)
                wait = _wait(failed, failures) if isinstance(failed, TransientError) else None
                if wait is None:
                    raise failed from None
                time.sleep(wait)
                failures += 1
            else:
                return


def _metadata_for(url: ObjectUrl, about: Mapping[str, str]) -> dict[str, str]:
    """Return metadata by names that the store takes: those of Azure are words of a program."""
    if url.scheme != "az":
        return dict(about)
    return {name.replace("-", "_"): value for name, value in about.items()}


def _metadata_of(url: ObjectUrl, found: Mapping[str, str]) -> dict[str, str]:
    """Return what :func:`_metadata_for` gave the store, by our names."""
    if url.scheme != "az":
        return dict(found)
    return {name.lower().replace("_", "-"): value for name, value in found.items()}


def _wait(failed: TransientError, attempt: int) -> float | None:
    """Return the seconds before the next attempt; None: there is none."""
    last = len(WAITS) if not failed.evidence.get("slow") else 1
    if attempt >= min(last, len(WAITS)) or isinstance(failed, AuthExpiredError):
        return None
    return WAITS[attempt] * (0.5 + random.random() / 2)  # noqa: S311 - no secret


def coalesced(ranges: Sequence[Range]) -> list[Range]:
    """Join ranges that lie near each other, up to the longest request."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] <= GAP and end - joined[-1][0] <= LONGEST:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


#: To open a client reads all certificates of the machine. Without a lock each of the threads that
#: ask for a store first would open one.
_opening = threading.Lock()


def client_of(url: ObjectUrl) -> StoreClient:
    """Return this process's client of the store of ``url``, by the settings that hold here."""
    stores = store_settings.current()
    how = stores.proxy, stores.no_proxy
    if use := stores.signers.get(url.root):
        from geobatch_tui.execution.stores.url_signing import signed_client

        with _opening:
            return signed_client(url.root, stores.of(url.root), how, use)
    with _opening:
        return _client(url.root, stores.of(url.root), how, stores.query_of(str(url)))


def seconds_away(root: str) -> float | None:
    """Ask a store for an object that it need not have. Return None if it answers; else for how many
    seconds it asks to be left alone, 0 if it does not say."""
    url = ObjectUrl(root, "geobatch-asks-if-you-are-there")
    try:
        client_of(url).answers(url)
    except TransientError as error:
        return error.retry_after or 0.0
    return None


@lru_cache(maxsize=64)
def _client(root: str, settings: StoreSettings, proxy: tuple[str, str], query: str) -> StoreClient:
    return StoreClient(root, settings, proxy, query)
