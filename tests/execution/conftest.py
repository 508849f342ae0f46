"""What tests of rasters and of vectors have in common."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest


@pytest.fixture
def lose_syncs(monkeypatch):
    """Given a pattern, lets the sync of each file or folder fail that it matches; gives the list of
    those that were asked for."""
    fsync = os.fsync

    def lose(pattern):
        lost = []

        def fail(fd):
            path = Path(f"/proc/self/fd/{fd}").readlink()
            if path.match(pattern):
                lost.append(path)
                raise OSError(errno.EIO, "lost")
            fsync(fd)

        monkeypatch.setattr(os, "fsync", fail)
        return lost

    return lose
