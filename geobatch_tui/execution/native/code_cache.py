"""The folder that keeps machine code between runs.

It is named after the contents of all modules of compiled functions, and of those that compile and
call them, whichever of them calls which.

The code in it is run. So the folder is used only if nobody else can have written there: each folder
up to the root is checked, as ssh checks the files that it trusts.
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import cache
from pathlib import Path

#: Rooms of compiled functions, of the types of their arguments, and of the compiling and calling.
_ROOMS = ("raster/kernels", "vector/kernels", "native")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@cache
def cache_directory() -> Path | None:
    """Return the folder of machine code, in ``NUMBA_CACHE_DIR`` or the user's cache.

    None: nothing can be written there, or others can write there.
    """
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
    """Make a directory and its missing parents, for this user alone. Raises OSError."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def is_ours_alone(path: Path) -> bool:
    """Whether only this user and root can have written, or replaced, the directory or file."""
    try:
        real = path.resolve(strict=True)
        parents = [folder.stat() for folder in real.parents]
        return _may_be_trusted(real.stat()) and all(
            # In a sticky folder as /tmp nobody can move or remove files of other users.
            _may_be_trusted(each) or (each.st_mode & stat.S_ISVTX and _is_owned(each))
            for each in parents
        )
    except (OSError, RuntimeError):  # the latter: links that go round
        return False


def _may_be_trusted(status: os.stat_result) -> bool:
    others = status.st_mode & _OTHERS_WRITE
    # Where users have a group of their own, its members may write by default.
    if others == stat.S_IWGRP and _is_own_group(status.st_gid):
        others = 0
    return _is_owned(status) and not others


def _is_owned(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _is_own_group(gid: int) -> bool:
    import grp
    import pwd

    try:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and {*group.gr_mem} <= {name}


def read_trusted(path: Path) -> bytes | None:
    """Read a file that only this user or root can have written; None if it is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, "rb") as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(fd)
        return file.read() if stat.S_ISREG(status.st_mode) and _may_be_trusted(status) else None


def compiled_modules() -> list[Path]:
    """List the modules that decide machine code."""
    execution = Path(__file__).parents[1]
    return [path for room in _ROOMS for path in sorted((execution / room).rglob("*.py"))]


def digest() -> str:
    """Digest the contents of the modules that decide machine code."""
    total = hashlib.sha256()
    for path in compiled_modules():
        content = path.read_bytes()
        total.update(len(content).to_bytes(8) + content)
    return total.hexdigest()[:16]
