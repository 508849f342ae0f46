"""The filesystem of a path, and whether a database in WAL mode is safe on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: WAL needs shared memory and byte-range locks that all processes agree on. On these it has
#: corrupted databases, or does not work at all.
_UNSAFE: Final = frozenset(
    [
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2"),
        *("smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
    ]
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def type_of(path: Path, mounts: str | None = None) -> str:
    """Return the kernel's name of the filesystem of ``path`` or its nearest parent; "": unknown.

    ``mounts`` is text in the format of ``/proc/self/mountinfo``, which is read by default.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    target = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, types = left.split(), right.split()
        if len(fields) < 5 or not types:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # A later mount on the same point hides the earlier one, hence ">=".
        if target.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), types[0]
    return kind


def holds_wal(kind: str) -> bool:
    """Whether a WAL database may live on a filesystem of this type.

    ``fuse.*`` is refused, ``fuseblk`` (a local disk behind FUSE) is not; an unknown type passes.
    """
    return kind not in _UNSAFE and not kind.startswith("fuse.")
