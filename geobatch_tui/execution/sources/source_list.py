"""The list of the files from which one item is made, as a mosaic or a stack.

The engine writes it, into a directory of its own, and names it by its content; a worker that reads
it proves the name. So an item of a hundred thousand files has a source that is one short path.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import SourceChangedError, UnsafeInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Suffix of such lists; no input that a user names may have it.
SUFFIX = ".sources"
_FIRST = "geobatch sources 1"
PART = 1000
"""Files of a group that a worker looks at in one go. The cut depends on the list alone, so what is
planned does not depend on the number of workers."""


def is_source_list(path: str | Path) -> bool:
    """Whether ``path`` is the list of a group of files."""
    return str(path).endswith(SUFFIX)


def is_large(path: str | Path) -> bool:
    """Whether ``path`` is the list of a group that is looked at in parts."""
    return is_source_list(path) and len(members_of(str(path))) > PART


def write_source_list(members: Sequence[str], directory: Path) -> str:
    """Write the list of ``members``, absolute paths in their order; return its path."""
    lines = [_FIRST, *(json.dumps(member) for member in members)]
    data = "\n".join(lines).encode("ascii")
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / (_name(data) + SUFFIX)
    if not path.is_file():
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.replace(path)
    return str(path)


def members_of(path: str) -> tuple[str, ...]:
    """Return the files of a list, in their order.

    Raises:
        SourceChangedError: it is not as it was written.
        OSError: it cannot be read.
    """
    return _members(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _members(path: str, mtime_ns: int) -> tuple[str, ...]:
    del mtime_ns
    data = Path(path).read_bytes()
    if Path(path).name != _name(data) + SUFFIX:
        raise SourceChangedError(f"{path} is not the list that the engine wrote")
    first, *lines = data.decode("ascii").split("\n")
    if first != _FIRST:
        raise UnsafeInputError(f"{path} is not a list of sources that this version knows")
    return tuple(json.loads(line) for line in lines)


def _name(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
