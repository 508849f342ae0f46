"""Where machine code is kept between runs.

The folder is named after the contents of all modules of compiled functions, and of those that say
how they are compiled and called: which of them calls which is not looked at.

What lies there is run. So it is used only where nobody else can have put it: folder by folder up to
the root, as ssh looks at the files that it trusts.
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import cache
from pathlib import Path

#: Rooms of compiled functions, of the types that they are called with, and of how that is done.
_ROOMS = ("raster/kernels", "vector/kernels", "native")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@cache
def cache_directory() -> Path | None:
    """Where machine code is kept: in ``NUMBA_CACHE_DIR`` or the user's cache; None if nothing can
    be written there, or if others can write there."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    try:
        base = Path(own or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        directory = base.absolute() / "geobatch" / "kernels" / digest()
        make_private(directory)
    except (OSError, RuntimeError):  # the latter: no home
        return None
    usable = os.access(directory, os.W_OK | os.X_OK) and is_ours_alone(directory)
    return directory if usable else None


def make_private(directory: Path) -> None:
    """Make a directory and what lacks above it, for this user alone. Raises OSError."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def is_ours_alone(path: Path) -> bool:
    """Whether nobody but this user and root can have written what lies at ``path``, a directory or
    a file, or can have put another one in its place."""
    try:
        real = path.resolve(strict=True)
        parents = [folder.stat() for folder in real.parents]
        return _may_be_trusted(real.stat()) and all(
            # In a sticky folder as /tmp nobody can move or remove what is another user's.
            _may_be_trusted(each) or (each.st_mode & stat.S_ISVTX and _is_owned(each))
            for each in parents
        )
    except (OSError, RuntimeError):  # the latter: links that go round
        return False


def _may_be_trusted(found: os.stat_result) -> bool:
    others = found.st_mode & _OTHERS_WRITE
    # Where users have a group of their own, its members may write by default.
    if others == stat.S_IWGRP and _is_own_group(found.st_gid):
        others = 0
    return _is_owned(found) and not others


def _is_owned(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _is_own_group(gid: int) -> bool:
    import grp
    import pwd

    try:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and {*group.gr_mem} <= {name}


def read_trusted(path: Path) -> bytes | None:
    """The bytes of a file that this user or root has written and nobody else can; None if it is no
    such file, or not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:  # noqa: PTH123 - of a descriptor
        found = os.fstat(fd)
        return file.read() if stat.S_ISREG(found.st_mode) and _may_be_trusted(found) else None


def compiled_modules() -> list[Path]:
    """All that decides machine code: which of them calls which is not looked at."""
    execution = Path(__file__).parents[1]
    return [path for room in _ROOMS for path in sorted((execution / room).glob("*.py"))]


def digest() -> str:
    """Of the contents of the modules of compiled functions, and of those that call them."""
    total = hashlib.sha256()
    for path in compiled_modules():
        content = path.read_bytes()
        total.update(len(content).to_bytes(8) + content)
    return total.hexdigest()[:16]
