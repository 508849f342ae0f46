"""Opens regular files only, and reads no more of them than fits into memory.

In the place of a file of a state directory, or of a list, a stranger may have put a pipe that never
ends, a device, or a link.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 256 << 20


def open_fd(path: Path, flags: int = os.O_RDONLY, *, follow: bool = False) -> int:
    """Open a regular file, without ever waiting, and return its descriptor.

    A new file has mode 0600. A link is followed only if ``follow``. Raises OSError if it is no
    regular file, or cannot be opened.
    """
    # Without O_NONBLOCK the opening of a pipe waits for whoever opens its other end.
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def open_read(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading. Raises OSError as :func:`open_fd`."""
    return os.fdopen(open_fd(path, follow=follow), "rb")


def read(path: Path, limit: int = LARGEST, *, follow: bool = False) -> bytes:
    """Read all of a regular file. Raises OSError as :func:`open_fd`, or if it is larger than
    ``limit``."""
    with open_read(path, follow=follow) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def read_json(path: Path) -> Any:
    """Read the value in a JSON file. Raises OSError as :func:`read`, ValueError if it is no JSON,
    or nested too deeply."""
    try:
        return json.loads(read(path))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
