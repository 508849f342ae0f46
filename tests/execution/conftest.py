"""What tests of rasters and of vectors have in common."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def _no_gdal_is_left():
    """The process of GDAL that a module's tests share ends with the last of them."""
    yield
    if (kept := sys.modules.get("kept_gdal")) is not None:
        kept.end()


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
