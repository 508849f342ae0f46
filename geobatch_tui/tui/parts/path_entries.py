"""What a path that is being typed may go on with: names in its directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST: Final = 20_000  #: names of a directory that are looked at
_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A name in a directory; ``text`` is the whole path as it would be typed."""

    name: str
    text: str
    is_folder: bool


def entries_of(typed: str, base: Path) -> list[PathEntry]:
    """List what is in the directory of a path as typed, and goes on as it does; folders first.

    Hidden names come where a dot is typed, and names that cannot be typed never. A directory that
    cannot be read has none. Blocks: for a thread.

    Args:
        typed: a path, perhaps from ``~`` on.
        base: what it is relative to.
    """
    head, slash, start = typed.rpartition("/")
    lead = head + slash
    found = []
    try:
        folder = base / os.path.expanduser(lead)  # noqa: PTH111 - Path's raises for an unknown user
        with os.scandir(folder) as names:
            for entry in islice(names, _MOST):
                hidden = entry.name.startswith(".") and not start.startswith(".")
                if entry.name.startswith(start) and not hidden and safe(entry.name) == entry.name:
                    is_folder = _is_folder(entry)
                    text = f"{lead}{entry.name}{'/' if is_folder else ''}"
                    found.append(PathEntry(entry.name, text, is_folder))
    except (OSError, ValueError):  # a null byte
        return []
    return sorted(found, key=lambda one: (not one.is_folder, one.name))[:_SHOWN]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def completed(typed: str, entries: Sequence[PathEntry]) -> str:
    """Return what is typed with all that its entries have in common."""
    texts = [entry.text for entry in entries]
    # Letters in common with the first are in common with all between it and the last.
    pairs = zip(min(texts, default=""), max(texts, default=""), strict=False)
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return common if len(common) > len(typed) else typed


def path_at_end(text: str) -> str:
    """Return the path that a value ends with while it is typed: behind the last quote of a list."""
    return text.rpartition('"')[2] if text.lstrip().startswith("[") else text
