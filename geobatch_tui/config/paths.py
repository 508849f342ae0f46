"""Relative paths become absolute: those of a job file stand beside it, others in the cwd."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path


_REMOTE: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|/vsi\w+/")


def is_remote(path: str) -> bool:
    """Whether a path is a URL, or one of GDAL's names for what is no local file."""
    return _REMOTE.match(path) is not None


def absolute(value: Any, base: Path) -> Any:
    """``value`` (a path or a list of paths) with relative paths joined to ``base``.

    URLs and GDAL's ``/vsi`` names stay; ``@list.txt`` is joined behind its ``@``; ``~/`` is the
    home directory. Where a glob is joined, ``base`` is escaped: brackets in a directory's own name
    are no pattern. Values of other types come back as they are: the schema refuses them.
    """
    if isinstance(value, list | tuple):
        return [absolute(entry, base) for entry in value]
    if not isinstance(value, str) or not value or "://" in value:
        return value
    if value.startswith("@") and len(value) > 1:
        return "@" + absolute(value[1:], base)
    path = os.path.expanduser(value) if value.startswith("~/") else value  # noqa: PTH111
    folder = os.path.abspath(base)  # noqa: PTH100 - Path.absolute keeps "a/../b"
    if not os.path.isabs(path) and glob.has_magic(path):  # noqa: PTH117
        folder = glob.escape(folder)
    return os.path.join(folder, _without_dot(path))  # noqa: PTH118


def _without_dot(path: str) -> str:
    """``path`` without a leading ``./``; ``..`` stays, for it may follow a symbolic link."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path if path != "." else ""
