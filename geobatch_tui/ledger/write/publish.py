"""Give finished files their final names, so that a final name always means a whole file.

The caller must hold the run's lock and have compared its epoch. Everything here can be repeated:
a rename that was done already is recognised by the size of the target.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from geobatch_tui.errors import OutputGoneError, VerifyError
from geobatch_tui.execution.io.disk import sync_directory
from geobatch_tui.ledger.place.durable import failpoint, output_error
from geobatch_tui.ledger.place.state_directory import output_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from geobatch_tui.ledger.schema.updates import ItemPublished


#: Errors of which the item is the cause, and not the disk.
_OWN = (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EXDEV, errno.ENAMETOOLONG)


class ItemPublishError(VerifyError):
    """A finished file can't take its final name, for a reason of its own: the rest of the batch of
    ``update`` is not to blame."""

    default_hint = "the item is not published; the next run assembles it again"

    def __init__(self, message: str, update: ItemPublished) -> None:
        super().__init__(message)
        self.update = update


class Publisher:
    """Renames and directory syncs of one output directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[Path] = set()

    def rename(self, update: ItemPublished, key: str) -> int:
        """Rename a part file to the output of an item's key, and return its ``st_mtime_ns``.

        Raises:
            StateError: the key leads out of the root.
            ItemPublishError: the part is missing, has another size, or its target is a directory.
            OutputGoneError, DiskFullError: the directory is gone or read-only, or has no space.
        """
        target = output_path(self._root, key)
        try:
            size = _size(update.part_path)
            if size is None:
                return self._adopt(update, target)
            if size != update.out_size:
                raise ItemPublishError(
                    f"{update.part_path} has {size} bytes; {update.out_size} were verified", update
                )
            failpoint("before_rename")
            os.rename(update.part_path, target)  # noqa: PTH104 -- of each of many items
            failpoint("after_rename")
            return target.stat().st_mtime_ns
        except OSError as error:
            if error.errno in _OWN:
                raise ItemPublishError(f"cannot name {target}: {error.strerror}", update) from error
            raise output_error(error, target) from error

    def sync(self, keys: Iterable[str]) -> None:
        """Sync each directory of the outputs ``keys`` once, and once in a process those above it
        up to the root: the name of a new directory needs a sync as well.

        Raises:
            OutputGoneError, StateError: a sync failed. It must not be tried again: the kernel may
                have dropped what it could not write.
        """
        folders = {key.rpartition("/")[0] for key in keys}  # as text: there are many keys
        parents = {self._root / folder for folder in folders}
        above = {
            upper
            for parent in parents - self._known
            if parent.is_relative_to(self._root)
            for upper in parent.parents
            if upper.is_relative_to(self._root)
        }
        for directory in sorted(parents | (above - self._known), reverse=True):
            try:
                failpoint("before_dirsync")
                sync_directory(directory)
                failpoint("after_dirsync")
            except OSError as error:
                raise output_error(error, directory) from error
        self._known |= parents | above

    def _adopt(self, update: ItemPublished, target: Path) -> int:
        """The part is gone: it may have been renamed by a batch that could not be committed, or
        a network filesystem lost its reply."""
        status = target.lstat() if target.exists() else None
        if status and stat.S_ISREG(status.st_mode) and status.st_size == update.out_size:
            return status.st_mtime_ns
        if not target.parent.is_dir():
            raise OutputGoneError(f"the directory of {target} is gone")
        raise ItemPublishError(f"the finished file {update.part_path} is missing", update)


def _size(path: str) -> int | None:
    """Size of a regular file; None if there is none of that name."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
