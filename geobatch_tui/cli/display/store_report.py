"""What ``geobatch doctor s3://bucket/prefix`` finds out of a store: what it allows, and how fast.

Objects of its own are written below the prefix, under a random name, and removed again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.cli.display.findings import BAD, OK, WARN, Finding
from geobatch_tui.errors import GeobatchError, SourceChangedError
from geobatch_tui.execution.stores import store_client, store_settings
from geobatch_tui.execution.stores.object_url import ObjectUrl, shown
from geobatch_tui.execution.stores.output_prefix import OutputPrefix
from geobatch_tui.execution.stores.write_faults import NameTakenError
from geobatch_tui.execution.stores.writing import part_upload
from geobatch_tui.execution.stores.writing.part_upload import Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from geobatch_tui.execution.stores.store_client import StoreClient

#: Bytes of the first part of an upload: S3 takes none below, but for the last.
_PART = 5 << 20
_SMALL = b"geobatch doctor\n" * 8
#: Objects that are listed, to see that it works.
_LISTED = 1000
_VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY",
           "GOOGLE_APPLICATION_CREDENTIALS"),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID",
           "AZURE_FEDERATED_TOKEN_FILE"),
}  # fmt: skip


def store_findings(text: str) -> Iterator[Finding]:
    """Yield a line for each thing that a store has to do for sources or outputs: yes or no, and
    how long it took. What cannot be done is said with the reason."""
    prefix = OutputPrefix.of(text)
    yield Finding("store", f"{shown(str(prefix))}, {_place(prefix)}")
    yield Finding("credentials", _credentials(prefix))
    yield from _Visit(prefix).findings()


def _place(prefix: OutputPrefix) -> str:
    settings = store_settings.current().of(prefix.root)
    region = settings.region or next(
        filter(None, map(os.environ.get, ("AWS_REGION", "AWS_DEFAULT_REGION"))), ""
    )
    endpoint = settings.endpoint or os.environ.get("AWS_ENDPOINT", "")
    at = f"at {shown(endpoint)}" if endpoint else "at the cloud's own service"
    return f"{at}, region {region}" if region else at


def _credentials(prefix: OutputPrefix) -> str:
    """Say where the credentials come from; never what they are."""
    settings = store_settings.current().of(prefix.root)
    if settings.anonymous:
        return "none: anonymous = true"
    if settings.access_key or settings.secret_key or settings.token:
        return f'the variables that [storage."{prefix.root}"] names'
    scheme = prefix.root.partition(":")[0]
    named = [name for name in _VARIABLES[scheme] if os.environ.get(name)]
    if named:
        return f"the environment: {', '.join(named)}"
    return "the chain of the cloud (a profile, or the role of this machine)"


@dataclass(slots=True)
class _Visit:
    """One look at a store, with objects of a random name."""

    prefix: OutputPrefix
    made: set[ObjectUrl] = field(default_factory=set)
    name: str = field(default_factory=lambda: f".geobatch-doctor-{secrets.token_hex(8)}")

    def findings(self) -> Iterator[Finding]:
        with contextlib.suppress(GeobatchError):  # said by what needs it
            self._load()
        try:
            yield self._tried("list", self._list)
            wrote = self._tried("write", self._write)
            yield wrote
            if wrote.verdict == OK:
                yield self._tried("read", self._read)
                yield self._tried("conditional put", self._put_again, WARN)
                yield self._tried("conditional read", self._read_other, WARN)
                yield self._tried("multipart", self._in_parts)
        finally:
            removed = self._tried("remove", self._remove, WARN)
        if self.made or removed.verdict != OK:
            yield removed

    def _tried(self, topic: str, call: Callable[[], str], verdict: str = BAD) -> Finding:
        began = time.monotonic()
        try:
            told = call()
        except GeobatchError as error:
            hint = f"; {error.hint}" if error.hint else ""
            return Finding(topic, f"no: {error.message}{hint}", verdict)
        if told.startswith("no"):
            return Finding(topic, told, verdict)
        spent = (time.monotonic() - began) * 1000
        return Finding(topic, f"yes, {spent:.0f} ms{f': {told}' if told else ''}")

    def _load(self) -> None:
        """Load the clients, which is no part of the time of a request."""
        store_client.client_of(self._url)
        if self._has_parts:
            part_upload.uploads_of(self.prefix.root)

    @property
    def _client(self) -> StoreClient:
        return store_client.client_of(self._url)

    @property
    def _url(self) -> ObjectUrl:
        return self.prefix.url(self.name)

    @property
    def _has_parts(self) -> bool:
        return self.prefix.root.startswith("s3://")

    def _list(self) -> str:
        under = ObjectUrl(self.prefix.root, self.prefix.prefix)
        page = next(iter(self._client.list(under)), ())
        return f"{len(page)} objects or more" if len(page) >= _LISTED else f"{len(page)} objects"

    def _write(self) -> str:
        self.made.add(self._url)
        self._put(absent=False)
        return ""

    def _put(self, *, absent: bool) -> None:
        if self._has_parts:
            part_upload.uploads_of(self.prefix.root).put(self._url, _SMALL, {}, absent=absent)
            return
        with tempfile.TemporaryDirectory(prefix="geobatch-doctor-") as folder:
            path = Path(folder, "object")
            path.write_bytes(_SMALL)
            self._client.put(self._url, path, {}, absent=absent)

    def _read(self) -> str:
        data, _ = self._client.read(self._url, 0, len(_SMALL), None)
        return "" if data == _SMALL else "no: other bytes came back than were written"

    def _put_again(self) -> str:
        """The object is there, so that a store that knows conditions must refuse."""
        try:
            self._put(absent=True)
        except NameTakenError:
            return ""
        return 'no: the store ignores the condition, so that if_exists = "fail" cannot be kept'

    def _read_other(self) -> str:
        version = self._client.version(self._url)
        tag = f'"{"0" * 32}"'
        other = type(version)(version.size, version.mtime_ns, tag)
        try:
            self._client.read(self._url, 0, 1, other)
        except SourceChangedError:
            return ""
        return "no: another version than the wanted one came"

    def _in_parts(self) -> str:
        if not self._has_parts:
            return "by the client library"
        uploads, url = part_upload.uploads_of(self.prefix.root), self.prefix.url(f"{self.name}-2")
        self.made.add(url)
        upload = uploads.begin(url, {})
        try:
            parts = [
                uploads.send(url, upload, number, data, Sums.of(data))
                for number, data in enumerate((bytes(_PART), _SMALL), 1)
            ]
            if not uploads.complete(url, upload, parts, absent=False):
                return "no: the store has forgotten the upload"
        except BaseException:
            with contextlib.suppress(GeobatchError):
                uploads.give_up(url, upload)
            raise
        size = self._client.version(url).size
        if size != _PART + len(_SMALL):
            return f"no: the object has {size} bytes of {_PART + len(_SMALL)}"
        return f"{len(parts)} parts"

    def _remove(self) -> str:
        for url in sorted(self.made, key=str):
            self._client.remove(url)
        self.made.clear()
        return ""
