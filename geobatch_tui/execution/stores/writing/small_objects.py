"""Small objects of ours beside outputs in a store: documents that tell of them.

One that says already what it would say is left alone: a listing tells, where the store's ETags are
MD5s, else its bytes. Objects of others stay as they are.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.execution.stores import local_copy, request_pool
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.execution.stores.writing import object_output, part_upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_client import Version

#: Metadata of documents of ours.
LISTS = "geobatch-outputs"


class SmallObjects:
    """Writes documents below a prefix, of which it reads what is there first.

    Args:
        prefix: of the outputs.
        unwanted: what to set so that documents are not written; for messages.
    """

    def __init__(self, prefix: OutputPrefix, unwanted: str) -> None:
        self._prefix, self._unwanted = prefix, unwanted
        self._reader = object_output.reader_of(prefix.url("-"))
        self._there = dict(self._reader.listed(prefix))

    def write(self, documents: Iterable[tuple[str, bytes]]) -> None:
        """Write documents by their names, some at once; each is whole or absent.

        Raises:
            StateError: an object of such a name is not ours.
            UnsafeInputError: a name that stores do not take.
            OutputGoneError, RemoteIOError and its kin: it cannot be written.
        """
        for _ in request_pool.in_order(self._write, documents):
            pass

    def _write(self, document: tuple[str, bytes]) -> None:
        name, data = document
        url = self._prefix.url(name)
        there = self._there.get(url.key)
        if there is not None and self._says(url, there, data):
            return
        about = {LISTS: "1"}
        if url.scheme == "s3":
            part_upload.uploads_of(url.root).put(url, data, about, absent=False)
            return
        with tempfile.NamedTemporaryFile(dir=local_copy.directory()) as file:
            file.write(data)
            file.flush()
            object_output.put_file(Path(file.name), url, about)

    def _says(self, url: ObjectUrl, there: Version, data: bytes) -> bool:
        """Whether an object has these bytes. Raises StateError if it is not ours."""
        same_size = there.size == len(data)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if same_size and there.tag.strip('"') == md5:
            return True
        found = self._reader.described(url)
        if found is None:
            return False
        version, about = found
        if LISTS not in about:
            raise StateError(
                f"{shown(str(url))} was not written by geobatch: it stays as it is",
                hint=f"move it away, or set {self._unwanted} = false",
            )
        if version.size != len(data):
            return False
        return self._reader.read_bytes(url, 0, version.size, wanted=version) == data
