"""An item whose chunks lie in more spools than a process may open."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import vectordata
import vectorjobs

from geobatch_tui.execution.io import open_files
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkTask, FinaliseTask

#: Chunks of an item, files that may be opened beside those that are open, and spools of these.
COUNT, FREE, SPOOLS = 36, 24, 8


@contextmanager
def few_files():
    """No more than so many files can be opened meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))  # noqa: PTH208
    allowed = FREE
    for fd in taken:  # numbers are given from the lowest that is free
        allowed += fd < allowed
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "form",
    [
        "FlatGeobuf",
        "GeoParquet",
        pytest.param("GPKG", marks=pytest.mark.slow),
        pytest.param("GeoJSON", marks=pytest.mark.slow),
    ],
)
def test_spools_are_not_all_open_at_once(form, tmp_path, monkeypatch):
    """As many as a run of many workers, killed often, leaves; the bytes are the same."""
    monkeypatch.setattr(open_files, "MOST", SPOOLS)
    source = vectordata.write(vectordata.layer(COUNT), tmp_path / "s.gpkg")
    plan = vectorjobs.probe("vector.convert", source, form=form, features=1)
    item = vectorjobs.context("vector.convert", source, tmp_path / "out", plan, None, form)
    operation, folder = get_operation("vector.convert"), Path(item.work_dir)
    segments = [
        operation.run(ChunkTask(n, item, n, 1, 1), vectorjobs.stage).segment for n in range(COUNT)
    ]

    def made(segments, epoch):
        task = FinaliseTask(0, item, epoch, tuple(segments))
        return Path(operation.finalise(task, vectorjobs.stage).part_path).read_bytes()

    one, turned = made(segments, 1), made(segments[::-1], 2)
    many = []
    for n, segment in enumerate(segments):
        # As if each had been computed by a worker of its own.
        name = f"2-{n}-1.spool"
        os.link(folder / segment.spool, folder / name)
        many.append(replace(segment, spool=name))
    with few_files():
        assert made(many, 3) == one
        assert made(many[::-1], 4) == turned
