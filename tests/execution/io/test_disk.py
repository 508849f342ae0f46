"""Numbers of the system's errors mean the same to whoever writes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from geobatch_tui.errors import DiskFullError, OutputGoneError
from geobatch_tui.execution.io import disk
from geobatch_tui.ledger.place.durable import output_error
from geobatch_tui.orchestration.plan.machine import shortage

PLACE = Path("/data/out/a.tif")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, DiskFullError) for name in ("ENOSPC", "EDQUOT", "EFBIG")),
        *((name, OutputGoneError) for name in ("EIO", "EROFS", "ENODEV", "ENXIO", "ESTALE")),
        ("ENOTCONN", OutputGoneError),
    ],
)
def test_a_disk_that_fails_is_one_error(name, kind):
    """A worker, the ledger and the engine say the same of a write."""
    error = OSError(getattr(errno, name), "no", str(PLACE))
    with pytest.raises(kind), disk.disk_errors("cannot write", PLACE):
        raise error
    assert type(output_error(error, PLACE)) is kind
    assert type(shortage(error, PLACE.parent)) is kind


@pytest.mark.parametrize("most", [1, 3, 700, 10**6])
def test_parts_are_written_one_behind_the_other(tmp_path, monkeypatch, most):
    """However many there are, and however few bytes a call takes."""
    parts = [bytes([n % 256]) * (n % 4) for n in range(1300)]
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, some: writev(fd, [b"".join(some)[:most]]))
    with (tmp_path / "a").open("wb") as file:
        disk.write_parts(file.fileno(), parts)
    assert (tmp_path / "a").read_bytes() == b"".join(parts)


@pytest.mark.parametrize(
    "write",
    [
        disk.write_all,
        lambda fd, data: disk.write_at(fd, 0, data),
        lambda fd, data: disk.write_parts(fd, [data]),
    ],
)
def test_a_write_of_no_byte_is_a_full_disk(write, monkeypatch):
    """POSIX allows it, and gives no number; SQLite and coreutils take it for a full disk."""
    monkeypatch.setattr(os, "write", lambda *_: 0)
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    monkeypatch.setattr(os, "writev", lambda *_: 0)
    with pytest.raises(DiskFullError), disk.disk_errors("cannot write", PLACE):
        write(1, b"abc")
