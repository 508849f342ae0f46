"""Errors of the system in the engine itself: what the machine lacks, told apart from a bug."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import MemoryBudgetError, OpenFilesError, ProcessLimitError
from geobatch_tui.execution.runtime.classify import no_thread
from geobatch_tui.ledger.place.durable import FULL, output_error

if TYPE_CHECKING:
    from geobatch_tui.errors import GeobatchError

_OPEN_FILES = frozenset({errno.EMFILE, errno.ENFILE})
#: What a disk answers that fails, is gone or may not be written, whatever file it was.
_DISK = frozenset({*FULL, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO})


def shortage(error: BaseException, output_dir: Path | None = None) -> GeobatchError | None:
    """The error that ends a run for what its machine lacks: memory, processes, open files, or a
    disk below ``output_dir`` (or anywhere) that takes no more. None: it is none of these."""
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return MemoryBudgetError(f"the engine itself ran out of memory: {error}")
    if no_thread(error):
        return ProcessLimitError(f"the engine cannot start a process or a thread: {error}")
    if not isinstance(error, OSError):
        return None
    if number in _OPEN_FILES:
        return OpenFilesError(f"the engine has too many open files: {error}")
    named = error.filename if isinstance(error.filename, str | bytes) else ""
    path = Path(os.fsdecode(named)) if named else output_dir
    if path is None:
        return None
    below = bool(named) and output_dir is not None and path.is_relative_to(output_dir)
    return output_error(error, path) if below or number in _DISK else None
