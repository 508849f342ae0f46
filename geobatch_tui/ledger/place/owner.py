"""The owner of a state directory: a run obeys and removes nothing that another user may have made.

Git does the same with repositories of other owners. Reading what a run left needs no such trust.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import StateError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FOLDERS: Final = ("work", "dead", "replaced")
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def refuse_foreign(root: Path) -> None:
    """Refuse a state directory (an existing one, no link) that is not the user's own.

    Raises:
        StateError: another user owns it or may write to it, or one of its folders is a link, no
            directory, or another user's.
    """
    status = root.lstat()
    if not _owned(status, root):
        raise StateError(
            f"{safe(str(root))} belongs to {_name(status.st_uid)}, whose state is not obeyed",
            hint="work as that user, choose another output.dir, or, if you know what is in it, "
            "`chown -R` it to yourself",
        )
    if status.st_mode & _OTHERS and status.st_mode & _OTHERS & ~_made_now(root)[1]:
        raise StateError(
            f"other users may write to {safe(str(root))}, so that it cannot be trusted",
            hint=f"if you know that nobody did: chmod go-w {shlex.quote(safe(str(root)))}",
        )
    for name in FOLDERS:
        with suppress(FileNotFoundError):
            _check_folder(root / name)


def refuse_foreign_links(output_dir: Path, directory: Path) -> None:
    """Refuse to write through another user's link, in an output directory that others may write to.

    Linux does the same in /tmp. The user's own links, and root's, are followed: they lead to
    another disk.

    Raises:
        StateError: a part of the way from ``output_dir`` down to ``directory`` is such a link.
    """
    for place in _way(output_dir, directory):
        status = _there(place)
        if status is None:
            return
        if stat.S_ISLNK(status.st_mode) and not _owned(status, output_dir):
            raise StateError(
                f"{safe(str(place))} is a link of {_name(status.st_uid)}; outputs would follow it",
                hint="remove it, or choose an output.dir that nobody else may write to",
            )


def followed_links(output_dir: Path, directories: Iterable[Path]) -> Iterator[str]:
    """Resolve the links that :func:`refuse_foreign_links` lets pass on the ways to ``directories``.

    Yields the real path of a directory for each link, once.
    """
    passable = {output_dir: True}
    for directory in directories:
        for place in _way(output_dir, directory):
            if place not in passable:
                status = _there(place)
                link = status is not None and stat.S_ISLNK(status.st_mode)
                passable[place] = status is not None and (not link or _owned(status, output_dir))
                if link and passable[place] and place.is_dir():
                    yield os.path.realpath(place)
            if not passable[place]:
                break


def is_ours(root: Path) -> bool:
    """Whether :func:`refuse_foreign` would let a state directory pass."""
    try:
        refuse_foreign(root)
    except (StateError, OSError):
        return False
    return True


def remove_tree(place: Path) -> None:
    """Remove a directory and all in it, as far as that can be done. No link is followed: not
    ``place`` itself, nor the directory that it is in."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        parent = os.open(place.parent, flags)
        try:
            shutil.rmtree(place.name, ignore_errors=True, dir_fd=parent)
        finally:
            os.close(parent)


def _way(output_dir: Path, directory: Path) -> Iterator[Path]:
    """List the directories from below ``output_dir`` down to ``directory``."""
    place = output_dir
    for name in directory.relative_to(output_dir).parts:
        place /= name
        yield place


def _there(place: Path) -> os.stat_result | None:
    try:
        return place.lstat()
    except OSError:  # not there yet, or said by whoever writes
        return None


def refuse_other_kinds(mode: int, shown: str) -> None:
    """Refuse a link, or a file, where the directory ``shown`` should be. Raises StateError."""
    if stat.S_ISLNK(mode):
        raise StateError(
            f"{shown} is a symbolic link, which geobatch does not follow",
            hint="remove the link; to keep state elsewhere, link the output directory itself",
        )
    if not stat.S_ISDIR(mode):
        raise StateError(f"{shown} is not a directory", hint="move that file away")


def _check_folder(folder: Path) -> None:
    status = folder.lstat()
    refuse_other_kinds(status.st_mode, safe(str(folder)))
    if not _owned(status, folder.parent):
        raise StateError(
            f"{safe(str(folder))} belongs to {_name(status.st_uid)}",
            hint="move it away, or `chown -R` it to yourself",
        )


def _owned(status: os.stat_result, root: Path) -> bool:
    return status.st_uid in {os.geteuid(), 0} or status.st_uid == _made_now(root)[0]


def _made_now(root: Path) -> tuple[int, int]:
    """Make a directory of mode 0700 beside ``root``; return its owner and mode, or (-1, 0).

    FAT, SMB, and NFS with squashed users give it another owner or mode, which then say nothing.
    """
    # Named as what a run sweeps where its process is dead.
    probe = root.with_name(f".geobatch-probe-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        probe.mkdir(mode=0o700)
    except OSError:
        return -1, 0
    try:
        made = probe.lstat()
    finally:
        probe.rmdir()
    return made.st_uid, made.st_mode


def _name(uid: int) -> str:
    import pwd

    with suppress(KeyError):
        return f"the user {safe(pwd.getpwuid(uid).pw_name)}"
    return f"the user of id {uid}"
