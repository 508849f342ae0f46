"""The proof that a node sees the files that the engine sees: a token read, a token written, and the
same sources."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds until a file that one machine wrote is seen by another: NFS keeps what it knows of a
#: directory for as long.
PATIENCE: Final = 15.0
_PAUSE: Final = 0.1
#: Sources that a node must see as the engine does.
SAMPLE: Final = 12

#: A source as the engine sees it: path, size in bytes, mtime_ns.
Seen = tuple[str, int, int]


def sample(paths: Sequence[str]) -> list[Seen]:
    """Describe some local sources, the first and the last among them."""
    local = [path for path in paths if not is_url(path)]
    step = max(1, len(local) // (SAMPLE - 1))
    found: list[Seen] = []
    for path in dict.fromkeys([*local[::step][: SAMPLE - 1], *local[-1:]]):
        with contextlib.suppress(OSError):
            status = Path(path).stat()
            found.append((path, status.st_size, status.st_mtime_ns))
    return found


async def look(
    directories: Sequence[str], name: str, word: str, answer: str, sources: Sequence[Seen]
) -> str:
    """On a node: read ``word`` from the file ``name`` in each directory, and write it to ``answer``
    there; look at the sources. Return what is wrong, empty if nothing is."""
    for directory in directories:
        if await _read(Path(directory, name)) != word:
            return f"it does not see what the engine wrote to {safe(directory)}"
        try:
            _write(Path(directory, answer), word)
        except OSError as error:
            return f"it cannot write to {safe(directory)}: {error.strerror}"
    return _unseen(sources)


def _unseen(sources: Sequence[Seen]) -> str:
    for path, size, mtime_ns in sources:
        try:
            status = Path(path).stat()
        except OSError as error:
            return f"it cannot see the source {safe(path)}: {error.strerror}"
        if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
            return f"it sees another file as the source {safe(path)}"
    return ""


@dataclass(slots=True)
class Token:
    """The engine's side: a file in each directory that all nodes read. Use :meth:`written`."""

    directories: tuple[str, ...]
    name: str
    word: str

    @classmethod
    def written(cls, directories: Sequence[str]) -> Token:
        """Write a token to each directory. Raises PreflightError if that fails."""
        # The name of a probe: what an engine that dies leaves is swept by the next run.
        name = f".geobatch-probe-{os.getpid()}-{secrets.token_hex(8)}"
        token = cls(tuple(directories), name, secrets.token_hex(16))
        for directory in directories:
            try:
                _write(Path(directory, name), token.word)
            except OSError as error:
                raise PreflightError(
                    f"cannot write to {safe(directory)}: {error.strerror}"
                ) from error
        return token

    async def answered(self, answer: str) -> str:
        """Read what a node wrote; return what is wrong, empty if nothing is. What it wrote to the
        last directory stays: it is the node's pass."""
        for directory in self.directories:
            path = Path(directory, answer)
            if await _read(path) != self.word:
                return f"the engine does not see what it wrote to {safe(directory)}"
            if directory != self.directories[-1]:
                _remove(path)
        return ""

    def pass_file(self, answer: str) -> str:
        """Return the path of the pass of a node (see `execution/io/run_node.py`)."""
        return str(Path(self.directories[-1], answer))

    def withdraw(self, answer: str) -> None:
        """Count a node in no more: remove its pass, and what it may have written elsewhere."""
        for directory in self.directories if answer else ():
            _remove(Path(directory, answer))

    def answer_name(self) -> str:
        """Return the name of a file for one node's answer."""
        return f".geobatch-probe-{os.getpid()}-{secrets.token_hex(8)}"

    def remove(self) -> None:
        for directory in self.directories:
            _remove(Path(directory, self.name))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _write(path: Path, word: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        os.write(fd, word.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


async def _read(path: Path) -> str:
    """Read a small file that may come late; empty: it did not come."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if word := os.read(fd, 64).decode():
                    return word
            finally:
                os.close(fd)
        # A directory that is not there does not come; files on it may.
        if time.monotonic() > deadline or not path.parent.is_dir():
            return ""
        with contextlib.suppress(OSError):  # makes NFS ask its server again
            os.scandir(path.parent).close()
        await asyncio.sleep(_PAUSE)
