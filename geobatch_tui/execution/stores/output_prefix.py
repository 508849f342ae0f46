"""Places of outputs: a local directory, or a prefix in a store, whose run has its state here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.stores import object_url
from geobatch_tui.execution.stores.object_url import BUCKETS, ObjectUrl, shown


@dataclass(frozen=True, slots=True)
class OutputPrefix:
    """A prefix that outputs go below: ``root`` is the store, ``prefix`` has no slash at its ends,
    and is empty for the whole bucket."""

    root: str
    prefix: str

    @classmethod
    def of(cls, text: str) -> OutputPrefix:
        """Take a URL apart. Raises UnsafeInputError where it names no bucket, or where keys below
        it could not be asked for as they are."""
        if not is_prefix(text):
            raise UnsafeInputError(
                f"{shown(text)} is no place for outputs: "
                + ", ".join(f"{one}://bucket/prefix" for one in BUCKETS)
                + ", or a local directory"
            )
        scheme, host, path = object_url.split(text)
        prefix = path.rstrip("/")
        if prefix:
            object_url.refuse_key(text, prefix)
        return cls(f"{scheme}://{host}", prefix)

    def __str__(self) -> str:
        return f"{self.root}/{self.prefix}".rstrip("/")

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def url(self, name: str) -> ObjectUrl:
        """Return the URL of an output. Raises UnsafeInputError where a store does not take its
        name."""
        key = self.key(name)
        object_url.refuse_key(f"{self.root}/{key}", key)
        return ObjectUrl(self.root, key)

    @property
    def place(self) -> Path:
        """The directory of the state of its runs: in that of the user, by a digest of the URL."""
        home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        digest = hashlib.blake2b(str(self).encode(), digest_size=8).hexdigest()
        return Path(home).expanduser().absolute() / "geobatch" / "stores" / digest


def is_prefix(text: str) -> bool:
    """Whether ``text`` is a URL that outputs can go below."""
    return text.partition("://")[0].lower() in BUCKETS and object_url.is_url(text)


def local_place(directory: str | Path) -> Path:
    """Return the local directory that holds the state of a run, by the place of its outputs. Raises
    UnsafeInputError for a URL that is none of outputs."""
    text = os.fspath(directory)
    return OutputPrefix.of(text).place if object_url.is_url(text) else Path(text)
