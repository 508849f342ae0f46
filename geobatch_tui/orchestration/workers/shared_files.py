"""Files that the engine shares with a worker: its page in memory, and the file for its fd 2."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from geobatch_tui.execution.runtime import evidence
from geobatch_tui.execution.worker.process import PAGE


def shared_page() -> int:
    """Make a file of one page in memory, without a name. Its size is sealed if the system can: an
    operation that cut it would end the engine, which maps it, by SIGBUS."""
    if hasattr(os, "memfd_create"):
        page = os.memfd_create("geobatch-worker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(page, PAGE)
        fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return page
    page, name = tempfile.mkstemp()
    Path(name).unlink()
    os.ftruncate(page, PAGE)
    return page


def read_tail(path: Path) -> str:
    """Read the end of a worker's output to fd 2; empty if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - evidence.TAIL))
            return evidence.tail(file.read())
    except OSError:
        return ""


def cut_flood(path: Path) -> None:
    """Cut a file that a task floods to a note and its last lines."""
    size = path.stat().st_size
    if size <= evidence.FLOOD:
        return
    text = read_tail(path)[-4096:]
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, 0)
        note = f"{evidence.FLOOD_NOTE} {size} bytes dropped\n{text}\n"
        os.write(fd, note.encode("utf-8", "backslashreplace"))
    finally:
        os.close(fd)
